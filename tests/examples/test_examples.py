"""Each script of examples/ is run, small; two need real data, one a broker."""

import ast
import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import edge_broker
import numpy as np
import pytest

from toolkit.runtime.bundle import load_bundle


@pytest.fixture
def example(root: Path):
    """A script as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", root / "examples" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_every_example_has_a_test(root: Path) -> None:
    tested = {"textbook", "ett", "skab", "own_module", "gateway", "triton_repository"}
    assert {path.stem for path in (root / "examples").glob("*.py")} == tested


@pytest.mark.data
def test_ett_is_trained_and_exported(example, sensor_data: Path, tmp_path: Path, capsys) -> None:
    report = example("ett").main(sensor_data / "ett" / "ETTh1.csv", tmp_path, epochs=2, stride=16)
    assert report.test_standardised.mse < report.baselines["persistence"].test_standardised.mse
    assert load_bundle(tmp_path / "ett").manifest.window_length == 96
    assert "cases of parity, all passed" in capsys.readouterr().out


@pytest.mark.data
def test_anomalies_of_skab_are_learnt_and_exported(example, sensor_data: Path, tmp_path: Path) -> None:
    report = example("skab").main(sensor_data / "skab" / "valve1", tmp_path, files="[01].csv", epochs=2)
    assert report.classes == ("0", "1")
    assert load_bundle(tmp_path / "skab").windowed() is not None


def test_a_module_of_ones_own_answers_the_same_windowed_and_in_pieces(example, tmp_path: Path) -> None:
    apart, pieces = example("own_module").main(tmp_path)
    assert apart < 1e-6
    assert pieces < 1e-6


def test_the_repository_for_triton_holds_each_graph_and_its_configuration(example, root: Path, tmp_path: Path) -> None:
    bundle = root / "exported" / "pump-station"
    models = example("triton_repository").main(bundle, tmp_path / "models")
    assert [model.name for model in models] == ["pump-station-windowed", "pump-station-streaming"]
    for model, graph in zip(models, ("windowed", "streaming"), strict=True):
        assert f'name: "{model.name}"' in (model / "config.pbtxt").read_text()
        assert 'default_model_filename: "model.onnx"' in (model / "config.pbtxt").read_text()
        assert (model / "1" / "model.onnx").read_bytes() == (bundle / f"{graph}.onnx").read_bytes()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", ""])
def test_a_bundle_whose_name_leads_out_of_the_repository_is_refused(
    name: str, example, root: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(root / "exported" / "pump-station", tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "name": name}))
    with pytest.raises(SystemExit, match="is no name of a folder"):
        example("triton_repository").main(bundle, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_gateway_forecasts_what_the_plant_sends(example, root: Path) -> None:
    edge_broker.program("mosquitto")
    first, *others = example("gateway").main(root / "exported" / "pump-station", forecasts=4)
    assert {forecast["asset"] for forecast in (first, *others)} == {f"pump-{number:03}" for number in range(1, 5)}
    assert first["bundle"]["name"] == "pump-station"
    assert np.isfinite(first["forecast"]["temperature.mean"]["values"]).all()
    assert json.dumps(first)


def test_without_a_broker_the_gateway_says_what_to_install(example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SystemExit, match="mosquitto is not installed; fix: apt-get install mosquitto"):
        example("gateway").mosquitto()


def test_every_script_says_how_it_is_called(root: Path) -> None:
    for script in (root / "examples").glob("*.py"):
        told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        assert f"python examples/{script.name}" in told
