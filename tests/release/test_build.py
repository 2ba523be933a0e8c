import hashlib
import json

import numpy as np
import onnx
import pytest
import tiny_bundles
import torch

from toolkit.errors import GoldenError, OutputError
from toolkit.export.lint import axes_of
from toolkit.release import Options, build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden

ALWAYS = {"README.md", "golden.npz", "manifest.json", "streaming.onnx", "windowed.onnx"}
TORCHS = {"samples.safetensors", "weights.safetensors"}
X = np.full((2, 12, 2), (60.0, 101_325.0), np.float32) + np.linspace(-5, 5, 48, dtype=np.float32).reshape(2, 12, 2)


@pytest.fixture(scope="module")
def time_major(run, tmp_path_factory):
    return build_bundle(run, tmp_path_factory.mktemp("time-major") / "tiny", layout="time-major")


def test_the_files_of_a_bundle(whole):
    assert {path.name for path in whole.iterdir()} == ALWAYS | TORCHS
    assert all(path.is_file() and path.stat().st_size > 0 for path in whole.iterdir())


def test_the_manifest_describes_every_file(whole):
    manifest = json.loads((whole / "manifest.json").read_bytes())
    assert manifest["schema"] == "bundle/2"
    assert set(manifest["files"]) == ALWAYS - {"manifest.json"} | TORCHS
    for name, entry in manifest["files"].items():
        content = (whole / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_the_manifest_says_what_the_model_is(whole, run):
    manifest = load_bundle(whole).manifest
    assert manifest.name == "tiny"
    assert manifest.model == run.record.model
    assert manifest.signal == run.record.signal
    assert manifest.signal.targets == ("pressure", "temperature")
    assert manifest.signal.target_units == ("Pa", "")
    assert manifest.opset == 18
    assert [(entry.name, entry.file, entry.precision) for entry in manifest.graphs] == [
        ("windowed", "windowed.onnx", "fp32"),
        ("streaming", "streaming.onnx", "fp32"),
    ]
    assert manifest.accuracy["test"] == run.report["test"]
    assert set(manifest.accuracy["baselines"]) == {"persistence", "seasonal", "linear"}
    assert manifest.parity["failed"] == 0
    assert manifest.parity["cases"] > 100
    assert 0.0 < manifest.parity["worst_share_of_tolerance"] <= 1.0
    assert manifest.provenance["config_sha256"] == hashlib.sha256(run.config_toml.encode()).hexdigest()
    assert "torch" in manifest.provenance["versions"]


def test_a_graph_without_its_manifest_still_says_what_it_is(whole, run):
    for name, proto in tiny_bundles.graphs_of(whole).items():
        said = {entry.key: entry.value for entry in proto.metadata_props}
        assert said["lstm_edge.graph"] == name
        assert json.loads(said["lstm_edge.signal"])["targets"] == ["pressure", "temperature"]
        assert json.loads(said["lstm_edge.signal"])["channels"][1]["unit"] == "Pa"
        assert json.loads(said["lstm_edge.model"])["hidden_size"] == 8
        assert json.loads(said["lstm_edge.provenance"])["run"] == run.record.name


def test_no_file_tells_where_it_was_made(whole, run):
    for name, content in tiny_bundles.contents(whole).items():
        assert str(run.folder.parent).encode() not in content, name


def test_a_bundle_answers_as_its_model_does(whole, run):
    with torch.no_grad():
        wanted = run.model(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(load_bundle(whole).windowed().predict(X), wanted, rtol=1e-6)


def test_a_time_major_bundle_answers_the_same_the_other_way_round(whole, time_major):
    plain, turned = load_bundle(whole), load_bundle(time_major.folder)
    assert turned.manifest.model.layout == "time-major"
    for name, proto in tiny_bundles.graphs_of(time_major.folder).items():
        wanted = turned.signature(name)
        assert [axes_of(value) for value in proto.graph.input] == [tensor.axes for tensor in wanted.inputs]
        assert axes_of(proto.graph.input[0]) == ("sequence", "batch", 2)
    x = np.ascontiguousarray(X.swapaxes(0, 1))
    np.testing.assert_allclose(turned.windowed().predict(x), plain.windowed().predict(X), rtol=1e-6)
    predictors = plain.streaming(), turned.streaming()
    forecasts = [p.advance(array, p.zero_state(2))[0] for p, array in zip(predictors, (X, x), strict=True)]
    np.testing.assert_allclose(forecasts[1].swapaxes(0, 1), forecasts[0], rtol=1e-6)
    assert forecasts[1].shape == (12, 2, 3, 2)


def test_the_result_is_what_was_written(time_major):
    assert time_major.folder.name == "tiny"
    assert load_bundle(time_major.folder).manifest == time_major.manifest
    assert time_major.parity.passed
    assert time_major.manifest.parity["cases"] == time_major.parity.summary.cases


def test_the_same_run_gives_the_same_bytes(run, whole, tmp_path):
    again = build_bundle(run, tmp_path / "tiny").folder
    assert tiny_bundles.contents(again) == tiny_bundles.contents(whole)


def test_without_weights(run, clean, exporting, tmp_path):
    exporting(clean())
    folder = build_bundle(run, tmp_path / "bare", Options(weights=False)).folder
    assert {path.name for path in folder.iterdir()} == ALWAYS
    bundle = load_bundle(folder)
    assert set(bundle.manifest.files) == ALWAYS - {"manifest.json"}
    check_golden(bundle)


def test_the_bundle_is_named_after_its_folder(run, clean, exporting, tmp_path):
    exporting(clean())
    folder = build_bundle(run, tmp_path / "more" / "pump-7").folder
    assert load_bundle(folder).manifest.name == "pump-7"
    assert (folder / "README.md").read_text().startswith("# pump-7\n")


def test_the_stages_are_told_in_their_order(run, clean, exporting, tmp_path):
    exporting(clean())
    told = []
    build_bundle(run, tmp_path / "tiny", Options(on_stage=lambda name, seconds: told.append((name, seconds))))
    assert [name for name, _ in told] == ["export", "gate", "parity", "golden check"]
    assert all(seconds >= 0.0 for _, seconds in told)


def test_an_existing_folder_is_not_touched_unasked(run, exporting, tmp_path):
    exporting({})  # the refusal comes before any work
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already; fix: name another, or add --overwrite"):
        build_bundle(run, tmp_path / "tiny")
    assert (tmp_path / "tiny" / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.rglob("*"))) == 2


def test_an_existing_folder_is_replaced_whole(run, whole, clean, exporting, tmp_path):
    exporting(clean())
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "manifest.json").write_text('{"schema": "bundle/1", "files": {"old.onnx": {}}}')
    (tmp_path / "tiny" / "old.onnx").write_text("of the old one")
    build_bundle(run, tmp_path / "tiny", Options(overwrite=True))
    assert tiny_bundles.contents(tmp_path / "tiny") == tiny_bundles.contents(whole)
    assert list(tmp_path.iterdir()) == [tmp_path / "tiny"]


def test_a_folder_that_is_no_bundle_is_never_replaced(run, exporting, tmp_path):
    exporting({})
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"is not overwritten; got no manifest\.json in it"):
        build_bundle(run, tmp_path, Options(overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_folders_place_is_not_overwritten(run, exporting, tmp_path, overwrite):
    exporting({})
    (tmp_path / "tiny").write_text("mine")
    with pytest.raises(OutputError):
        build_bundle(run, tmp_path / "tiny", Options(overwrite=overwrite))
    assert (tmp_path / "tiny").read_text() == "mine"


def test_a_bundle_that_fails_its_own_golden_check_is_not_left(run, clean, exporting, tmp_path, monkeypatch):
    def none(graph, cases, parity):
        return {tensor.name: (1e-30,) for tensor in graph.tensors.outputs}

    exporting(clean())
    monkeypatch.setattr("toolkit.release.build.golden_tolerances", none)
    with pytest.raises(GoldenError):
        build_bundle(run, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_build_leaves_nothing(run, clean, exporting, tmp_path, monkeypatch):
    def interrupted(bundle):
        raise KeyboardInterrupt

    exporting(clean())
    monkeypatch.setattr("toolkit.release.build.check_golden", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_bundle(run, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_a_build_leaves_the_run_as_it_was(run, clean, exporting, tmp_path):
    before = tiny_bundles.contents(run.folder), {n: t.clone() for n, t in run.model.state_dict().items()}
    exporting(clean())
    build_bundle(run, tmp_path / "tiny")
    assert tiny_bundles.contents(run.folder) == before[0]
    for name, tensor in run.model.state_dict().items():
        assert tensor.equal(before[1][name])
    assert run.model.batch_first


def test_the_graphs_load_by_themselves(whole):
    for proto in tiny_bundles.graphs_of(whole).values():
        onnx.checker.check_model(proto, full_check=True)
        assert not any(tensor.external_data for tensor in proto.graph.initializer)
