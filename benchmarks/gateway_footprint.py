"""What a gateway is that runs: what is installed, what it imports, how soon it is ready, what it takes and writes."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gateway_broker import Broker
from gateway_bundle import sample_bundle
from gateway_children import Child
from gateway_process import Gateway, Plan, cpu_s, rss_mb, written_bytes
from gateway_samples import VARIABLES

ROOT = Path(__file__).parents[1]
NOT_COUNTED = {"pip", "setuptools"}
FORBIDDEN = ("torch", "onnx", "onnxscript", "polars", "rich", "pandas", "safetensors", "tomli_w")
SECOND_US = 1_000_000
DAY_S = 86_400
STARTS = 7
RATE, ASSETS, INTERVAL_S = 10.0, 10, 10
"""One sample of each variable of ten machines every three seconds."""
HISTORY_RATE, HISTORY_INTERVALS = 1000.0, 61


def installed(folder: Path) -> tuple[Path, list[str]]:
    """A fresh environment with the wheel: its `lstm-edge`, and what pip has put there."""
    quiet = ["-m", "pip", "--disable-pip-version-check"]
    wheel = folder / "wheel"
    command = [sys.executable, *quiet, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheel), str(ROOT)]
    subprocess.run(command, check=True)
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, *quiet, "install", "--quiet", *map(str, wheel.glob("*.whl"))], check=True)
    listed = subprocess.run([python, *quiet, "list", "--format", "json"], check=True, capture_output=True, text=True)
    names = sorted(entry["name"] for entry in json.loads(listed.stdout))
    return environment / "bin" / "lstm-edge", [name for name in names if name not in NOT_COUNTED]


def forbidden_imports(folder: Path, bundle: Path, broker: Broker) -> list[str]:
    """Of a gateway that has run for a while, in this environment, where all of them could be imported."""
    folder.mkdir()
    plan = Plan(folder, bundle, broker.address, broker.port)
    gateway = Gateway(plan, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    gateway.start()
    gateway.wait_for_link()
    time.sleep(3.0)
    gateway.stop()
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in gateway.log.splitlines() if "|" in line}
    assert "numpy" in imported
    return sorted(imported.intersection(FORBIDDEN))


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """All of it; some minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = sample_bundle(folder / "bundle", INTERVAL_S)
    command, distributions = installed(folder)
    broker = Broker(folder / "broker").start()
    try:
        forbidden = forbidden_imports(folder / "imports", bundle, broker)
        (folder / "run").mkdir()
        gateway = Gateway(Plan(folder / "run", bundle, broker.address, broker.port), command=command)
        starts = _starts(gateway)
        gateway.wait_for_link()
        told = _idle(gateway, broker, folder, seconds)
        told["graceful_stop_s"] = gateway.stop()
    finally:
        broker.stop()
    return {
        "distributions": distributions,
        "forbidden_imports": forbidden,
        "ready_s": {"first": starts[0], "median": statistics.median(starts[1:]), "all": starts},
        f"at_{RATE:g}_messages_per_s": told,
    }


def _starts(gateway: Gateway) -> list[float]:
    """The first one tries the bundle; it is left running after the last."""
    starts = [gateway.start()]
    for _ in range(STARTS):
        gateway.stop()
        starts.append(gateway.start())
    return starts


def _idle(gateway: Gateway, broker: Broker, folder: Path, seconds: float) -> dict[str, Any]:
    """Processor time and bytes of a gateway that hears ten messages a second, its windows full."""
    per_tick = ASSETS * len(VARIABLES)
    step_us = round(per_tick / RATE * SECOND_US)
    lasts_s = HISTORY_INTERVALS * per_tick / HISTORY_RATE
    interval_us = INTERVAL_S * SECOND_US
    begin_us = (time.time_ns() // 1000 + round((lasts_s + 5) * SECOND_US)) // interval_us * interval_us + interval_us
    common = {"port": broker.port, "assets": ASSETS}
    history = {"ticks": HISTORY_INTERVALS, "start_us": begin_us - HISTORY_INTERVALS * interval_us}
    paced = {"rate": HISTORY_RATE, "step_us": interval_us, "ledger": folder / "history.npy"}
    Child("gateway_generator", common | history | paced).report(120)
    time.sleep(max(0.0, begin_us / SECOND_US - time.time()))
    ticks = int((seconds + 10) * SECOND_US / step_us)
    live = {"ticks": ticks, "start_us": begin_us, "rate": RATE, "step_us": step_us, "ledger": folder / "sent.npy"}
    plant = Child("gateway_generator", common | live)
    time.sleep(5.0)
    before, begin = (cpu_s(gateway.pid), written_bytes(gateway.pid), _forecasts(gateway)), time.monotonic()
    time.sleep(seconds)
    after, lasted = (cpu_s(gateway.pid), written_bytes(gateway.pid), _forecasts(gateway)), time.monotonic() - begin
    plant.stop()
    return {
        "seconds": lasted,
        "cpu_share": (after[0] - before[0]) / lasted,
        "gb_per_day": (after[1] - before[1]) / lasted * DAY_S / 1e9,
        "forecasts": after[2] - before[2],
        "rss_mb": rss_mb(gateway.pid),
    }


def _forecasts(gateway: Gateway) -> float:
    return gateway.metrics().get("lstm_edge_forecasts_total", 0.0)


def verdicts(told: dict[str, Any]) -> dict[str, bool]:
    """Each limit, and whether it is kept."""
    idle = told[f"at_{RATE:g}_messages_per_s"]
    return {
        "at most 8 distributions": len(told["distributions"]) <= 8,
        "never imported: " + ", ".join(FORBIDDEN): not told["forbidden_imports"],
        "ready in under 1 s": max(told["ready_s"]["all"]) < 1.0,
        "under 2 % of a core": idle["cpu_share"] < 0.02,
        "at most 5 GB a day": 0 < idle["gb_per_day"] <= 5.0,
        "stops within 2 s": idle["graceful_stop_s"] < 2.0,
    }


def lines(told: dict[str, Any]) -> list[str]:
    """For a person."""
    idle = told[f"at_{RATE:g}_messages_per_s"]
    figures = [
        f"{len(told['distributions'])} distributions: {', '.join(told['distributions'])}",
        f"ready after {told['ready_s']['first']:.2f} s the first time, {told['ready_s']['median']:.2f} s later",
        f"at {RATE:g} messages a second: {100 * idle['cpu_share']:.2f} % of a core, {idle['gb_per_day']:.2f} GB a day, "
        f"{idle['rss_mb']:.0f} MB, {idle['forecasts']:.0f} forecasts in {idle['seconds']:.0f} s",
    ]
    return figures + [f"{'kept' if kept else 'NOT KEPT'}: {limit}" for limit, kept in told["verdicts"].items()]
