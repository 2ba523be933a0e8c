from pathlib import Path

import pytest
from command_line import Cli

from toolkit.release import plant_demo
from toolkit.training.config import RunConfig


def test_the_demo_goes_from_nothing_to_measured_latency(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole path with fewer windows and one epoch: what the figures are is the demo's own business."""
    whole = plant_demo.demo_config

    def quick(path: Path) -> RunConfig:
        return whole(path, max_epochs=1, stride=40)

    monkeypatch.setattr(plant_demo, "demo_config", quick)
    result = cli("demo", "--out", tmp_path)
    assert result.status == 0, result.err
    for word in ("persistence", "seasonal", "Parity: 163 cases, passed", "p50 ms", "p99 ms", "torch", "onnxruntime"):
        assert word in result.out
    assert (tmp_path / "exported" / "demo" / "manifest.json").is_file()
    assert cli("demo", "--out", tmp_path / "runs" / "demo-plant.csv").status == 2


def test_the_reference_bundle_passes_parity_from_itself_alone(cli: Cli, root: Path) -> None:
    result = cli("parity", root / "exported" / "pump-station")
    assert result.status == 0, result.err
    assert ", passed; " in result.out
