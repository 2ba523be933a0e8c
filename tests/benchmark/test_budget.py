from dataclasses import replace

import pytest
from latency_rows import cold, row

from toolkit.benchmark.budget import Budget, judge, parse_budgets, plan_for, raise_if_broken
from toolkit.benchmark.plan import BenchmarkPlan
from toolkit.contract.latency_reports import LatencyReport
from toolkit.errors import BudgetError, ConfigError
from toolkit.runtime.bundle import load_bundle


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


def judged(bundle, texts, rows=(), starts=()):
    return judge(LatencyReport(tuple(rows), (), {}, cold=tuple(starts)), parse_budgets(texts), bundle)


def test_budgets_are_read():
    assert parse_budgets(["p99_ms=2", "stream.p99_ms=0.1", "rss_mb=120", "paced.rss_mb=9", "total_ms=4e2"]) == (
        Budget("single", "p99_ms", 2.0),
        Budget("stream", "p99_ms", 0.1),
        Budget("cold", "rss_mb", 120.0),
        Budget("paced", "rss_mb", 9.0),
        Budget("cold", "total_ms", 400.0),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p99ms=2", "unknown key; got 'p99ms'; .*did you mean 'p99_ms'"),
        ("stram.p99_ms=2", "unknown scenario; got 'stram'; .*did you mean 'stream'"),
        ("stream.rss_mb=2", "stream gives no rss_mb"),
        ("single.total_ms=2", "single gives no total_ms"),
        ("paced.throughput_per_s=2", "paced gives no throughput_per_s"),
        (".p99_ms=2", "unknown scenario; got ''"),
        ("p99_ms", "got 'p99_ms'; allowed: KEY=NUMBER"),
        ("p99_ms=", "p99_ms; got ''; allowed: a number"),
        ("p99_ms=two", "got 'two'; allowed: a number of 0 or more"),
        ("p99_ms=-1", "got '-1'"),
        ("p99_ms=nan", "got 'nan'"),
        ("p99_ms=inf", "got 'inf'"),
        ("", "allowed: KEY=NUMBER"),
    ],
)
def test_a_budget_that_means_nothing(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_budgets([text])


def test_a_budget_adds_its_scenario(bundle):
    def scenarios(texts, **plan):
        return plan_for(bundle, BenchmarkPlan(**plan), parse_budgets(texts)).scenarios

    assert scenarios(["p99_ms=2"]) == ("single", "bulk", "stream")
    assert scenarios(["rss_mb=2"]) == ("single", "bulk", "stream", "cold")
    assert scenarios(["stream.p99_ms=2"], scenarios=("single",)) == ("single", "stream")
    assert scenarios(["p99_ms=2"], batches=(64,)) == ("bulk", "stream", "single")
    assert scenarios([]) == ()


def test_a_budget_that_cannot_be_measured_is_refused_before(bundle):
    with pytest.raises(ConfigError, match="judged on the CPU; got CUDA"):
        plan_for(bundle, BenchmarkPlan(providers=("CUDA",)), parse_budgets(["p99_ms=2"]))
    with pytest.raises(ConfigError, match="bulk; got batch 1 alone"):
        plan_for(bundle, BenchmarkPlan(batches=(1,)), parse_budgets(["bulk.p99_ms=2"]))
    entries = tuple(entry for entry in bundle.manifest.graphs if entry.name == "windowed")
    files = {name: file for name, file in bundle.manifest.files.items() if not name.startswith("streaming")}
    alone = replace(bundle, manifest=replace(bundle.manifest, graphs=entries, files=files, state=None))
    with pytest.raises(ConfigError, match=r"stream\.p99_ms; got a bundle without a streaming graph"):
        plan_for(alone, BenchmarkPlan(), parse_budgets(["stream.p99_ms=2"]))


def test_what_is_deployed_is_judged_and_nothing_else(bundle):
    others = [
        row(p99=9.0, contender="torch", provider="cpu"),
        row(p99=9.0, provider="CUDAExecutionProvider"),
        row(p99=9.0, precision="int8"),
        row("bulk", p99=9.0, batch=4),
        row("stream", p99=9.0, predictor="advance"),
        row("stream", p99=9.0, predictor="step", batch=64),
    ]
    rows = [*others, row(p99=1.5), row("stream", p99=0.05, predictor="step")]
    assert [(one.value, one.kept) for one in judged(bundle, ["p99_ms=2", "stream.p99_ms=0.1"], rows)] == [
        (1.5, True),
        (0.05, True),
    ]


def test_bulk_is_judged_through_the_bulk_predictor_in_every_batch(bundle):
    rows = [
        row("bulk", p99=p99, predictor=name, batch=n, count=100)
        for n in (4, 8)
        for name, p99 in (("predict", 9), ("bulk", n))
    ]
    assert [(one.where, one.value) for one in judged(bundle, ["bulk.p99_ms=5"], rows)] == [("4 x 12", 4), ("8 x 12", 8)]
    alone = [row("bulk", p99=3.0, batch=4)]
    assert [one.value for one in judged(bundle, ["bulk.p99_ms=5"], alone)] == [3.0]


def test_the_edge_process_is_judged_by_its_memory_and_start(bundle):
    starts = [cold("torch", 400.0), cold("default session", 300.0), cold(rss=60.0)]
    kept = judged(bundle, ["rss_mb=60", "cold.total_ms=111", "peak_rss_mb=69"], starts=starts)
    assert [(one.value, one.kept) for one in kept] == [(60.0, True), (111.0, True), (70.0, False)]


def test_throughput_is_at_least(bundle):
    enough, more = judged(bundle, ["throughput_per_s=1000", "throughput_per_s=1001"], [row()])
    assert (enough.kept, more.kept) == (True, False)
    assert more.line == "single.throughput_per_s (1 x 12) is 1000, allowed at least 1001"


def test_a_percentile_of_too_few_calls_says_so(bundle):
    few, enough = judged(bundle, ["p99_ms=2", "p90_ms=2"], [row()])
    assert few.line.startswith("single.p99_ms (1 x 12, the longest of 10 calls; 100 tell more) is 1.5")
    assert enough.where == "1 x 12"


def test_a_figure_that_is_not_there_keeps_no_budget(bundle):
    (found,) = judged(bundle, ["rss_mb=60"], starts=[cold(rss=None)])
    assert not found.kept
    assert found.line == "cold.rss_mb is not measured, allowed at most 60"


def test_all_lines_that_broke_are_told_with_status_1(bundle):
    found = judged(bundle, ["p99_ms=1", "p90_ms=2", "max_ms=8"], [row(count=100)])
    with pytest.raises(BudgetError) as caught:
        raise_if_broken(found)
    assert caught.value.exit_status == 1
    assert str(caught.value) == (
        "the budget is broken: single.p99_ms (1 x 12) is 1.5, allowed at most 1, "
        "and single.max_ms (1 x 12) is 9, allowed at most 8"
    )
    raise_if_broken([one for one in found if one.kept])
