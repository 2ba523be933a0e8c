"""`lstm-edge export --module`: a folder with somebody's own code in, a verified bundle out, or one line and nothing."""

import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import tiny_bundles
import torch
from command_line import Cli, one_line
from somebodys_folder import make_shop

from toolkit.cli.main import main
from toolkit.export.foreign import load_module
from toolkit.export.lint import axes_of
from toolkit.release.precision_choice import candidates
from toolkit.runtime.bundle import load_bundle

X = "x: float32[batch, sequence, 2]"
H, C = "h0: float32[1, batch, 8]", "c0: float32[1, batch, 8]"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with somebody's code, weights, readings and signal; no test writes into it."""
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the working directory."""
    monkeypatch.chdir(shop)
    return shop


def export(shop: Path, out: Path, *arguments: object) -> Path:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.chdir(shop)
        patch.setattr("toolkit.release.variants.candidates", functools.partial(candidates, seconds=0.02))
        main(["export", *map(str, arguments), "--out", str(out)])
    assert not end.value.code
    return out


@pytest.fixture(scope="module")
def windowed(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with everything: weights, signal, readings, a precision, files for other servers."""
    return export(
        shop,
        tmp_path_factory.mktemp("exported") / "net",
        *("--module", "own_nets:make", "--weights", "net.pt", "--input", X, "--output", "forecast"),
        *("--signal", "signal.toml", "--data", "plant.csv", "--timestamp", "time", "--window", "12"),
        *("--precision", "int8", "--max-accuracy-loss", "10", "--with", "triton", "--with", "ort", "--opset", "19"),
    )


@pytest.fixture(scope="module")
def streaming(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an LSTM that takes its states in a tuple, its axes called otherwise."""
    return export(
        shop,
        tmp_path_factory.mktemp("exported") / "lstm",
        *("--module", "own_nets:printing", "--weights", "lstm.safetensors", "--window", "6"),
        *("--input", "x: float32[N, T, 2]", "--input", "h0: float32[1, N, 8]", "--input", "c0: float32[1, N, 8]"),
        *("--output", "y", "--output", "hn", "--output", "cn", "--state", "h0=hn", "--state", "c0 = cn"),
    )


def test_the_bundle_holds_what_was_given(windowed: Path, shop: Path) -> None:
    bundle = load_bundle(windowed)
    manifest = bundle.manifest
    assert manifest.signal is not None
    assert manifest.signal.channel_names == manifest.signal.targets == ("temperature", "pressure")
    assert manifest.signal.target_units == ("", "Pa")
    assert (manifest.name, manifest.window_length, manifest.opset, manifest.minimum_onnxruntime) == (
        "net",
        12,
        19,
        "1.15",
    )
    assert manifest.provenance["module"] == "own_nets:make"
    assert [(entry.file, entry.preferred) for entry in manifest.graphs] == [
        ("windowed.onnx", False),
        ("windowed.int8.onnx", True),
    ]
    assert manifest.precision is not None
    assert manifest.precision.windows > 0
    assert len(manifest.precision.candidates[0].error) == 2
    assert {
        "windowed.config.pbtxt",
        "windowed.ort",
        "windowed.int8.ort",
        "windowed.required_operators.config",
        "samples.safetensors",
        "weights.safetensors",
    } <= set(manifest.files)
    given = safetensors.torch.load_file(shop / "net.safetensors")
    kept = safetensors.torch.load_file(windowed / "weights.safetensors")
    assert all(torch.equal(given[name], kept[name]) for name in given)


def test_it_answers_as_the_module_does(windowed: Path, here: Path) -> None:
    module = load_module("own_nets:make", here / "net.safetensors")
    x = np.random.default_rng(0).standard_normal((3, 7, 2)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    got = load_bundle(windowed).windowed(precision="fp32").predict(x)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_parity_passes_again_from_the_bundle_alone(windowed: Path, streaming: Path, cli: Cli, here: Path) -> None:
    for bundle, factory in ((windowed, "make"), (streaming, "printing")):
        result = cli("parity", bundle, "--module", f"own_nets:{factory}", "--quick")
        assert result.status == 0, result.err
        assert "passed" in result.out
        assert "Golden answers: equal on this machine" in result.out


def test_parity_fails_for_other_weights(windowed: Path, cli: Cli, here: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(windowed, tmp_path / "net"))
    tiny_bundles.damage_graph(folder, "windowed", tiny_bundles.change_weights("head.bias", lambda array: array + 1e-3))
    result = cli("parity", folder, "--module", "own_nets:make", "--quick")
    assert re.search(r"(\d+) of \1 cases failed", one_line(result, status=1))


def test_parity_says_what_it_needs(windowed: Path, cli: Cli, here: Path) -> None:
    fix = f"fix: lstm-edge parity {windowed} --module own_nets:make, where that can be imported"
    assert fix in one_line(cli("parity", windowed))
    assert "does not fit the model at" in one_line(cli("parity", windowed, "--module", "own_nets:grus"))
    assert "SystemExit: good bye" in one_line(cli("parity", windowed, "--module", "own_nets:leaving"))


def test_inspect_shows_the_axes_under_their_names(streaming: Path, cli: Cli) -> None:
    result = cli("inspect", streaming)
    assert result.status == 0
    for text in ("x: float32 [N, T, 2]", "h0: float32 [1, N, 8]", "y: float32 [N, T, 8]", "symbolic axes   N, T"):
        assert text in result.out
    proto = onnx.load(streaming / "streaming.onnx")
    assert [axes_of(value) for value in proto.graph.output] == [("N", "T", 8), (1, "N", 8), (1, "N", 8)]


def test_benchmark_measures_it_without_torch(windowed: Path, streaming: Path, cli: Cli) -> None:
    for bundle in (windowed, streaming):
        result = cli("benchmark", bundle, "--seconds", "0.05", "--batch", "1", "--provider", "CPUExecutionProvider")
        assert result.status == 0, result.err
        assert "torch not measured: the bundle was made from a module of somebody's own" in result.out
        assert "onnxruntime CPU" in result.out


def test_what_the_module_prints_does_not_spoil_a_report(cli: Cli, here: Path, tmp_path: Path) -> None:
    result = cli(
        *("export", "--module", "own_nets:printing", "--input", X, "--input", H, "--input", C, "--window", "4"),
        *("--state", "h0=y1", "--state", "c0=y2", "--out", tmp_path / "b", "--json", "-", "--without-weights"),
    )
    assert result.status == 0, result.err
    assert json.loads(result.out)["passed"] is True
    assert "the factory says something" in result.err
    assert "the module says something" in result.err
    report = cli("parity", tmp_path / "b", "--module", "own_nets:printing", "--quick", "--json", "-")
    assert "holds no weights.safetensors" in one_line(report)


def test_parity_prints_pure_json_too(streaming: Path, cli: Cli, here: Path) -> None:
    result = cli("parity", streaming, "--module", "own_nets:printing", "--quick", "--json", "-")
    assert json.loads(result.out)["passed"] is True
    assert "the module says something" in result.err


def test_without_out_it_goes_to_exported_and_is_not_overwritten(
    cli: Cli, shop: Path, tmp_path: Path, monkeypatch
) -> None:
    shutil.copy(shop / "own_nets.py", tmp_path / "own_nets.py")
    monkeypatch.chdir(tmp_path)
    arguments = ("export", "--module", "own_nets:grus", "--input", X, "--window", "4", "--without-weights")
    result = cli(*arguments)
    assert result.status == 0, result.err
    assert [stage.split()[0] for stage in result.err.splitlines()] == ["export", "gate", "parity", "golden"]
    assert "Bundle: exported/grus\nNext: lstm-edge inspect exported/grus" in result.out
    assert {path.name for path in tmp_path.iterdir()} == {"own_nets.py", "exported"}
    before = tiny_bundles.contents(tmp_path / "exported" / "grus")
    assert "exists already; fix: name another, or add --overwrite" in one_line(cli(*arguments))
    assert tiny_bundles.contents(tmp_path / "exported" / "grus") == before
