"""What Prometheus reads, judged by promtool where it is installed."""

import math
import shutil
import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.edge.gateway_metrics import GatewayMetrics, Score, resident_bytes, skill
from toolkit.edge.metrics import Histogram, Registry, number
from toolkit.edge.readings import Reason, Refusal

NASTY = 'pump "3"\\\nlstm_edge_forged 1\r'


def samples(text: str) -> dict[str, str]:
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def busy() -> GatewayMetrics:
    metrics = GatewayMetrics(most_assets=2)
    metrics.message(3, [])
    metrics.message(1, [Refusal(Reason.LATE, 0)])
    metrics.message(0, [Refusal(Reason.NOT_JSON)])
    metrics.latency.observe(0.1)
    metrics.commit_duration.observe(99.0)
    metrics.dropped("age", 2)
    metrics.identify(model=NASTY, digest="ab" * 32, graph="streaming", versions=("0.1", "3.11", "1.32"), start_s=1.75e9)
    metrics.score([Score(f"{NASTY}{n}", "temperature", 1.0, 2.0, 10.0) for n in range(4)])
    return metrics


@pytest.mark.parametrize("make", [GatewayMetrics, busy])
def test_promtool_has_no_complaint(make) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    text = make().exposition()
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_outcomes_of_messages_add_up_to_the_messages() -> None:
    found = samples(busy().exposition())
    messages = {key: int(value) for key, value in found.items() if key.startswith("lstm_edge_messages_total")}
    assert sum(messages.values()) == 3
    assert messages['lstm_edge_messages_total{outcome="accepted"}'] == 1
    assert messages['lstm_edge_messages_total{outcome="partly"}'] == 1
    assert messages['lstm_edge_messages_total{outcome="not_json"}'] == 1
    assert found['lstm_edge_readings_total{outcome="accepted"}'] == "4"
    assert found['lstm_edge_readings_total{outcome="too_late"}'] == "1"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_series_before_it_happens(reason: Reason) -> None:
    found = samples(GatewayMetrics().exposition())
    assert found[f'lstm_edge_messages_total{{outcome="{reason}"}}'] == "0"
    assert found[f'lstm_edge_readings_total{{outcome="{reason}"}}'] == "0"


def test_a_name_cannot_forge_a_sample() -> None:
    text = busy().exposition()
    assert "\nlstm_edge_forged" not in text
    assert r'name="pump \"3\"\\\nlstm_edge_forged 1 "' in text


def test_half_a_surrogate_pair_is_no_reason_to_fail() -> None:
    registry = Registry()
    registry.gauge("g", "Text.", ["label"]).child("\ud800").set(1)
    assert registry.exposition().encode() == b'# HELP g Text.\n# TYPE g gauge\ng{label="?"} 1\n'


def test_assets_beyond_the_bound_count_in_the_totals_alone() -> None:
    metrics = GatewayMetrics(most_assets=2)
    metrics.score([Score(f"a{n}", "t", float(n), 4.0, 10.0) for n in range(4)])
    found = samples(metrics.exposition())
    own = [key for key in found if key.startswith("lstm_edge_asset_absolute_error")]
    assert own == [f'lstm_edge_asset_absolute_error{{asset="a{n}",target="t"}}' for n in (0, 1)]
    assert found['lstm_edge_absolute_error{target="t"}'] == "1.5"
    assert found['lstm_edge_skill_ratio{target="t"}'] == repr(1 - 1.5 / 4)


def test_new_scores_replace_the_old() -> None:
    metrics = GatewayMetrics(most_assets=2)
    metrics.score([Score("old", "t", 1.0, 2.0, 1.0)])
    metrics.score([Score("new", "t", 1.0, 0.0, 1.0)])
    found = samples(metrics.exposition())
    assert 'lstm_edge_asset_skill_ratio{asset="old",target="t"}' not in found
    assert found['lstm_edge_asset_skill_ratio{asset="new",target="t"}'] == "NaN"


def test_skill_against_a_persistence_without_error_is_not_a_number() -> None:
    assert math.isnan(skill(1.0, 0.0))
    assert skill(0.5, 2.0) == 0.75


def test_the_memory_is_that_of_this_process_at_the_time_of_reading() -> None:
    found = samples(GatewayMetrics().exposition())
    assert int(found["lstm_edge_resident_memory_bytes"]) > 1 << 20


def test_a_system_without_proc_has_no_memory_figure(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("toolkit.edge.gateway_metrics._STATUS", tmp_path / "absent")
    assert resident_bytes() == 0


def test_counts_that_are_kept_elsewhere_are_taken_over_and_never_fall() -> None:
    metrics = GatewayMetrics()
    for total in (0, 5, 3):
        metrics.dropped_since_start({"age": total})
    assert samples(metrics.exposition())['lstm_edge_forecasts_dropped_total{reason="age"}'] == "5"


# the registry


def test_a_family_that_is_full_counts_the_rest_together() -> None:
    registry = Registry()
    family = registry.counter("c_total", "Text.", ["a", "b"], most=3)
    for name in "uvwxyz":
        family.child(name, "1").inc()
    found = samples(registry.exposition())
    assert found == {
        'c_total{a="u",b="1"}': "1",
        'c_total{a="v",b="1"}': "1",
        'c_total{a="w",b="1"}': "1",
        'c_total{a="other",b="other"}': "3",
    }


def test_the_wrong_number_of_labels_and_a_name_twice_are_refused() -> None:
    registry = Registry()
    family = registry.gauge("g", "Text.", ["a"])
    with pytest.raises(ValueError, match="has the labels"):
        family.child("x", "y")
    with pytest.raises(ValueError, match="stands twice"):
        registry.counter("g", "Text.")


@pytest.mark.parametrize("limits", [(), (1.0, 1.0), (2.0, 1.0)])
def test_limits_that_do_not_rise_are_refused(limits) -> None:
    with pytest.raises(ValueError, match="must rise"):
        Histogram(limits)


@given(st.lists(st.floats(min_value=-1e6, max_value=1e6)))
def test_buckets_hold_all_that_is_not_above_their_limit(values: list[float]) -> None:
    limits = (-10.0, 0.0, 0.5, 100.0)
    histogram = Histogram(limits)
    for value in values:
        histogram.observe(value)
    *buckets, total, count = [value for _, _, value in histogram.samples()]
    assert buckets == [sum(value <= limit for value in values) for limit in (*limits, math.inf)]
    assert count == len(values)
    assert total == pytest.approx(sum(values), abs=1e-3)


@given(st.floats())
def test_numbers_read_back(value: float) -> None:
    text = number(value)
    assert float(text) == value or (math.isnan(value) and text == "NaN")


def test_a_reader_never_sees_buckets_that_disagree_with_the_count() -> None:
    metrics = GatewayMetrics()
    done = threading.Event()

    def update() -> None:
        while not done.is_set():
            metrics.latency.observe(0.02)
            metrics.dropped("age")

    thread = threading.Thread(target=update)
    thread.start()
    try:
        for _ in range(100):
            found = samples(metrics.exposition())
            last = found['lstm_edge_forecast_latency_seconds_bucket{le="+Inf"}']
            assert last == found["lstm_edge_forecast_latency_seconds_count"]
    finally:
        done.set()
        thread.join()
