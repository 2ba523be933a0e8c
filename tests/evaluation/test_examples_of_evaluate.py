"""`evaluate --json` tells what its errors look like: chosen windows, and the baselines step by step."""

import json
import tomllib

import pytest
import tiny_bundles

from toolkit.cli.main import main

BASELINES = {"persistence", "seasonal", "linear"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_bundles.shared_run(tmp_path_factory.getbasetemp())


@pytest.fixture
def told(capsys):
    def evaluated(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", *map(str, arguments), "--json", "-"])
        assert not end.value.code
        return json.loads(capsys.readouterr().out)

    return evaluated


def test_a_run_is_told_with_examples(run, told):
    found = told(run.folder)
    kinds = [(each["target"], each["kind"]) for each in found["examples"]]
    assert kinds == [(target, kind) for target in ("pressure", "temperature") for kind in ("best", "median", "worst")]
    assert {each["unit"] for each in found["examples"] if each["target"] == "pressure"} == {"Pa"}
    for example in found["examples"]:
        assert example["baselines"].keys() == BASELINES
        assert len(example["history"]) == len(example["history_times_s"]) == 12
        assert {len(example[name]) for name in ("times_s", "truth", "forecast")} == {3}
    assert found["baselines_by_step"].keys() == BASELINES
    assert {len(steps) for steps in found["baselines_by_step"].values()} == {3}


def test_a_run_tells_again_what_its_folder_keeps(run, told):
    kept, found = json.loads((run.folder / "evaluation.json").read_text()), told(run.folder)
    for name in ("windows", "season", "verdict", "file", "name"):
        assert found[name] == kept[name]
    for ours, theirs in zip(found["examples"], kept["examples"], strict=True):
        assert ours["times_s"] == theirs["times_s"]
        assert ours["forecast"] == pytest.approx(theirs["forecast"], rel=1e-5)


def test_a_bundle_is_told_with_examples(run, whole, told):
    config = tomllib.loads(run.config_toml)["data"]
    found = told(whole, "--data", config["file"], "--timestamp", config["timestamp"])
    assert len(found["examples"]) == 6
    assert found["examples"][0]["baselines"].keys() == {"persistence", "seasonal"}
