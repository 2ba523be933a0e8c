"""From a file of raw samples, variables at different rates, to a run, a bundle, and their errors on another file."""

import json

import numpy as np
import pytest

FIRST_S = 1_767_225_600

CONFIG = """
[data]
file = {file}
timestamp = "time"
asset = "pump"
targets = ["pressure.mean", "vibration.rms"]
window_length = 8
horizon = 2
units = {{ pressure = "Pa", vibration = "g" }}
gaps = {{ "*" = "hold:3" }}

[features]
interval_s = 10
default = ["mean", "slope"]
variables = {{ vibration = ["rms", "crest_factor", "kurtosis"] }}
min_samples = 2

[model]
hidden_size = 8
num_layers = 1

[training]
max_epochs = 2
"""


def write_samples(path, seed, intervals=200):
    """Two pumps; pressure every 2 s, vibration every 0.5 s, 30 s of silence."""
    rng = np.random.default_rng(seed)
    steps = np.arange(intervals * 20)
    pressure = 101_325 + 50 * np.sin(steps / 300) + rng.standard_normal(steps.size)
    vibration = rng.standard_normal(steps.size) * (1.5 + np.sin(steps / 200))
    silent = (steps >= 1000) & (steps < 1060)
    rows = [
        f"{FIRST_S + step / 2},{pump},{pressure[step] if step % 4 == 0 else ''},{vibration[step]}"
        for pump in ("P1", "P2")
        for step in steps[~silent]
    ]
    path.write_text("\n".join(["time,pump,pressure,vibration", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("raw")


def test_raw_samples_through_train_evaluate_and_export(cli, folder):
    config = folder / "lstm-edge.toml"
    config.write_text(CONFIG.format(file=json.dumps(str(write_samples(folder / "raw.csv", 0)))))
    trained = cli("train", config, "--run", folder / "run")
    assert trained.status == 0, trained.err
    assert "Note: 30 readings were held from the last one before a gap: pressure.mean 6" in trained.out
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["data"]["rows"] == 400
    assert record["data"]["filled"]["vibration.kurtosis"] == 6
    assert (record["signal"]["sampling"], record["signal"]["min_samples"]) == ("samples", 2)
    assert [(c["name"], c["unit"], c["gap"]) for c in record["signal"]["channels"]] == [
        ("pressure.mean", "Pa", "hold:3"),
        ("pressure.slope", "Pa/s", "hold:3"),
        ("vibration.rms", "g", "hold:3"),
        ("vibration.crest_factor", "1", "hold:3"),
        ("vibration.kurtosis", "1", "hold:3"),
    ]
    assert cli("evaluate", folder / "run").status == 0
    other = write_samples(folder / "other.csv", 1)
    of_run, of_bundle = folder / "run.json", folder / "bundle.json"
    assert cli("evaluate", folder / "run", "--data", other, "--json", of_run).status == 0
    assert cli("export", folder / "run", "--out", folder / "bundle").status == 0
    columns = ("--timestamp", "time", "--asset", "pump")
    assert cli("evaluate", folder / "bundle", "--data", other, *columns, "--json", of_bundle).status == 0
    errors = [json.loads(path.read_text())["model"]["test"]["mse"] for path in (of_run, of_bundle)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-4)
