import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.contract.records import decode, encode
from toolkit.contract.signals import Channel, GapPolicy, SignalSpec, channel_from_name, gap_policy, variable_major
from toolkit.errors import BundleError, ConfigError, DataError

CHANNELS = (Channel("t.mean", "t", "mean", "°C"), Channel("p.mean", "p", "mean", "Pa"), Channel("p.std", "p", "std"))


def test_targets_are_found_among_the_channels():
    spec = SignalSpec(CHANNELS, ("p.mean", "t.mean"), 60.0)
    assert spec.channel_names == ("t.mean", "p.mean", "p.std")
    assert spec.target_indices == (1, 0)
    assert spec.target_units == ("Pa", "°C")


@pytest.mark.parametrize(
    ("channels", "targets", "interval_s", "words"),
    [
        ((*CHANNELS, CHANNELS[0]), ("p.mean",), 60.0, "twice; got t.mean"),
        (CHANNELS, ("q",), 60.0, "no channel; got q; allowed: t.mean, p.mean, p.std"),
        (CHANNELS, ("p.mean",), 0.0, "positive; got 0.0 s"),
        (CHANNELS, ("p.mean",), float("nan"), "positive; got nan s"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(channels, targets, interval_s, words):
    with pytest.raises(DataError, match=words):
        SignalSpec(channels, targets, interval_s)


@pytest.mark.parametrize(
    ("name", "variable", "feature"),
    [("OT", "OT", "value"), ("p.mean", "p", "mean"), ("pump.p.std", "pump.p", "std"), (".x", ".x", "value")],
)
def test_a_name_tells_variable_and_feature(name, variable, feature):
    assert channel_from_name(name, "u") == Channel(name, variable, feature, "u")


def test_features_of_a_variable_stand_together_in_the_order_given():
    given_order = ("t.mean", "p.mean", "t.std", "OT", "p.peak", "t.peak")
    assert variable_major(given_order) == ("t.mean", "t.std", "t.peak", "p.mean", "p.peak", "OT")


NAMES = st.builds("{}.{}".format, st.sampled_from("abc"), st.sampled_from(["mean", "std", "peak"]))


@given(st.lists(NAMES, unique=True))
def test_variable_major_neither_loses_nor_reorders_within_a_variable(names):
    ordered = variable_major(names)
    assert sorted(ordered) == sorted(names)
    assert variable_major(ordered) == ordered
    for variable in "abc":
        assert [n for n in ordered if n[0] == variable] == [n for n in names if n[0] == variable]
    changes = sum(first[0] != second[0] for first, second in itertools.pairwise(ordered))
    assert changes == max(len({name[0] for name in names}) - 1, 0)


def test_a_signal_crosses_to_the_gateway_with_all_that_it_needs_to_compute_the_same():
    channels = (Channel("p.mean", "p", "mean", "Pa", "hold:3"), Channel("p.count", "p", "count", "1"))
    spec = SignalSpec(channels, ("p.mean",), 60.0, "samples", 5)
    assert decode(SignalSpec, encode(spec), "here", BundleError) == spec


def test_a_signal_of_an_older_version_is_of_rows_and_breaks_at_gaps():
    channel = {"name": "p.mean", "variable": "p", "feature": "mean", "unit": "Pa"}
    old = {"channels": [channel], "targets": ["p.mean"], "interval_s": 60.0}
    spec = decode(SignalSpec, old, "here", BundleError)
    assert (spec.sampling, spec.min_samples, spec.channels[0].gap) == ("rows", 1, "break")


@pytest.mark.parametrize(
    ("channel", "sampling", "min_samples", "words"),
    [
        (Channel("level", "p", "mean"), "samples", 1, "named otherwise; got level; allowed: p.mean"),
        (Channel("p.mean", "p", "mean"), "samples", 0, "fewest samples of an interval; got 0; allowed: 1 or more"),
    ],
)
def test_a_signal_of_samples_that_cannot_be_computed_is_refused(channel, sampling, min_samples, words):
    with pytest.raises(DataError, match=words):
        SignalSpec((channel,), (), 60.0, sampling, min_samples)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("break", GapPolicy("break")),
        ("hold:1", GapPolicy("hold", 1)),
        ("hold:10000", GapPolicy("hold", 10_000)),
        ("interpolate:5", GapPolicy("interpolate", 5)),
    ],
)
def test_gap_policies(text, policy):
    assert gap_policy(text, "here", ConfigError) == policy


@pytest.mark.parametrize(
    "text", ["", "hold", "hold:", "hold:0", "hold:-1", "hold:1.5", "hold:10001", "hold:\u0661", "linear:3", "break:1"]
)
def test_what_is_no_gap_policy_is_refused(text):
    with pytest.raises(ConfigError, match=r"here; got .*; allowed: break, hold:N or interpolate:N, N from 1 to 10000"):
        gap_policy(text, "here", ConfigError)
    with pytest.raises(DataError, match="gap policy of the channel 'p'"):
        Channel("p", "p", "value", gap=text)


def test_channels_of_the_calendar_stand_at_the_end_and_are_no_targets():
    calendar = channel_from_name("calendar.hour_sin")
    assert SignalSpec((*CHANNELS, calendar), ("p.mean",), 60.0, timezone="Europe/Berlin").calendar_channels == 1
    assert SignalSpec(CHANNELS, ("p.mean",), 60.0).calendar_channels == 0
    with pytest.raises(DataError, match="calendar stand before others"):
        SignalSpec((calendar, *CHANNELS), ("p.mean",), 60.0)
    with pytest.raises(DataError, match="a target is computed from the time"):
        SignalSpec((*CHANNELS, calendar), ("calendar.hour_sin",), 60.0)
