"""A plant of its own process: publishes samples at a steady rate, and keeps the times at which it sent them.

    python benchmarks/gateway_generator.py --port 1883 --assets 1000 --rate 3000 --ticks 300 --ledger sent.npy

Messages of a tick are spread evenly over the time that a tick takes, or sent at its beginning all together
(`--together`). A broker that goes away is waited for; what it has not acknowledged is sent again, before anything new.
It ends after its ticks, or on SIGTERM at the end of the tick, with every message acknowledged, and prints what it did.
"""

import argparse
import json
import signal
import time
from pathlib import Path

import numpy as np
from gateway_samples import Samples
from gateway_wire import PUBACK, Wire, connected

WINDOW = 10_000
"""Publications that may wait for the broker, at most."""
LOOK_S = 0.004
BURST = 256


class Generator:
    """Publishes ticks."""

    def __init__(self, samples: Samples, host: str, port: int, name: str) -> None:
        self._samples, self._address, self._name = samples, (host, port), name
        self._under_way: dict[int, bytes] = {}
        self._identifier, self._stopped = 0, False
        self.acknowledged, self.reconnects, self.most_behind_s = 0, 0, 0.0
        self._wire = self._connect(30.0)

    def stop(self, *signal_and_frame: object) -> None:
        """After this tick."""
        self._stopped = True

    def run(self, ticks: int, rate: float, *, together: bool, start: float) -> np.ndarray:
        """Monotonic nanoseconds at which each message was sent, int64 `[ticks, messages]`."""
        per_tick = self._samples.messages_per_tick
        sent = np.zeros((ticks, per_tick), np.int64)
        for tick in range(ticks):
            payloads = self._samples.payloads(tick)
            begins = start + tick * per_tick / rate
            place = 0
            while place < per_tick:
                now = time.monotonic()
                due = per_tick if together and now >= begins else int((now - begins) * rate) + 1
                room = self._window - len(self._under_way)
                count = min(per_tick, max(due, place), place + BURST, place + room) - place
                if count > 0:
                    self.most_behind_s = max(self.most_behind_s, now - begins - place / rate * (not together))
                    self._publish(payloads, place, count)
                    sent[tick, place : place + count] = time.monotonic_ns()
                    place += count
                self._look(0.0 if due > place and room else LOOK_S)
            if self._stopped:
                sent = sent[: tick + 1]
                break
        end = time.monotonic() + 60
        while self._under_way and time.monotonic() < end:
            self._look(0.05)
        return sent

    def close(self) -> None:
        """Says goodbye."""
        self._wire.close()

    @property
    def _window(self) -> int:
        return min(WINDOW, self._wire.receive_maximum)

    def _publish(self, payloads: list[bytes], place: int, count: int) -> None:
        heads, parts = self._samples.heads, []
        for index in range(place, place + count):
            self._identifier = self._identifier % 65_535 + 1
            while self._identifier in self._under_way:
                self._identifier = self._identifier % 65_535 + 1
            one = b"".join((heads[index], self._identifier.to_bytes(2, "big"), b"\x00", payloads[index]))
            self._under_way[self._identifier] = one
            parts.append(one)
        self._send(b"".join(parts))

    def _send(self, data: bytes) -> None:
        try:
            self._wire.send(data)
        except OSError:
            self._again()

    def _look(self, timeout_s: float) -> None:
        try:
            answers = self._wire.packets(timeout_s)
        except OSError:
            self._again()
            return
        for answer in answers:
            if answer.kind == PUBACK and self._under_way.pop(int.from_bytes(answer.body[:2], "big"), None):
                self.acknowledged += 1

    def _again(self) -> None:
        """A new connection, on which everything that was under way is sent first, in order."""
        while True:
            self._wire.close()
            self.reconnects += 1
            self._wire = self._connect(120.0)
            try:
                self._wire.send(b"".join(self._under_way.values()))
            except OSError:
                continue
            return

    def _connect(self, wait_s: float) -> Wire:
        return connected(*self._address, self._name, wait_s=wait_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="plant")
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=3000.0, help="messages a second")
    parser.add_argument("--ticks", type=int, required=True)
    parser.add_argument("--start-us", type=int, required=True, help="time of the first tick, by the plant's clock")
    parser.add_argument("--step-us", type=int, default=1_000_000, help="from tick to tick, by the plant's clock")
    parser.add_argument("--begin-at", type=float, default=0.0, help="when the first tick is sent: seconds since 1970")
    parser.add_argument("--together", action="store_true", help="send a tick at once")
    parser.add_argument("--ledger", type=Path, required=True)
    options = parser.parse_args()
    samples = Samples(options.assets, options.start_us, options.step_us, options.seed)
    assert len(samples.heads) == samples.messages_per_tick
    generator = Generator(samples, options.host, options.port, options.name)
    signal.signal(signal.SIGTERM, generator.stop)
    begin = time.monotonic() + max(0.0, options.begin_at - time.time())
    sent = generator.run(options.ticks, options.rate, together=options.together, start=begin)
    generator.close()
    np.save(options.ledger, sent)
    told = {
        "sent": int(sent.size),
        "ticks": len(sent),
        "acknowledged": generator.acknowledged,
        "reconnects": generator.reconnects,
        "most_behind_s": generator.most_behind_s,
        "cpu_s": time.process_time(),
        "seconds": (sent[-1, -1] - sent[0, 0]) / 1e9,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
