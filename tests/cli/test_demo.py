import functools
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Cli

from toolkit import atomic_files
from toolkit.release import plant_demo
from toolkit.training.config import RunConfig


def test_the_demo_goes_from_nothing_to_measured_latency(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole path with fewer windows, units and calls: what the figures are is the demo's own business."""
    whole = plant_demo.demo_config

    def quick(path: Path) -> RunConfig:
        config = whole(path, max_epochs=1, stride=40)
        return replace(config, model=replace(config.model, hidden_size=8))

    monkeypatch.setattr(plant_demo, "demo_config", quick)
    monkeypatch.setattr(plant_demo, "BenchmarkPlan", functools.partial(plant_demo.BenchmarkPlan, seconds=0.1))
    result = cli("demo", "--out", tmp_path)
    assert result.status == 0, result.err
    for word in ("persistence", "seasonal", "Parity: 163 cases, passed", "p50 ms", "p99 ms", "torch", "onnxruntime"):
        assert word in result.out
    assert (tmp_path / "exported" / "demo" / "manifest.json").is_file()
    page = tmp_path / "runs" / "demo-report" / "report.html"
    assert f"Report: {page}\n" in result.out
    page = page.read_text(encoding="utf-8")
    assert "Not here: whether onnxruntime computes" not in page
    assert page.count("<figure>") > 40
    run = tmp_path / "runs" / "demo"
    atomic_files.check_free(run, overwrite=True, marker="run.json")  # so that the next demo replaces it
    assert cli("demo", "--out", tmp_path / "runs" / "demo-plant.csv").status == 2


def test_the_reference_bundle_passes_parity_from_itself_alone(cli: Cli, root: Path) -> None:
    result = cli("parity", root / "exported" / "pump-station")
    assert result.status == 0, result.err
    assert ", passed; " in result.out
