"""A classifier from the table to a bundle: both graphs, their proof, what the card and an evaluation say."""

import json

import numpy as np
import pytest
import torch
from labelled_tables import class_config, labelled_csv
from sensor_tables import Silent, write

from toolkit.contract.manifest import manifest_from_json
from toolkit.errors import BundleError, ConfigError, DataError
from toolkit.evaluation import (
    classifier_of_bundle,
    classifier_of_run,
    evaluate_classes,
    forecaster_of_bundle,
    labelled,
    own_labelled,
)
from toolkit.parity.bundle import check_bundle, grid_of
from toolkit.release import build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.training import load_run, train


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return labelled_csv(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "state"
    train(class_config(table), folder, Silent())
    return load_run(folder)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "state"
    build_bundle(run, folder)
    return load_bundle(folder)


def test_both_graphs_give_the_logits_of_the_module(run, bundle):
    assert bundle.manifest.names == ("windowed", "streaming")
    assert bundle.manifest.model.class_names == ("fine", "hot")
    x = run.samples[:2, :12].numpy()
    with torch.no_grad():
        wanted = run.model(run.samples[:2, :12]).numpy()
    np.testing.assert_allclose(bundle.windowed().predict(x), wanted, rtol=1e-5, atol=1e-5)
    stream = bundle.streaming()
    state = stream.zero_state(2)
    for step in range(12):
        logits, state = stream.advance(np.ascontiguousarray(x[:, step : step + 1]), state)
    np.testing.assert_allclose(logits[:, -1], wanted, rtol=1e-5, atol=1e-5)
    assert check_bundle(bundle, grid_of(bundle, quick=True)).passed


def test_the_card_says_which_classes_and_how_well(bundle):
    card = (bundle.folder / "README.md").read_text()
    assert "Tells 2 classes apart (logits of `fine`, `hot`)" in card
    assert "| told by | accuracy | balanced accuracy | F1 (macro) | false alarms | missed |" in card
    assert "| always `fine` | 0.8333 | 0.5000 |" in card
    assert bundle.manifest.accuracy["verdict"] in card


def test_a_manifest_from_before_there_were_names_still_loads(bundle):
    content = json.loads(bundle.manifest.to_json())
    for name in ("class_names", "calendar_channels"):
        del content["model"][name]
    del content["signal"]["timezone"]
    old = manifest_from_json(json.dumps(content), "manifest.json")
    assert (old.model.classes, old.model.class_names, old.signal.timezone) == (2, (), "UTC")


def test_a_run_on_its_own_test_part_has_the_scores_of_its_training(run):
    report = evaluate_classes(classifier_of_run(run), own_labelled(run))
    assert report.windows == 36
    assert report.commonest == "fine"
    assert [list(row) for row in report.model.confusion] == run.report["model"]["confusion"]
    assert report.model.balanced_accuracy == pytest.approx(run.report["model"]["balanced_accuracy"])
    assert report.verdict == run.report["verdict"]


def test_run_and_bundle_agree_on_another_table(run, bundle, tmp_path):
    other = labelled_csv(tmp_path, 100)
    own = evaluate_classes(classifier_of_run(run), own_labelled(run, other))
    graph = evaluate_classes(
        classifier_of_bundle(bundle), labelled(classifier_of_bundle(bundle), other, "time", "state")
    )
    assert own.model == graph.model
    assert graph.windows == 100 - 11
    assert graph.by_asset[""] == graph.model


def test_a_table_that_cannot_be_judged_on(bundle, tmp_path):
    classifier = classifier_of_bundle(bundle)
    text = labelled_csv(tmp_path, 60).read_text()
    odd = write(tmp_path, text.replace("hot", "warm"), "odd.csv")
    with pytest.raises(DataError, match=r"not learned; got 'warm' in row 18, column 'state'; allowed: fine, hot"):
        labelled(classifier, odd, "time", "state")
    bare = write(tmp_path, text.replace("hot", "").replace("fine", "hot", 5).replace("fine", ""), "bare.csv")
    with pytest.raises(DataError, match=r"holds no labelled window.*allowed: 12 rows or more, the last one with a"):
        labelled(classifier, bare, "time", "state")
    with pytest.raises(ConfigError, match=r"data.label names no column"):
        labelled(classifier, write(tmp_path, text), "time", "")


def test_a_classifier_is_no_forecaster_and_the_other_way_round(bundle, whole):
    with pytest.raises(BundleError, match="its answer is no forecast"):
        forecaster_of_bundle(bundle)
    with pytest.raises(BundleError, match="holds no classifier"):
        classifier_of_bundle(load_bundle(whole))
