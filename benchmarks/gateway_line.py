"""A gateway, its broker and its plant with a tap between them, and the undisturbed replay that they are judged by.

The ledger is what the gateway has acknowledged, as the tap saw it. The reference is that ledger, sent in its order to a
gateway with an empty journal that nothing happens to.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_broker import Broker, free_port
from gateway_children import Child, until_quiet
from gateway_forecasts import Collected, collected, difference, examples
from gateway_process import Gateway, Plan
from gateway_tap import acknowledged, deliveries
from gateway_wire import PUBACK, connected, publish_packet

SECOND_US = 1_000_000
START_US = 1_767_571_200 * SECOND_US
"""2026-01-05T00:00:00Z: the plant's clock runs faster than the wall's here, so that it cannot be the time of day."""
MOST_TICKS = 100_000
QUIET_S = 3.0
SETTLE_S = 120.0
TABLES = {
    # Time alone closes nothing here: that depends on how long a fault takes, and the replay has none.
    "signal": ("silence_s = 1000000.0",),
    "broker": ("reconnect_max_s = 2.0", "keepalive_s = 10"),
    "output": ("max_messages = 1000000",),
}


@dataclass(frozen=True)
class Line:
    """What runs while faults happen.

    Attributes:
        folder: for all files.
        bundle: with raw samples.
        assets: of three variables each.
        rate: messages a second.
        step_us: from tick to tick by the plant's clock.
        durable: whether the broker survives a kill.
        deliveries: whether the ledger is what was delivered to the gateway instead of what it acknowledged. Where the
            broker dies and the gateway does not, that is what it has: mosquitto 2.0.11 writes what is queued and not
            what is under way, and never hands that over again.
        journal: where the gateway's journal lies; None means within `folder`.
        address: where the gateway reaches the tap.
        watch_address: of its metrics.
        before: words before the gateway's command.
        environment: further variables of the gateway.
    """

    folder: Path
    bundle: Path
    assets: int = 50
    rate: float = 1500.0
    step_us: int = 2 * SECOND_US
    durable: bool = False
    deliveries: bool = False
    journal: Path | None = None
    address: str = "127.0.0.1"
    watch_address: str = "127.0.0.1"
    before: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Running:
    """All processes of a line; `finish` ends them and judges.

    Attributes:
        broker: mosquitto.
        gateway: the one that is disturbed; it has been started once.
        ledger: the tap's file.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        line.folder.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(line.folder / "broker", durable=line.durable).start()
        port = free_port()
        self.ledger, self._log = line.folder / "acknowledged.log", line.folder / "forecasts.log"
        tap = {"listen": port, "listen_host": line.address, "port": self.broker.port, "ledger": self.ledger}
        self._children = [Child("gateway_tap", tap | ({"deliveries": True} if line.deliveries else {}))]
        self._children.append(Child("gateway_collector", {"port": self.broker.port, "out": self._log}))
        plan = Plan(
            line.folder,
            line.bundle,
            line.address,
            port,
            journal=line.journal,
            tables=TABLES,
            watch_address=line.watch_address,
        )
        self.gateway = Gateway(plan, before=line.before, environment=line.environment)
        self.gateway.start()
        self.gateway.wait_for_link()
        self._plant = Child("gateway_generator", self._plant_options(), None)

    def _plant_options(self) -> dict[str, object]:
        line = self._line
        own = {"port": self.broker.port, "assets": line.assets, "rate": line.rate, "ticks": MOST_TICKS}
        return own | {"start_us": START_US, "step_us": line.step_us, "ledger": line.folder / "sent.npy"}

    def finish(self) -> dict[str, Any]:
        """Lets the plant end, waits until everything has come through, and compares with the replay."""
        self._plant.ask_to_end()
        plant = self._plant.report(180)
        self._settle(plant["sent"])
        graceful_s = self.gateway.stop()
        self.end()
        samples = acknowledged(self.ledger)
        run, replay = collected(self._log), self._reference(samples)
        return {
            "samples": {
                "sent": plant["sent"],
                "acknowledged": len(samples),
                "lost": plant["sent"] - len(samples),
                "delivered_again": deliveries(self.ledger) - len(samples),
            },
            "forecasts": {
                **vars(difference(run.forecasts, replay.forecasts)),
                "repeated": run.repeated,
                "duplicates": run.conflicting,
            },
            "graceful_stop_s": graceful_s,
            "differing": examples(run.forecasts, replay.forecasts),
        }

    def end(self) -> None:
        """Ends whatever still runs."""
        self._plant.ask_to_end()
        self.gateway.kill()
        for child in self._children:
            child.stop()
        self.broker.stop()

    def _settle(self, sent: int) -> None:
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end and self.gateway.running():
            if not until_quiet(self.ledger, QUIET_S, SETTLE_S) or len(acknowledged(self.ledger)) >= sent:
                break
        until_quiet(self._log, QUIET_S, SETTLE_S)

    def _reference(self, samples: list[tuple[str, bytes]]) -> Collected:
        return reference(samples, self._line.bundle, self._line.folder / "replay")


def reference(samples: list[tuple[str, bytes]], bundle: Path, folder: Path) -> Collected:
    """The forecasts of an undisturbed gateway that is sent these samples in this order."""
    folder.mkdir(parents=True)
    broker = Broker(folder / "broker").start()
    gateway = Gateway(Plan(folder, bundle, broker.address, broker.port, tables=TABLES))
    collector = Child("gateway_collector", {"port": broker.port, "out": folder / "forecasts.log"})
    try:
        gateway.start()
        gateway.wait_for_link()
        _publish(broker, samples)
        _until_read(gateway, len(samples))
        until_quiet(folder / "forecasts.log", QUIET_S, SETTLE_S)
    finally:
        collector.stop()
        gateway.kill()
        broker.stop()
    return collected(folder / "forecasts.log")


def _publish(broker: Broker, samples: list[tuple[str, bytes]]) -> None:
    wire = connected(broker.address, broker.port, "replay", wait_s=20.0)
    window, under_way = min(1000, wire.receive_maximum), 0
    for number, (topic, payload) in enumerate(samples):
        while under_way >= window:
            under_way -= sum(packet.kind == PUBACK for packet in wire.packets(1.0))
        wire.send(publish_packet(topic, payload, number % 65_535 + 1))
        under_way += 1
    while under_way:
        under_way -= sum(packet.kind == PUBACK for packet in wire.packets(1.0))
    wire.close()


def _until_read(gateway: Gateway, count: int) -> None:
    end = time.monotonic() + 60 + count / 500
    while gateway.messages() < count:
        if time.monotonic() > end or not gateway.running():
            raise RuntimeError(f"the replay stands still: {gateway.log[-600:]}")
        time.sleep(0.2)


def kept_whole(told: Mapping[str, Any]) -> bool:
    """Whether nothing was lost, doubled or changed."""
    forecasts = told["forecasts"]
    wrong = [told["samples"]["lost"], *(forecasts[name] for name in ("lost", "unexpected", "duplicates"))]
    return not any([*wrong, forecasts["other_values"], forecasts["other_quality"]]) and forecasts["expected"] > 0
