"""Guards that a fresh pair of eyes asked for."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from command_line import FAST, SMALL, TRAIN, Cli, one_line


def rehash(bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def bundle(small_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_bundle, tmp_path / "bundle"))


def test_swapped_channels_in_the_manifest_are_refused(cli: Cli, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    channels = manifest["signal"]["channels"]
    channels[0], channels[3] = channels[3], channels[0]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    for command in (["parity", bundle, "--quick"], ["benchmark", bundle, "--seconds", "0.1"]):
        assert "contradict each other; got another signal" in one_line(cli(*command))


def test_parity_runs_the_gate_on_a_bundle(cli: Cli, bundle: Path) -> None:
    path = bundle / "windowed.onnx"
    proto = onnx.load(path)
    layer = next(node for node in proto.graph.node if node.op_type == "LSTM")
    layer.attribute.append(onnx.helper.make_attribute("clip", 30.0))
    onnx.save(proto, path)
    rehash(bundle, path.name)
    assert "LSTM with clip" in one_line(cli("parity", bundle, "--quick"), status=1)


def test_parity_answers_the_golden_vectors(cli: Cli, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    for graph in manifest["graphs"]:
        graph["golden_atol"] = {name: [1e-30] * len(allowed) for name, allowed in graph["golden_atol"].items()}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    result = cli("parity", bundle, "--quick")
    assert "answers otherwise than where it was made" in one_line(result, status=1)


@pytest.mark.parametrize("name", ["README.md", "golden.npz", "samples.safetensors"])
def test_a_bundle_with_any_damaged_file_is_refused(name: str, cli: Cli, bundle: Path) -> None:
    (bundle / name).write_bytes((bundle / name).read_bytes() + b" ")
    assert name in one_line(cli("benchmark", bundle))


def test_overwrite_never_replaces_a_folder_that_is_no_run_or_bundle(
    cli: Cli, plant: Path, small_run: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters.txt").write_text("dear")
    train = cli("train", "--data", plant, *TRAIN, *SMALL, *FAST, "--run", home, "--overwrite")
    assert "is not overwritten; got no run.json in it" in one_line(train)
    export = cli("export", small_run, "--out", home, "--overwrite")
    assert "is not overwritten; got no manifest.json in it" in one_line(export)
    assert (home / "letters.txt").read_text() == "dear"


@pytest.mark.parametrize(
    "settings",
    [
        ["data.interval_s=inf"],
        ["training.batch_size=100000000000000000000"],
        ["training.threads=100000"],
        ["data.window_length=99999999999999999999"],
        ["model.hidden_size=1000000000"],
        ['data.targets=["temperature.mean", "temperature.mean"]'],
        ['data.asset="timestamp"'],
    ],
)
def test_a_setting_beyond_reason_is_one_line(settings: list[str], cli: Cli, plant: Path, tmp_path: Path) -> None:
    arguments = [part for setting in settings for part in ("--set", setting)]
    one_line(cli("train", "--data", plant, *TRAIN, *arguments, "--run", tmp_path / "r"))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "arguments", [["--threads", "100000"], ["--seconds", "inf"], ["--seconds", "nan"], ["--batch", "10000000"]]
)
def test_a_benchmark_beyond_reason_is_refused_at_once(arguments: list[str], cli: Cli, small_bundle: Path) -> None:
    assert arguments[0] in one_line(cli("benchmark", small_bundle, *arguments))


@pytest.mark.parametrize("place", ["nowhere/a.json", "."])
def test_a_report_that_cannot_be_written_is_told_before_the_work(
    place: str, cli: Cli, plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one_line(cli("train", "--data", plant, *TRAIN, *SMALL, *FAST, "--run", "run", "--json", place))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["%Y%m%d%H", "%Y%m%d%H%M%S", "%Y%m%d%H%M"])
def test_compact_times_are_not_taken_for_numbers_since_1970(form: str, cli: Cli, tmp_path: Path) -> None:
    from datetime import datetime, timedelta

    first = datetime(2026, 1, 28, 20)
    rows = [f"{(first + timedelta(hours=n)).strftime(form)},{n % 7},{n % 5}" for n in range(300)]
    (tmp_path / "compact.csv").write_text("t,a,b\n" + "\n".join(rows) + "\n")
    result = cli(
        "train", "--data", tmp_path / "compact.csv", "--timestamp", "t", "--target", "b", "--run", tmp_path / "r"
    )
    assert "timestamps without separators" in one_line(result)


def test_no_command_prints_the_help(cli: Cli) -> None:
    result = cli()
    assert result.status == 2
    assert result.err.count("\n") > 10
    assert "simulate" in result.err


def test_an_output_that_is_full_is_one_line() -> None:
    program = [sys.executable, "-c", "from toolkit.cli.main import main; main(['doctor'])"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("Error: the system refused")
    assert result.stderr.count("\n") == 1
