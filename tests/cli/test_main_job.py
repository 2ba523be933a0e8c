"""The commands of the main job, on a small plant: what they print, write and return."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import FAST, SMALL, TRAIN, Cli, one_line


def test_training_prints_the_model_beside_both_baselines(cli: Cli, plant: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = cli("train", "--data", plant, *TRAIN, *SMALL, *FAST, "--run", tmp_path / "run", "--json", report)
    assert result.status == 0
    for word in ("this model", "persistence", "seasonal", "The model ", "mean squared error"):
        assert word in result.out
    written = json.loads(report.read_text())
    assert written == json.loads((tmp_path / "run" / "training.json").read_text())
    assert written["schema"] == "training/1"
    for scores in (written, written["baselines"]["persistence"], written["baselines"]["seasonal"]):
        assert set(scores["test"]) == set(scores["test_standardised"]) == {"mse", "mae"}
    assert {"epochs", "best_epoch", "seconds", "parameters"} <= set(written)


def test_a_run_folder_trains_again_from_its_own_config(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    assert cli("train", small_run / "config.toml", "--run", tmp_path / "again").status == 0
    first, second = (folder / "weights.safetensors" for folder in (small_run, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()


def test_parity_of_a_bundle_passes_and_reports(cli: Cli, small_bundle: Path) -> None:
    result = cli("parity", small_bundle, "--json", "-")
    assert result.status == 0
    report = json.loads(result.out)
    assert report["schema"] == "parity/1"
    assert report["passed"] is True
    assert report["divergence"] is None
    assert report["summary"]["failed"] == 0
    assert report["summary"]["worst"] <= 1e-5
    shapes = {(case["graph"], case["batch"], case["sequence"]) for case in report["cases"]}
    wanted = {(g, b, s) for g in ("windowed", "streaming") for b in (1, 2, 3, 7, 64) for s in (1, 2, 5, 12, 13, 48)}
    assert wanted <= shapes
    assert any("chunks" in case["input"] for case in report["cases"])
    assert "Parity: " in result.err


def test_benchmark_measures_both_contenders_and_says_why_not_cuda(cli: Cli, small_bundle: Path) -> None:
    result = cli("benchmark", small_bundle, "--batch", 1, "--batch", 2, "--seconds", 0.1, "--json", "-")
    assert result.status == 0
    report = json.loads(result.out)
    assert report["schema"] == "latency/2"
    assert {row["contender"] for row in report["rows"]} == {"torch", "onnxruntime"}
    assert {(row["graph"], row["batch"]) for row in report["rows"]} == {
        (graph, batch) for graph in ("windowed", "streaming") for batch in (1, 2)
    }
    for row in report["rows"]:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["ratio_to_torch"] == 1.0 or row["contender"] == "onnxruntime"
    cuda = [row for row in report["rows"] if row["provider"] == "CUDAExecutionProvider"]
    assert cuda or any("CUDAExecutionProvider not measured" in note for note in report["notes"])


def test_an_export_in_time_major_layout(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    assert cli("export", small_run, "--out", tmp_path / "b", "--layout", "time-major").status == 0
    assert cli("parity", tmp_path / "b", "--quick").status == 0


def test_parity_fails_with_status_1_when_the_weights_are_others(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    import hashlib

    import safetensors.torch

    bundle = tmp_path / "b"
    shutil.copytree(small_bundle, bundle)
    tensors = safetensors.torch.load((bundle / "weights.safetensors").read_bytes())
    tensors["lstm.weight_hh_l0"][3, 4] += 0.05
    content = safetensors.torch.save(tensors)
    (bundle / "weights.safetensors").write_bytes(content)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["weights.safetensors"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    result = cli("parity", bundle, "--json", tmp_path / "parity.json")
    assert "cases failed" in one_line(result, status=1)
    assert json.loads((tmp_path / "parity.json").read_text())["divergence"]["tensor"]


BAD_REQUESTS = {
    "no data": (["train"], "data.file is missing"),
    "no timestamp": (["train", "--data", "{plant}"], "data.timestamp is missing"),
    "no target": (["train", "--data", "{plant}", "--timestamp", "timestamp"], "data.targets is missing"),
    "missing file": (["train", "--data", "{plant}x", *TRAIN], "did you mean"),
    "missing config": (["train", "nowhere.toml"], "cannot read nowhere.toml"),
    "unknown column": (["train", "--data", "{plant}", *TRAIN, "--target", "presure.mean"], "'pressure.mean'"),
    "text column": (
        ["train", "--data", "{plant}", "--timestamp", "timestamp", "--target", "temperature.mean"],
        "text in a numeric column",
    ),
    "unknown setting": (["train", "--data", "{plant}", *TRAIN, "--set", "training.max_epoch=3"], "'max_epochs'"),
    "unknown table": (["train", "--data", "{plant}", *TRAIN, "--set", "trainning.seed=3"], "'training'"),
    "wrong type": (["train", "--data", "{plant}", *TRAIN, "--set", "training.max_epochs=many"], "a whole number"),
    "bad setting": (["train", "--data", "{plant}", *TRAIN, "--set", "epochs"], "table.key=value"),
    "zero window": (["train", "--data", "{plant}", *TRAIN, "--window", "0"], "data.window_length"),
    "long window": (["train", "--data", "{plant}", *TRAIN, "--window", "100000"], "has no window"),
    "negative rate": (["train", "--data", "{plant}", *TRAIN, "--set", "training.learning_rate=-1"], "learning_rate"),
    "unwritable run": (["train", "--data", "{plant}", *TRAIN, "--run", "{plant}/run"], "cannot write the folder"),
    "existing run": (["train", "--data", "{plant}", *TRAIN, "--run", "{run}"], "exists already"),
    "no run": (["export", "nowhere"], "there is no run folder"),
    "a file as run": (["export", "{plant}"], "there is no run folder"),
    "existing bundle": (["export", "{run}", "--out", "{bundle}"], "exists already"),
    "unwritable bundle": (["export", "{run}", "--out", "{plant}/b"], "cannot write the folder"),
    "no bundle": (["parity", "nowhere"], "there is no bundle"),
    "a run as bundle": (["parity", "{run}"], "is no bundle"),
    "unknown provider": (["parity", "{bundle}", "--provider", "TPU"], "CPUExecutionProvider"),
    "absent provider": (["benchmark", "{bundle}", "--provider", "CUDAExecutionProvider"], "CPUExecutionProvider"),
    "batch 0": (["benchmark", "{bundle}", "--batch", "0"], "--batch"),
    "sequence 0": (["benchmark", "{bundle}", "--sequence", "0"], "--sequence"),
    "no seconds": (["benchmark", "{bundle}", "--seconds", "0"], "--seconds"),
    "no threads": (["benchmark", "{bundle}", "--threads", "0"], "--threads"),
    "unknown option": (["benchmark", "{bundle}", "--bach", "0"], "--bach"),
    "unknown command": (["benchmrk"], "benchmrk"),
    "unwritable report": (["parity", "{bundle}", "--quick", "--json", "/proc/none/x.json"], "cannot write"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_one_line_and_status_2(
    name: str,
    cli: Cli,
    plant: Path,
    small_run: Path,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, expected = BAD_REQUESTS[name]
    if name == "absent provider":
        onnxruntime = pytest.importorskip("onnxruntime")
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("CUDA is not absent here")
    places = {"plant": str(plant), "run": str(small_run), "bundle": str(small_bundle)}
    result = cli(*(argument.format(**places) for argument in arguments))
    assert expected in one_line(result)
    assert not list(tmp_path.rglob("*")), "something was left behind"


def test_an_unfinished_run_folder_is_refused(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "cut")
    (tmp_path / "cut" / "training.json").unlink()
    assert "no finished run folder" in one_line(cli("export", tmp_path / "cut", "--out", tmp_path / "b"))
    shutil.copy(small_run / "training.json", tmp_path / "cut")
    weights = tmp_path / "cut" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "is damaged" in one_line(cli("export", tmp_path / "cut", "--out", tmp_path / "b"))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_training_keeps_the_epochs(
    cli: Cli, number: signal.Signals, plant: Path, tmp_path: Path
) -> None:
    arguments = ["train", "--data", str(plant), *TRAIN, "--window", "12", "--horizon", "3"]
    run = tmp_path / "runs" / "x"
    arguments += ["--run", str(run), "--set", "training.max_epochs=500"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"from toolkit.cli.main import main; main({arguments!r})"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    assert process.stderr is not None
    while "epoch   1" not in process.stderr.readline():
        assert process.poll() is None
        time.sleep(0.01)
    assert list((tmp_path / "runs").iterdir())
    process.send_signal(number)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 130
    said = next(line for line in rest.splitlines() if line and not line.startswith("epoch"))
    assert re.match(
        rf"Error: training was interrupted; \d+ epochs? (is|are) kept; fix: go on .*--resume --run {run}", said
    )
    assert "Traceback" not in rest
    assert [path.name for path in run.parent.iterdir()] == ["x.training"]
    assert "--resume" in one_line(cli(*arguments))


def test_evaluate_a_run_and_its_bundle(
    cli: Cli, plant: Path, small_run: Path, small_bundle: Path, tmp_path: Path
) -> None:
    own = cli("evaluate", small_run, "--json", tmp_path / "own.json")
    assert own.status == 0, own.err
    report = json.loads((tmp_path / "own.json").read_text())
    training = json.loads((small_run / "training.json").read_text())
    assert report["schema"] == "evaluation/1"
    assert report["model"]["test_standardised"]["mse"] == pytest.approx(training["test_standardised"]["mse"], rel=1e-4)
    for text in ("this model", "persistence", "target, in its unit", "step ahead (std)", "The model "):
        assert text in own.out
    graph = cli(
        "evaluate", small_bundle, "--data", plant, "--timestamp", "timestamp", "--asset", "asset", "--json", "-"
    )
    assert graph.status == 0, graph.err
    assert json.loads(graph.out)["windows"] > report["windows"]


def test_what_evaluate_refuses(cli: Cli, small_run: Path, small_bundle: Path, plant: Path, tmp_path: Path) -> None:
    assert "a bundle is evaluated on a file" in one_line(cli("evaluate", small_bundle))
    assert "--timestamp, --asset and --label go with a bundle" in one_line(
        cli("evaluate", small_run, "--timestamp", "time")
    )
    assert "--season; got 0; allowed: 1 to the window length" in one_line(cli("evaluate", small_run, "--season", "0"))
    assert "there is no run folder" in one_line(cli("evaluate", tmp_path / "nothing"))
    assert one_line(cli("evaluate", small_run, "--data", tmp_path / "none.csv"))
