"""Whole messages: whose they are, what is JSON, and that nothing at all makes the reader stumble."""

import json

import pytest
from edge_payloads import COLUMNS, TEMPERATURE, TOPIC, T, one_input, read, reader, refusals, values
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge import payloads
from toolkit.edge.columns import Column
from toolkit.edge.payload_times import EARLIEST_US, LATEST_US
from toolkit.edge.payloads import PayloadReader
from toolkit.edge.readings import ParsedMessage, Reading, Reason, Refusal
from toolkit.edge.settings import LARGEST_FLOAT32, ColumnLimits, FieldSettings, InputSettings
from toolkit.errors import ConfigError


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("other/pump-1/t", Reason.TOPIC),
        ("plant/pump-1", Reason.TOPIC),
        ("", Reason.TOPIC),
        ("plant//t", Reason.ASSET_NAME),
        ("plant/\0/t", Reason.ASSET_NAME),
        ("plant/$x/t", Reason.ASSET_NAME),
        ("plant/\ud800/t", Reason.ASSET_NAME),
        (f"plant/{'x' * 129}/t", Reason.ASSET_NAME),
    ],
)
def test_a_topic_that_names_no_asset_is_refused(topic, reason):
    one = reader()
    for _ in range(2):
        assert one.read(topic, b'{"time":1000000000000000,"value":1}') == ("", [], [Refusal(reason)])


def test_each_input_reads_its_own_topics():
    pressure = InputSettings("plant/{asset}/p", {"pressure": FieldSettings("v")}, time_format="seconds")
    both = reader(TEMPERATURE, pressure)
    assert both.subscriptions == (("plant/+/t", 1), ("plant/+/p", 1))
    assert both.read("plant/a/p", b'{"time":1000000000,"v":2}') == ("a", [Reading(1, T, 2.0)], [])
    assert both.read("plant/b/t", b'{"time":1000000000000000,"value":2}') == ("b", [Reading(0, T, 2.0)], [])


def test_topics_are_remembered_up_to_a_bound_and_read_the_same_beyond(monkeypatch):
    monkeypatch.setattr(payloads, "ROUTES_KEPT", 10)
    one = reader()
    for number in [*range(25), *range(25)]:
        assert one.read(f"plant/{number}/t", b'{"time":1000000000000000,"value":1}').asset == str(number)
        one.read(f"plant/${number}/t", b"")
        assert len(one._routes) <= 10


ANYWHERE = InputSettings("all", {"temperature": FieldSettings("value")}, time_format="microseconds", asset="m.id")


@pytest.mark.parametrize(
    ("payload", "asset"),
    [
        ({"m": {"id": "pump"}, "time": T, "value": 1}, "pump"),
        ({"m.id": 7, "time": T, "value": 1}, "7"),
        (
            [
                {"m.id": "a", "time": T, "value": 1},
                {"m": {"id": "a"}, "time": T + 1, "value": 2},
            ],
            "a",
        ),
    ],
)
def test_an_asset_may_be_named_in_the_payload(payload, asset):
    message = read(payload, ANYWHERE, topic="all")
    assert message.asset == asset
    assert len(values(message)) == (len(payload) if isinstance(payload, list) else 1)


def test_an_asset_may_be_named_for_all_samples_together():
    held = InputSettings(
        "all", {"temperature": FieldSettings("v")}, time_format="microseconds", asset="id", samples="s"
    )
    assert read({"id": "a", "s": [{"time": T, "v": 1}]}, held, topic="all") == (
        "a",
        [Reading(0, T, 1.0)],
        [],
    )
    assert read({"s": [{"id": "a", "time": T, "v": 1}]}, held, topic="all") == (
        "a",
        [Reading(0, T, 1.0)],
        [],
    )


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"time": T, "value": 1}, Reason.ASSET_NAME),
        ({"m.id": None, "time": T, "value": 1}, Reason.ASSET_NAME),
        ({"m.id": True, "time": T, "value": 1}, Reason.ASSET_NAME),
        ({"m.id": "a/b", "time": T, "value": 1}, Reason.ASSET_NAME),
        ({"m.id": "\ud800", "time": T, "value": 1}, Reason.NOT_JSON),
        ({"m.id": 10**200, "time": T, "value": 1}, Reason.ASSET_NAME),
        ([], Reason.ASSET_NAME),
        (
            [{"m.id": "a", "time": T, "value": 1}, {"m.id": "b", "time": T, "value": 1}],
            Reason.SHAPE,
        ),
        ([{"m.id": "a", "time": T, "value": 1}, {"time": T, "value": 1}], Reason.SHAPE),
    ],
)
def test_a_payload_that_names_no_asset_or_several_is_refused_whole(payload, reason):
    assert read(payload, ANYWHERE, topic="all") == ("", [], [Refusal(reason)])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"{}x",
        b"{'time': 1}",
        b'{"time": 1000000000000000,}',
        b'{"time": 01}',
        b'\xef\xbb\xbf{"time":1000000000000000,"value":1}',
        '{"time":1000000000000000,"value":1}'.encode("utf-16"),
        '{"time":1000000000000000,"value":1}'.encode("utf-32-le"),
        b'{"time":1000000000000000,"value":1,"x":"\xff"}',
        b'{"time":1000000000000000,"value":1,"x":"\xed\xa0\x80"}',
        b'{"time":1000000000000000,"value":1,"x":"\\ud800"}',
        b'{"time":1000000000000000,"value":1,"\\uDC00":1}',
        b'{"time":1000000000000000,"value":1,"x":"a\nb"}',
        b'{"time":1000000000000000,"value":' + b"9" * 90_000 + b"}",
        b"[" * 90_000,
        b'{"a":' * 15_000,
        b'"\\u0041",' + b"[" * 90_000,
        b"\0",
    ],
)
def test_what_is_no_strict_json_is_refused_whole(payload):
    assert read(payload) == ("pump-1", [], [Refusal(Reason.NOT_JSON)])


def test_a_million_digits_are_refused_without_being_read():
    assert refusals(reader(most=2_000_000).read(TOPIC, b'{"time":' + b"1" * 1_000_000 + b"}")) == [Reason.NOT_JSON]


def test_escaped_text_that_is_whole_is_text():
    payload = b'{"time":1000000000000000,"value":1,"x":"\\ud83d\\ude00 \\u00b0C \\\\u"}'
    assert values(read(payload)) == [1.0]
    named = one_input({"temperature": FieldSettings("value", unit_field="u")})
    assert values(read(b'{"time":1000000000000000,"value":1,"u":"\\u00b0C"}', named)) == [1.0]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"time":1000000000000000,"value":1,"value":2}',
        b'{"time":1000000000000000,"value":1,"value":1}',
        b'{"time":1000000000000000,"value":1,"\\u0076alue":2}',
        b'[{"time":1000000000000000,"value":1},{"time":1000000000000001,"value":2,"x":{"a":1,"a":1}}]',
    ],
)
def test_a_key_that_stands_twice_refuses_the_message(payload):
    assert read(payload) == ("pump-1", [], [Refusal(Reason.SHAPE)])


def test_a_message_that_is_too_large_is_not_read():
    payload = b'{"time":1000000000000000,"value":1}'
    assert values(reader(most=len(payload)).read(TOPIC, payload)) == [1.0]
    assert reader(most=len(payload)).read(TOPIC, payload + b" ") == ("pump-1", [], [Refusal(Reason.TOO_LARGE)])
    assert refusals(reader(most=5).read("other", payload)) == [Reason.TOPIC]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"humidity": FieldSettings("value")}, "got 'humidity'; allowed: temperature, pressure, speed"),
        ({"temperature": FieldSettings("value", unit="bar")}, "unit of the column temperature"),
        ({"speed": FieldSettings("value", unit_field="u")}, "unit_field of the column speed"),
    ],
)
def test_an_input_that_does_not_fit_the_columns_is_refused(columns, words):
    with pytest.raises(ConfigError, match=words):
        reader(one_input(columns))


def test_a_column_of_rows_is_turned_as_the_statistic_that_it_is():
    columns = (Column("T.mean", "degC", (0,)), Column("T.std", "degC", (1,)), Column("T", "degC", (2,)))
    fields = {column.name: FieldSettings(column.name, unit="K") for column in columns}
    rows = PayloadReader((one_input(fields),), columns, {}, 1000)
    message = rows.read(TOPIC, b'{"time":1000000000000000,"T.mean":300,"T.std":2,"T":300}')
    assert values(message) == [pytest.approx(26.85), 2.0, pytest.approx(26.85)]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["time", "value", "n", "u", "m.id", "m", "id", "s"]), inner)
    ),
    max_leaves=12,
)
SAMPLES = st.fixed_dictionaries(
    {"time": JSON_VALUES | st.integers(0, LATEST_US), "value": JSON_VALUES | st.floats()},
    optional={
        "n": JSON_VALUES,
        "u": st.text() | st.sampled_from(["degF", "K", "bar"]),
        "m.id": st.text() | JSON_VALUES,
    },
)
FUZZED = reader(
    InputSettings(
        "{asset}/t", {"temperature": FieldSettings("value", unit_field="u")}, sequence="n", time_format="seconds"
    ),
    InputSettings("all", {"pressure": FieldSettings("value", unit="bar")}, asset="m.id", samples="s"),
    InputSettings("plant/{asset}/x", {"speed": FieldSettings("m.id")}, time="time", time_format="nanoseconds"),
    limits={"temperature": ColumnLimits(minimum=-1e6)},
)
TOPICS = st.text() | st.sampled_from(["a/t", "all", "plant/b/x"])


def check(message: ParsedMessage) -> None:
    assert message.asset or not message.readings
    for column, time_us, value, sequence in message.readings:
        assert type(value) is float
        assert abs(value) <= LARGEST_FLOAT32
        assert EARLIEST_US <= time_us < LATEST_US
        assert sequence is None or 0 <= sequence < 2**63
        assert 0 <= column < len(COLUMNS)
    assert all(refusal.reason in Reason for refusal in message.refused)


@settings(deadline=None)
@given(TOPICS, st.binary(max_size=300))
def test_no_bytes_make_the_reader_stumble(topic, payload):
    check(FUZZED.read(topic, payload))


@settings(deadline=None)
@given(TOPICS, JSON_VALUES | SAMPLES | st.lists(SAMPLES, max_size=4), st.booleans())
def test_no_json_makes_the_reader_stumble(topic, payload, escaped):
    text = json.dumps(payload, ensure_ascii=escaped)
    check(FUZZED.read(topic, text.encode(errors="surrogatepass")))
    check(FUZZED.read(topic, f'{{"s":{text},"m.id":"a"}}'.encode(errors="surrogatepass")))


@settings(deadline=None)
@given(TOPICS, SAMPLES, st.data())
def test_no_damage_to_a_sample_makes_the_reader_stumble(topic, sample, data):
    payload = bytearray(json.dumps(sample).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check(FUZZED.read(topic, bytes(payload)))
