import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.contract.signals import Channel, SignalSpec, channel_from_name, variable_major
from toolkit.errors import DataError

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
