"""Whoever waits for a benchmark is told what is measured, and how much is to come."""

import pytest

from toolkit.benchmark.plan import BenchmarkPlan
from toolkit.benchmark.run import run_benchmark, stages_of
from toolkit.runtime.bundle import load_bundle


@pytest.mark.parametrize(
    ("scenarios", "batches"), [((), (1, 2)), (("single", "assets", "cold"), (1,)), (("paced",), (1,))]
)
def test_the_stages_that_are_told_are_those_that_were_foretold(whole, scenarios, batches):
    bundle = load_bundle(whole)
    plan = BenchmarkPlan(
        scenarios=scenarios, batches=batches, seconds=0.02, cold_runs=1, asset_rates=(500.0,), rate_hz=500.0
    )
    told: list[str] = []
    run_benchmark(bundle, plan, on_stage=told.append)
    assert tuple(told) == stages_of(bundle, plan)
    assert len(told) >= 1
