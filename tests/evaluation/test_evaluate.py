"""A run and its bundle on tables: the same errors, by target, step and asset."""

import dataclasses
import shutil
import tomllib

import numpy as np
import pytest
import tiny_bundles

from toolkit.errors import BundleError, DataError
from toolkit.evaluation import evaluate, forecaster_of_bundle, forecaster_of_run, own_table, table_of
from toolkit.evaluation.evaluate import Forecaster
from toolkit.runtime.bundle import load_bundle


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_bundles.shared_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def windows(run):
    return own_table(run)


def test_a_run_on_its_own_test_part_has_the_errors_of_its_training(run, windows):
    report = evaluate(forecaster_of_run(run), windows, run.report["season"])
    for found, said in (
        (report.model, run.report),
        (report.baselines["persistence"], run.report["baselines"]["persistence"]),
        (report.baselines["seasonal"], run.report["baselines"]["seasonal"]),
    ):
        for kind in ("test", "test_standardised"):
            assert getattr(found, kind).mse == pytest.approx(said[kind]["mse"], rel=1e-4)
            assert getattr(found, kind).mae == pytest.approx(said[kind]["mae"], rel=1e-4)
    assert report.windows == run.report["windows"]["test"]
    assert report.standardised


def test_a_run_is_judged_by_its_own_season(run, tmp_path):
    """Found anew in another table, or in a part of it, the seasonal baseline would be another than in its training."""
    season = run.report["season"] - 1
    told = dataclasses.replace(run, report={**run.report, "season": season})
    assert evaluate(forecaster_of_run(told), own_table(told)).season == season
    assert evaluate(forecaster_of_run(told), own_table(told), season + 1).season == season + 1
    settings = run.config_toml.replace("[data]\n", f"[data]\nseason = {season}\n")
    config = tomllib.loads(run.config_toml)["data"]
    configured = dataclasses.replace(run, config_toml=settings)
    assert own_table(configured, config["file"]).season == season
    assert own_table(run, config["file"]).season is None


def test_the_graph_has_the_errors_of_the_module(run, windows, whole):
    module = evaluate(forecaster_of_run(run), windows)
    graph = evaluate(forecaster_of_bundle(load_bundle(whole)), windows)
    assert graph.model.test_standardised.mse == pytest.approx(module.model.test_standardised.mse, rel=1e-4)
    np.testing.assert_allclose([e.mae for e in graph.by_step], [e.mae for e in module.by_step], rtol=1e-4)


def constant(run, error):
    """A forecaster that is off by a given amount, `[horizon, targets]`, of what it is told to be the truth."""
    own = forecaster_of_run(run)

    def forecast(x):
        return np.broadcast_to(error, (len(x), *error.shape))

    return Forecaster(
        "constant", forecast, own.signal, own.window_length, own.horizon, np.array([2.0] * error.shape[1])
    )


def test_by_target_step_and_asset_by_hand(run, windows):
    forecaster = forecaster_of_run(run)
    horizon, targets = forecaster.horizon, len(forecaster.signal.targets)
    error = np.arange(1.0, 1.0 + horizon * targets).reshape(horizon, targets)
    names = ("one", "two")
    table = dataclasses.replace(
        windows.table,
        values=np.zeros_like(windows.table.values),  # the truth is 0, so that the forecast is the error
        asset_names=names,
        assets=(np.arange(len(windows.table.values)) > windows.starts[2]).astype(np.int64),
    )
    report = evaluate(constant(run, error), dataclasses.replace(windows, table=table), season=3)
    assert report.model.test.mse == pytest.approx((error**2).mean())
    assert report.model.test_standardised.mae == pytest.approx(error.mean() / 2)
    by_target = [report.model.per_target[name].mae for name in forecaster.signal.targets]
    np.testing.assert_allclose(by_target, error.mean(axis=0))
    np.testing.assert_allclose([e.mse for e in report.by_step], (error**2).mean(axis=1) / 4)
    assert list(report.by_asset) == list(names)
    assert report.by_asset["one"].mae == pytest.approx(error.mean() / 2)
    assert "loses to persistence" in report.verdict


def test_every_window_of_another_file(run, tmp_path):
    forecaster = forecaster_of_run(run)
    rows = 40
    header = "time," + ",".join(reversed(forecaster.signal.channel_names))  # in another order
    lines = [f"2026-01-01T00:{n:02d}:00,{101_325 + n},{60 + n}" for n in range(rows)]
    lines[5] = "2026-01-01T00:05:00,,65"
    (tmp_path / "new.csv").write_text("\n".join([header, *lines]) + "\n")
    found = table_of(forecaster, tmp_path / "new.csv", "time")
    length = forecaster.window_length + forecaster.horizon
    assert len(found.starts) == rows - 6 - length + 1
    first = forecaster.signal.channel_names[0]
    assert found.table.values[0, 0] == (60 if first == "temperature" else 101_325)
    (tmp_path / "short.csv").write_text("\n".join([header, *lines[6:12]]) + "\n")
    with pytest.raises(DataError, match=r"short.csv holds no window .*a longest unbroken series of 6 rows"):
        table_of(forecaster, tmp_path / "short.csv", "time")


def test_a_bundle_without_its_weights_is_scored_in_units(run, windows, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "bundle")
    tiny_bundles.leave_out(folder, "weights.safetensors", "samples.safetensors")
    report = evaluate(forecaster_of_bundle(load_bundle(folder)), windows)
    assert not report.standardised
    assert report.model.test_standardised == report.model.test


def test_a_bundle_without_a_signal(whole, monkeypatch):
    bundle = load_bundle(whole)
    bare = dataclasses.replace(bundle, manifest=_Bare(bundle.manifest))
    with pytest.raises(BundleError, match="cannot be evaluated on a table; got no signal"):
        forecaster_of_bundle(bare)


class _Bare:
    """A manifest that names no signal."""

    signal = None

    def __init__(self, manifest):
        self.names = manifest.names


def test_a_run_on_its_own_table_stands_beside_the_linear_model_of_its_training(run):
    found = evaluate(forecaster_of_run(run), own_table(run)).baselines
    assert found.keys() == run.report["baselines"].keys()
    for error in ("mse", "mae"):
        told = run.report["baselines"]["linear"]["test_standardised"][error]
        assert getattr(found["linear"].test_standardised, error) == pytest.approx(told, rel=1e-4)
