import dataclasses
import json

import onnxruntime
import pytest

from toolkit.contract.readiness_reports import GoldenPart, TrialResult
from toolkit.edge.trial_memory import FILE, TrialKey, recall_trial, remember_trial, trial_key

DIGEST = "a" * 64
KEY = TrialKey(DIGEST, "0.1.0", "1.32.0", "Abacus 3000", "b" * 64)
PASSED = TrialResult("passed", "", DIGEST, (GoldenPart("windowed", "fp32", "window", "forecast", 0.5),), (), 60.0)


def test_what_passed_is_remembered(tmp_path):
    assert recall_trial(tmp_path, KEY) is None
    assert remember_trial(tmp_path, KEY, PASSED)
    assert recall_trial(tmp_path, KEY) == PASSED


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TrialKey)])
def test_another_bundle_version_or_machine_is_tried_anew(tmp_path, field):
    remember_trial(tmp_path, KEY, PASSED)
    assert recall_trial(tmp_path, dataclasses.replace(KEY, **{field: "another"})) is None


@pytest.mark.parametrize("outcome", ["failed", "refused", "died"])
def test_what_did_not_pass_is_not_remembered(tmp_path, outcome):
    assert not remember_trial(tmp_path, KEY, dataclasses.replace(PASSED, outcome=outcome))
    assert recall_trial(tmp_path, KEY) is None


def test_a_verdict_on_another_bundle_is_not_remembered(tmp_path):
    assert not remember_trial(tmp_path, KEY, dataclasses.replace(PASSED, digest="c" * 64))


def edited(change):
    def damage(place):
        value = json.loads(place.read_text())
        change(value)
        place.write_text(json.dumps(value))

    return damage


DAMAGE = {
    "empty": lambda place: place.write_text(""),
    "cut short": lambda place: place.write_bytes(place.read_bytes()[:-20]),
    "not UTF-8": lambda place: place.write_bytes(b"\xff" * 100),
    "deep": lambda place: place.write_text("[" * 500_000),
    "too large": lambda place: place.write_bytes(place.read_bytes() + b" " * (1 << 20)),
    "another schema": edited(lambda value: value.update(schema="trial/2")),
    "an unknown key": edited(lambda value: value.update(more=1)),
    "a verdict that did not pass": edited(lambda value: value["result"].update(outcome="failed")),
    "a verdict on another bundle": edited(lambda value: value["result"].update(digest="c" * 64)),
    "a folder": lambda place: (place.unlink(), place.mkdir()),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_as_good_as_none(tmp_path, name):
    remember_trial(tmp_path, KEY, PASSED)
    DAMAGE[name](tmp_path / FILE)
    assert recall_trial(tmp_path, KEY) is None


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    remember_trial(tmp_path / "elsewhere", KEY, PASSED)
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere" / FILE)
    assert recall_trial(tmp_path, KEY) is None


def test_a_place_that_cannot_be_written_costs_nothing(tmp_path):
    assert not remember_trial(tmp_path / "missing", KEY, PASSED)


def test_the_key_is_of_this_machine(tmp_path):
    key = trial_key(DIGEST)
    assert (key.digest, key.onnxruntime, key.session_sha256) == (DIGEST, onnxruntime.__version__, "")
    assert key.cpu
    (tmp_path / "session.toml").write_text("x")
    assert trial_key(DIGEST, str(tmp_path / "session.toml")).session_sha256 not in ("", key.session_sha256)
    assert trial_key(DIGEST, str(tmp_path / "none.toml")).session_sha256 == "unreadable"
