"""Load: how many messages a second one core holds, and how soon the forecasts are there.

First the assets are given a history, one sample per variable and interval, so that every window is full; then the plant
sends in real time, all intervals of all assets ending together. The gateway has a core of its own, and the broker, the
plant and the collector share the other.
"""

import statistics
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from gateway_broker import Broker
from gateway_bundle import sample_bundle
from gateway_children import Child, until_quiet
from gateway_forecasts import Collected, collected
from gateway_process import Gateway, Plan, cpu_s, peak_rss_mb, rss_mb
from gateway_samples import VARIABLES, Samples

GATEWAY_CORE, OTHER_CORE = 1, 0
SECOND_US = 1_000_000
HISTORY_INTERVALS = 61
HISTORY_RATE = 3000.0
"""Messages a second, or the load's where that is more; the gateway is waited for."""
LEAD_S = 5.0
"""Between the end of the history and the first tick in real time."""
SAMPLE_S = 1.0


@dataclass(frozen=True)
class Load:
    """What is measured.

    Attributes:
        assets: of three variables each.
        rate: messages a second.
        seconds: in real time, the history aside.
        interval_s: of the bundle.
        together: whether a tick is sent at once instead of spread over its time.
        durable: whether the broker, too, writes every change at once. mosquitto then writes all that it holds, each
            time, and is what holds the load up.
        pinned: whether the gateway has a core of its own.
    """

    assets: int = 1000
    rate: float = 3000.0
    seconds: float = 300.0
    interval_s: int = 10
    together: bool = False
    durable: bool = False
    pinned: bool = True

    @property
    def per_tick(self) -> int:
        """Messages."""
        return self.assets * len(VARIABLES)

    @property
    def step_us(self) -> int:
        """From tick to tick; in real time it is as long by the plant's clock as by the wall's."""
        return round(self.per_tick / self.rate * SECOND_US)

    @property
    def ticks(self) -> int:
        """That are sent."""
        return int(self.seconds * SECOND_US / self.step_us)


def measure(load: Load, folder: Path) -> dict[str, Any]:
    """One run; its figures."""
    cores = (GATEWAY_CORE, OTHER_CORE) if load.pinned else (None, None)
    folder.mkdir(parents=True, exist_ok=True)
    bundle = sample_bundle(folder / "bundle", load.interval_s)
    broker = Broker(folder / "broker", durable=load.durable, core=cores[1]).start()
    tables = {"signal": ["silence_s = 3600.0"], "output": ["max_messages = 1000000"]}
    gateway = Gateway(Plan(folder, bundle, broker.address, broker.port, tables=tables), core=cores[0])
    collector = Child("gateway_collector", {"port": broker.port, "out": folder / "forecasts.log"}, cores[1])
    try:
        ready_s = gateway.start()
        gateway.wait_for_link()
        start_us = _history(load, broker, gateway, folder, cores[1])
        watched, plant, sent = _real_time(load, broker, gateway, folder, start_us=start_us, core=cores[1])
        until_quiet(folder / "forecasts.log", 3.0, 60.0)
        peak = peak_rss_mb(gateway.pid)
    finally:
        collector.stop()
        gateway.kill()
        broker.stop()
    came = collected(folder / "forecasts.log")
    latency = latencies_ms(load, came, sent, start_us)
    return {
        "load": vars(load),
        "ready_s": ready_s,
        "plant": plant,
        "gateway": watched | {"peak_rss_mb": peak},
        "forecasts": {
            "expected": latency["expected"],
            "came": latency["came"],
            "repeated": came.repeated,
            "conflicting": came.conflicting,
        },
        "latency_ms": latency["figures"],
        "held": held(load, plant, watched, latency),
    }


def held(load: Load, plant: dict[str, Any], watched: dict[str, Any], latency: dict[str, Any]) -> bool:
    """Whether plant and gateway kept pace: nothing is behind at the end that was not at the beginning."""
    kept = plant["most_behind_s"] < 1.0 and plant["acknowledged"] == plant["sent"]
    return bool(kept and watched["backlog_growth"] < load.rate and latency["came"] == latency["expected"])


def _history(load: Load, broker: Broker, gateway: Gateway, folder: Path, core: int | None) -> int:
    """Sends it, and tells the time of the first tick that comes behind it."""
    interval_us = load.interval_s * SECOND_US
    rate = max(load.rate, HISTORY_RATE)
    lasts_s = HISTORY_INTERVALS * load.per_tick / rate
    now_us = time.time_ns() // 1000
    begin_us = now_us + round((1.5 * lasts_s + LEAD_S) * SECOND_US)
    begin_us = -(-begin_us // interval_us) * interval_us
    options = {
        "port": broker.port,
        "assets": load.assets,
        "rate": rate,
        "ticks": HISTORY_INTERVALS,
        "start_us": begin_us - HISTORY_INTERVALS * interval_us,
        "step_us": interval_us,
        "ledger": folder / "history.npy",
    }
    before = gateway.messages()
    plant = Child("gateway_generator", options, core).report(10 * lasts_s + 120)
    end = time.monotonic() + 10 * lasts_s + 120
    while gateway.messages() - before < plant["sent"]:
        if time.monotonic() > end or not gateway.running():
            raise RuntimeError(f"the gateway does not keep up with the history: {gateway.log[-600:]}")
        time.sleep(0.2)
    while time.time_ns() // 1000 > begin_us - SECOND_US:  # it took longer: the plant begins later, behind a short gap
        begin_us += interval_us
    return begin_us


def _real_time(
    load: Load, broker: Broker, gateway: Gateway, folder: Path, *, start_us: int, core: int | None
) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    options = {
        "port": broker.port,
        "assets": load.assets,
        "rate": load.rate,
        "ticks": load.ticks,
        "start_us": start_us,
        "step_us": load.step_us,
        "begin_at": start_us / SECOND_US,
        "ledger": folder / "sent.npy",
    } | ({"together": True} if load.together else {})
    read_before = gateway.messages()
    plant = Child("gateway_generator", options, core)
    time.sleep(max(0.0, start_us / SECOND_US - time.time()))
    rows, begin = [], time.monotonic()
    cpu_before = cpu_s(gateway.pid), cpu_s(broker.pid)
    while plant.running():
        rows.append((time.monotonic() - begin, cpu_s(gateway.pid), rss_mb(gateway.pid), gateway.messages()))
        time.sleep(SAMPLE_S)
    report = plant.report(60)
    time.sleep(SAMPLE_S)
    spent = cpu_s(gateway.pid) - cpu_before[0]
    read = gateway.messages() - read_before
    told = {
        "messages_read": read,
        "cpu_share": spent / report["seconds"],
        "cpu_us_per_message": 1e6 * spent / max(read, 1.0),
        "broker_cpu_share": (cpu_s(broker.pid) - cpu_before[1]) / report["seconds"],
        **_slopes(load, np.array(rows), read_before),
    }
    return told, report, np.load(folder / "sent.npy")


def _slopes(load: Load, rows: np.ndarray, read_before: float) -> dict[str, float]:
    """Memory and backlog over time; the backlog is what the plant has sent and the gateway not read, about."""
    seconds, rss = rows[:, 0], rows[:, 2]
    backlog = np.minimum(seconds, load.ticks * load.step_us / 1e6) * load.rate - (rows[:, 3] - read_before)
    settled = seconds >= seconds[-1] / 5
    quarter = max(1, len(seconds) // 4)
    steady = seconds[settled], rss[settled]
    slope = float(np.polyfit(*steady, 1)[0]) if settled.sum() > 2 else 0.0
    return {
        "rss_mb_first": float(rss[0]),
        "rss_mb_last": float(rss[-1]),
        "rss_mb_per_hour": slope * 3600,
        "backlog_most": float(backlog.max()),
        "backlog_growth": float(np.median(backlog[-quarter:]) - np.median(backlog[:quarter])),
    }


def latencies_ms(load: Load, came: Collected, sent_ns: np.ndarray, start_us: int) -> dict[str, Any]:
    """From the sample that completes an interval to the arrival of its forecast.

    That sample is the last of the first samples at or behind the interval's end, one of each column; those of a tick
    share their time, so that it is the asset's last message in the first such tick.
    """
    interval_us, found = load.interval_s * SECOND_US, []
    samples = Samples(load.assets, start_us, load.step_us)
    last = {name: (place + 1) * len(VARIABLES) - 1 for place, name in enumerate(samples.names)}
    arrivals: dict[tuple[str, int], int] = {}
    for key, forecast in came.forecasts.items():
        arrivals[key.asset, _microseconds(key.interval_end)] = forecast.arrived_ns
    ends = range(start_us + interval_us, start_us + len(sent_ns) * load.step_us, interval_us)
    for end_us in ends:
        tick = -(-(end_us - start_us) // load.step_us)
        if tick >= len(sent_ns):
            break
        for name, place in last.items():
            arrived = arrivals.get((name, end_us))
            found.append((arrived - sent_ns[tick, place]) / 1e6 if arrived is not None else np.nan)
    times = np.array(found)
    there = times[np.isfinite(times)]
    figures = {}
    if there.size:
        figures = {f"p{share:g}": float(np.percentile(there, share)) for share in (50, 90, 99, 99.9)}
        figures |= {"most": float(there.max()), "mean": statistics.fmean(there.tolist())}
    return {"expected": len(times), "came": int(there.size), "figures": figures}


def _microseconds(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1e6)


def lines(told: dict[str, Any]) -> list[str]:
    load, gateway, latency = told["load"], told["gateway"], told["latency_ms"]
    written = "  ".join(f"{name} {value:.0f}" for name, value in latency.items()) or "no forecast came"
    return [
        f"{load['rate']:g} messages a second, {load['assets']} assets, {load['seconds']:g} s: "
        f"{'held' if told['held'] else 'NOT HELD'}",
        f"  gateway: {100 * gateway['cpu_share']:.0f} % of a core, {gateway['cpu_us_per_message']:.0f} us a message, "
        f"{gateway['rss_mb_last']:.0f} MB ({gateway['rss_mb_per_hour']:+.1f} MB an hour), "
        f"backlog at most {gateway['backlog_most']:.0f}; broker {100 * gateway['broker_cpu_share']:.0f} % of a core",
        f"  forecasts: {told['forecasts']['came']} of {told['forecasts']['expected']}; latency in ms: {written}",
    ]
