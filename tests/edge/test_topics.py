"""Patterns of topics: who is matched, who is not, what cannot be a pattern or a name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge.topics import LONGEST_NAME, TopicPattern, is_asset_name
from toolkit.errors import ConfigError

NAMES = st.text(min_size=1, max_size=40).filter(is_asset_name)
LEVELS = st.lists(st.sampled_from(["plant", "a", "temperature", ""]), min_size=1, max_size=3)


def matches(subscription: str, topic: str) -> bool:
    """MQTT 5, 4.7.1, for filters without `#`."""
    wanted, levels = subscription.split("/"), topic.split("/")
    return len(wanted) == len(levels) and all(one in ("+", level) for one, level in zip(wanted, levels, strict=True))


@pytest.mark.parametrize(
    ("pattern", "subscription", "topic", "asset"),
    [
        ("plant/{asset}/temperature", "plant/+/temperature", "plant/pump 1/temperature", "pump 1"),
        ("{asset}", "+", "pump-1", "pump-1"),
        ("{asset}/x", "+/x", "pump/x", "pump"),
        ("plant/{asset}", "plant/+", "plant/", ""),
        ("plant/all", "plant/all", "plant/all", ""),
    ],
)
def test_the_level_of_the_asset_is_read(pattern, subscription, topic, asset):
    found = TopicPattern(pattern)
    assert found.subscription == subscription
    assert found.asset(topic) == asset
    assert found.fill(asset) == topic


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("plant/{asset}/temperature", "plant/a/b/temperature"),
        ("plant/{asset}/temperature", "plant/temperature"),
        ("plant/{asset}/temperature", "plant/a/temperature/"),
        ("plant/{asset}/temperature", "other/a/temperature"),
        ("aa/{asset}/aa", "aa/aa"),
        ("a/{asset}/a", "a/a"),
        ("{asset}", "a/b"),
        ("plant/all", "plant/all2"),
        ("plant/all", ""),
    ],
)
def test_other_topics_are_of_no_pattern(pattern, topic):
    assert TopicPattern(pattern).asset(topic) is None


@settings(deadline=None)
@given(LEVELS, LEVELS, st.booleans(), st.text(max_size=30))
def test_a_pattern_matches_what_its_subscription_matches(before, after, named, topic):
    levels = [*before, *(["{asset}"] if named else []), *after]
    if not "/".join(levels):
        return
    pattern = TopicPattern("/".join(levels))
    for candidate in (topic, "/".join([*before, topic, *after]), "/".join([*before, *after])):
        assert (pattern.asset(candidate) is not None) == matches(pattern.subscription, candidate)


@settings(deadline=None)
@given(NAMES)
def test_a_filled_pattern_gives_the_name_back(name):
    pattern = TopicPattern("forecast/{asset}/v1")
    assert pattern.asset(pattern.fill(name)) == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not empty"),
        ("plant/\0", "printable"),
        ("plant/\ud800", "printable"),
        ("p" * 65_500, "64 KB"),
        ("plant/+/x", "wildcard"),
        ("plant/#", "wildcard"),
        ("$SYS/{asset}", r"begins with a \$"),
        ("$share/group/{asset}", r"begins with a \$"),
        ("{asset}/{asset}", "twice"),
        ("plant/x{asset}", "brace"),
        ("plant/{asset}x/{asset}", "brace"),
        ("plant/{Asset}", "brace"),
        ("plant/}", "brace"),
    ],
)
def test_what_is_no_pattern_is_refused_by_name(text, words):
    with pytest.raises(ConfigError, match=f"output.topic.*{words}"):
        TopicPattern(text, "output.topic")


@pytest.mark.parametrize("name", ["pump-1", "Pumpe Süd", "7", "a$", "x" * LONGEST_NAME, "ä" * 64])
def test_names(name):
    assert is_asset_name(name)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a+", "#", "$SYS", "a\0", "a\n", "\ud800", "\u200b", "x" * (LONGEST_NAME + 1), "ä" * 65]
)
def test_what_is_no_name(name):
    assert not is_asset_name(name)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("plant/{asset}/x", "plant/pump/{asset}", True),
        ("plant/{asset}/x", "plant/{asset}/y", False),
        ("plant/{asset}", "plant/{asset}/x", False),
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
    ],
)
def test_patterns_that_share_a_topic_overlap(one, other, overlap):
    assert TopicPattern(one).overlaps(TopicPattern(other)) is overlap
    assert TopicPattern(other).overlaps(TopicPattern(one)) is overlap
