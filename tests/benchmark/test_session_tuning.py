import dataclasses
import json

import pytest

from toolkit.benchmark import session_tuning as room
from toolkit.benchmark.session_sweep import Instrument
from toolkit.benchmark.session_tuning import kept_precisions, tune_session
from toolkit.contract.manifest import Candidate, PrecisionDecision
from toolkit.contract.reports import report_to_json
from toolkit.contract.session_reports import SessionSetting, SessionWinner
from toolkit.errors import ConfigError, GoldenError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.session import SessionPolicy

MS = 1_000_000


class Ticking:
    """Every look at it takes a millisecond, so that every call takes one."""

    time = 0

    def now_ns(self):
        self.time += MS
        return self.time

    def cpu_ns(self):
        return self.time


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


def instrument(seconds=0.05):
    return Instrument(seconds, Ticking(), lambda _: None)


def test_both_graphs_are_tuned_as_they_are_deployed(bundle):
    report = tune_session(bundle, instrument=instrument(), cores=2)
    assert [(winner.graph, winner.default) for winner in report.winners] == [("windowed", True), ("streaming", True)]
    steps = [(trial.graph, trial.step) for trial in report.trials]
    assert steps[:5] == [
        ("windowed", s) for s in ("optimisation", "optimisation", "arena", "memory pattern", "threads")
    ]
    assert len(steps) == 10
    assert report.bundle["name"] == "tiny"
    value = json.loads(report_to_json(report))
    assert value["schema"] == "session-tuning/1"
    assert value["trials"][0]["setting"]["optimisation"] == "basic"
    assert value["environment"]["cpu"]


def test_one_core_is_told(bundle):
    report = tune_session(bundle, instrument=instrument(), cores=1)
    assert report.notes == ("threads and spinning not tried: this process may use one core",)
    assert {trial.setting.threads for trial in report.trials} == {1}


@pytest.fixture
def winning(monkeypatch):
    """Makes a setting win for the windowed graph."""

    def won(setting):
        def sweep(default, space, *_):
            mine = setting if space.graph == "windowed" else default
            return (), SessionWinner(space.graph, mine, mine == default)

        monkeypatch.setattr(room, "sweep", sweep)

    return won


def test_winners_answer_as_the_golden_vectors_say(bundle, winning, monkeypatch):
    checked = []
    monkeypatch.setattr(room, "check_golden", lambda _, policy=None: checked.append(policy))
    winning(SessionSetting("fp32", arena=True))
    tune_session(bundle, instrument=instrument())
    assert checked == [None, SessionPolicy(arena=True)]


def test_a_winner_that_answers_otherwise_is_refused(bundle, winning, monkeypatch):
    def check(_, policy=None):
        if policy is not None:
            raise GoldenError("the windowed graph answers otherwise")

    monkeypatch.setattr(room, "check_golden", check)
    winning(SessionSetting("fp32", optimisation="none"))
    with pytest.raises(GoldenError):
        tune_session(bundle, instrument=instrument())


def test_only_precisions_that_kept_their_accuracy_are_tried(bundle):
    fp32 = bundle.manifest.graph("windowed")
    others = [
        dataclasses.replace(fp32, precision=p, file=f"windowed.{p}.onnx", preferred=False, one_series=p == "int8")
        for p in ("fp16", "int8")
    ]
    candidates = tuple(
        Candidate("windowed", p, 2.0, (1.9, 2.1), 0.0, (), (), 1, kept, "measured")
        for p, kept in (("fp16", True), ("int8", False))
    )
    decision = PrecisionDecision("auto", 0.01, 100, candidates)
    graphs = (*bundle.manifest.graphs, *others)
    manifest = dataclasses.replace(bundle.manifest, graphs=graphs, precision=decision)
    assert kept_precisions(manifest, "windowed") == ("fp32", "fp16")
    assert kept_precisions(manifest, "streaming") == ("fp32",)
    assert room._notes(manifest, 2) == ("windowed in int8 not tried: the export did not keep it",)
    preferred = [dataclasses.replace(g, preferred=g.precision == "int8") if g.name == "windowed" else g for g in graphs]
    chosen = dataclasses.replace(manifest, graphs=tuple(preferred), precision=None)
    assert kept_precisions(chosen, "windowed") == ("fp32", "int8")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e9])
def test_the_time_of_a_comparison(bundle, seconds):
    with pytest.raises(ConfigError, match="--seconds; got"):
        tune_session(bundle, instrument=instrument(seconds))
