"""A subscriber of its own process: writes down every forecast and when it came.

    python benchmarks/gateway_collector.py --port 1883 --topic 'forecast/+' --out forecasts.log

Each line is the monotonic nanosecond of the arrival, a blank and the payload. Its session outlives a broken link and
a killed broker. It ends on SIGTERM.
"""

import argparse
import signal
import time
from pathlib import Path

from gateway_wire import PUBLISH, Packet, Wire, connected, puback, read_publish

SESSION_S = 3600


class Collector:
    """Keeps what comes."""

    def __init__(self, host: str, port: int, topic: str, out: Path, name: str = "collector") -> None:
        self._address, self._topic, self._name = (host, port), topic, name
        self._out, self._stopped = out.open("ab"), False
        self._wire = self._connect()

    def stop(self, *signal_and_frame: object) -> None:
        """Ends `run`."""
        self._stopped = True

    def run(self) -> None:
        """Until it is stopped."""
        while not self._stopped:
            try:
                self._keep(self._wire.packets(0.2))
            except OSError:
                self._wire.close()
                self._wire = self._connect()
        self._wire.close()
        self._out.close()

    def _connect(self) -> Wire:
        wire = connected(*self._address, self._name, clean=False, expiry_s=SESSION_S, wait_s=120.0)
        wire.subscribe([self._topic])
        return wire

    def _keep(self, packets: list[Packet]) -> None:
        now = time.monotonic_ns()
        came = [read_publish(packet) for packet in packets if packet.kind == PUBLISH]
        if came:
            self._out.write(b"".join(b"%d %s\n" % (now, one.payload) for one in came))
            self._out.flush()
            self._wire.send(b"".join(puback(one.identifier) for one in came if one.identifier))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--topic", default="forecast/+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    collector = Collector(options.host, options.port, options.topic, options.out)
    signal.signal(signal.SIGTERM, collector.stop)
    collector.run()


if __name__ == "__main__":
    main()
