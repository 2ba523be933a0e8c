"""A bundle that was trained with lines across its gaps: `gateway check` and `gateway init` say what that means here."""

import json
import shutil
from pathlib import Path

import onnx
import pytest
import tiny_bundles
from command_line import Cli

from toolkit.cli.gap_notes import gap_notes
from toolkit.contract.manifest import MANIFEST

NOTE = "training drew a line across short gaps of temperature.mean, pressure.std (interpolate);"


@pytest.fixture(scope="module")
def bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference bundle, two channels of which were interpolated and one held."""
    folder = Path(shutil.copytree(root / "exported" / "pump-station", tmp_path_factory.mktemp("gaps") / "bundle"))
    signal = json.loads((folder / MANIFEST).read_text())["signal"]
    gaps = {"temperature.mean": "interpolate:5", "pressure.std": "interpolate:1", "pressure.mean": "hold:3"}
    for channel in signal["channels"]:
        channel["gap"] = gaps.get(channel["name"], "break")

    def edit(proto: onnx.ModelProto) -> None:
        kept = {entry.key: entry.value for entry in proto.metadata_props}
        onnx.helper.set_model_props(proto, kept | {"lstm_edge.signal": json.dumps(signal)})

    for graph in ("windowed", "streaming"):
        tiny_bundles.damage_graph(folder, graph, edit)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"signal": signal}))
    return folder


def test_check_says_it_and_is_ready_all_the_same(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    result = cli("gateway", "check", bundle, "--json", tmp_path / "report.json")
    assert (result.status, result.err) == (0, "")
    assert f"Note: {NOTE}" in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 80
    plan = json.loads((tmp_path / "report.json").read_text())["plan"]
    assert plan["interpolated"] == ["temperature.mean", "pressure.std"]


@pytest.mark.parametrize("service", [["--command", "/opt/lstm-edge/bin/lstm-edge"], ["--no-service"]])
def test_init_warns_of_it(cli: Cli, bundle: Path, tmp_path: Path, service: list[str]) -> None:
    result = cli("gateway", "init", bundle, "--out", tmp_path / "etc", *service, "--json", "-")
    assert result.status == 0, result.err
    (warning,) = (one for one in json.loads(result.out)["warnings"] if one.startswith("training drew"))
    assert warning.startswith(NOTE)
    assert f"Warning: {warning}" in result.err


def test_a_bundle_without_such_gaps_is_told_nothing(cli: Cli, root: Path, tmp_path: Path) -> None:
    bundle = root / "exported" / "pump-station"
    assert "interpolate" not in cli("gateway", "check", bundle).out
    assert "interpolate" not in cli("gateway", "init", bundle, "--out", tmp_path, "--no-service").out
    assert gap_notes(()) == ()


def test_of_many_columns_a_few_are_named() -> None:
    (note,) = gap_notes(["a", "b", "c", "d", "e"])
    assert "short gaps of a, b, c and 2 more (interpolate)" in note
