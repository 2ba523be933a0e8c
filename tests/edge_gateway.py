"""A whole gateway without a network: the reference bundle, fed with raw samples, over a fake transport."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from edge_transport import FakeTransport

from toolkit.contract.graph_io import METADATA_PREFIX
from toolkit.contract.manifest import MANIFEST, FileEntry, manifest_from_json
from toolkit.contract.records import encode
from toolkit.edge.gateway import Gateway
from toolkit.edge.gateway_metrics import GatewayMetrics
from toolkit.edge.settings import (
    FieldSettings,
    InputSettings,
    JournalSettings,
    Settings,
    SignalSettings,
)
from toolkit.edge.start import open_core
from toolkit.runtime.bundle import load_bundle

REFERENCE = Path(__file__).parents[1] / "exported" / "pump-station"
VARIABLES = {"temperature": 60.0, "pressure": 101_325.0, "vibration": 2.0}
START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


def samples_bundle(folder: Path, interval_s: float = 10.0) -> Path:
    """The reference bundle, whose manifest and graphs say that it is fed with raw samples."""
    folder.mkdir()
    manifest = manifest_from_json((REFERENCE / MANIFEST).read_bytes(), MANIFEST)
    signal = replace(manifest.signal, sampling="samples", interval_s=interval_s)
    files = {}
    for name in manifest.files.keys() - {"weights.safetensors", "samples.safetensors"}:
        shutil.copyfile(REFERENCE / name, folder / name)
        if name.endswith(".onnx"):
            proto = onnx.load(folder / name)
            for entry in proto.metadata_props:
                if entry.key == METADATA_PREFIX + "signal":
                    entry.value = json.dumps(encode(signal))
            (folder / name).write_bytes(proto.SerializeToString())
        content = (folder / name).read_bytes()
        files[name] = FileEntry(hashlib.sha256(content).hexdigest(), len(content))
    (folder / MANIFEST).write_text(replace(manifest, signal=signal, files=files).to_json())
    return folder


def settings_of(bundle: Path, **signal) -> Settings:
    """One message for each sample: `plant/ASSET/VARIABLE`."""
    inputs = tuple(
        InputSettings(f"plant/{{asset}}/{variable}", {variable: FieldSettings("value")}, time_format="microseconds")
        for variable in VARIABLES
    )
    return Settings(
        str(bundle),
        inputs,
        signal=SignalSettings(**signal),
        journal=JournalSettings(commit_interval_s=0.5, forecast_wait_s=0.0),
    )


class Station:
    """A gateway that can be killed and started again, with its own clock; the transport outlives it.

    Args:
        bundle: its folder.
        folder: of the journal.
        transport: None means a new one.
        settings: None means `settings_of`.
    """

    def __init__(self, bundle: Path, folder: Path, transport=None, settings=None) -> None:
        self.now_s = 1000.0
        self.settings = settings or settings_of(bundle)
        self.transport = transport or FakeTransport(on_wait=self._wait)
        self.transport._on_wait = self._wait
        self.metrics = GatewayMetrics()
        self.core, self.journal = open_core(load_bundle(bundle), self.settings, folder, self.metrics)
        self.core._silence._now = self.clock
        self.core.hold_silence()
        self.gateway = Gateway(self.core, self.journal, self.transport, self.settings, monotonic_s=self.clock)

    def clock(self) -> float:
        return self.now_s

    def _wait(self, timeout_s: float) -> None:
        self.now_s += max(timeout_s, 0.001)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.gateway.turn()

    def settle(self, most: int = 2000) -> None:
        """Until all has been taken, made durable and delivered."""
        for _ in range(most):
            self.gateway.turn()
            busy = self.transport.undelivered or self.transport.unacknowledged or self.journal.outbox.depth
            if not busy and self.gateway._first_waiting_s is None and not self.core.due:
                return
        raise AssertionError("the gateway never settles")

    def kill(self) -> None:
        """As `kill -9` would: memory is gone, the journal's lock with it, and the link breaks."""
        self.journal._file.connection.close()
        os.close(self.journal._file._lock)
        self.transport.break_link()
        self.transport.restore()


def plant(assets: int, intervals: int, per_interval: int = 2, interval_s: float = 10.0, skip=lambda *_: False):
    """Messages of several assets in the order of their times: (topic, payload)."""
    messages = []
    for number in range(intervals * per_interval + 1):
        time_us = START_US + round(number * interval_s / per_interval * 1e6)
        for asset in range(assets):
            for variable, level in VARIABLES.items():
                if skip(asset, variable, number):
                    continue
                value = level * (1 + 0.01 * ((number * 7 + asset * 13) % 17 - 8) / 8)
                payload = json.dumps({"time": time_us, "value": value}).encode()
                messages.append((f"plant/P{asset}/{variable}", payload))
    return messages


def forecasts(transport) -> dict:
    """By output key what was forecast, of all that reached the broker."""
    return by_key(message.payload for message in transport.published)


def by_key(payloads) -> dict:
    """By output key what was forecast; two messages of one key must say the same."""
    found = {}
    for payload in payloads:
        content = json.loads(payload)
        key = content["asset"], content["interval_end"], content["bundle"]["digest"]
        assert found.setdefault(key, content["forecast"]) == content["forecast"], f"{key} says two things"
    return found


def spoil_golden(bundle: Path) -> None:
    """Golden answers that no machine gives, and a manifest that fits them."""
    with np.load(bundle / "golden.npz") as golden:
        arrays = {name: array + (0.5 * abs(array) if "/out/" in name else 0) for name, array in golden.items()}
    np.savez(bundle / "golden.npz", **arrays)
    content = (bundle / "golden.npz").read_bytes()
    manifest = manifest_from_json((bundle / MANIFEST).read_bytes(), MANIFEST)
    files = manifest.files | {"golden.npz": FileEntry(hashlib.sha256(content).hexdigest(), len(content))}
    (bundle / MANIFEST).write_text(replace(manifest, files=files).to_json())
