"""Samples into readings: what is taken, and what is not and why."""

import json
import math
import struct

import pytest
from edge_payloads import TEMPERATURE, TOPIC, T, one_input, read, reader, refusals, values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit.edge import payload_fields, payloads
from toolkit.edge.readings import Reading, Reason, Refusal
from toolkit.edge.settings import LARGEST_FLOAT32, ColumnLimits, FieldSettings


def test_one_sample_is_one_reading_of_each_column():
    both = one_input({"pressure": FieldSettings("p"), "temperature": FieldSettings("t")}, sequence="seq")
    message = read({"time": T + 6, "seq": 3, "t": 20, "p": 1e5, "more": [1]}, both)
    assert message == ("pump-1", [Reading(1, T + 6, 1e5, 3), Reading(0, T + 6, 20.0, 3)], [])
    assert all(type(reading.value) is float for reading in message.readings)


@pytest.mark.parametrize("samples", [[], [{"time": T, "value": 1.5}], [{"time": T + n, "value": n} for n in range(9)]])
def test_an_array_is_its_samples_in_their_order(samples):
    expected = [(sample["time"], sample["value"]) for sample in samples]
    held = one_input({"temperature": FieldSettings("value")}, samples="data.samples")
    for message in (read(samples), read({"data": {"samples": samples}}, held)):
        assert [(reading.time_us, reading.value) for reading in message.readings] == expected
        assert not message.refused


@pytest.mark.parametrize(
    "payload",
    [{"value": 1, "time": T}, [{"value": 1, "time": T}], {"data": {}}, {"data": None}, 3],
)
def test_an_array_that_is_not_where_it_should_be_is_no_sample(payload):
    held = one_input({"temperature": FieldSettings("value")}, samples="data")
    assert refusals(read(payload, held)) == [Reason.SHAPE]


@pytest.mark.parametrize("payload", [3, "text", None, True, [1], [[]], ["x"]])
def test_what_is_no_object_is_no_sample(payload):
    assert refusals(read(payload)) == [Reason.SHAPE]


def test_a_bad_sample_does_not_spoil_its_neighbours():
    message = read(
        [
            {"time": T, "value": 1},
            None,
            {"value": 2},
            {"time": T + 2, "value": "3"},
            {"time": T + 3, "value": 4},
        ]
    )
    assert values(message._replace(refused=[])) == [1.0, 4.0]
    assert message.refused == [Refusal(Reason.SHAPE), Refusal(Reason.NO_TIME), Refusal(Reason.TEXT, 0)]


def test_a_bad_field_does_not_spoil_the_others_of_its_sample():
    both = one_input({"pressure": FieldSettings("p"), "temperature": FieldSettings("t")})
    assert read({"time": T, "p": None, "t": 5}, both) == (
        "pump-1",
        [Reading(0, T, 5.0)],
        [Refusal(Reason.NULL, 1)],
    )


def test_more_samples_than_may_come_at_once_are_refused_together():
    sample = b'{"time":1000000000000000,"value":1},'
    most = payloads.MOST_SAMPLES
    large = reader(most=10_000_000)
    assert len(large.read(TOPIC, b"[" + (sample * most)[:-1] + b"]").readings) == most
    assert refusals(large.read(TOPIC, b"[" + (sample * (most + 1))[:-1] + b"]")) == [Reason.SHAPE]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("null", Reason.NULL),
        ('"1.5"', Reason.TEXT),
        ('"text"', Reason.TEXT),
        ("true", Reason.TEXT),
        ("[1]", Reason.TEXT),
        ('{"a":1}', Reason.TEXT),
        ("NaN", Reason.NOT_A_NUMBER),
        ("Infinity", Reason.INFINITE),
        ("-Infinity", Reason.INFINITE),
        ("1e400", Reason.INFINITE),
        ("9" * 400, Reason.INFINITE),
        ("-" + "9" * 4000, Reason.INFINITE),
        ("3.5e38", Reason.INFINITE),
        ("-3.5e38", Reason.INFINITE),
        ("35" + "0" * 37, Reason.INFINITE),
    ],
)
def test_what_is_no_number_of_the_model_is_refused_by_its_name(text, reason):
    for limits in ({}, {"temperature": ColumnLimits(-40.0, 200.0)}):
        message = read(f'{{"time":1000000000000000,"value":{text}}}'.encode(), limits=limits)
        assert message == ("pump-1", [], [Refusal(reason, 0)])


def test_a_missing_field_is_missing():
    assert refusals(read({"time": T, "VALUE": 3})) == [Reason.MISSING]


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**200), 2**200))
@example(LARGEST_FLOAT32)
@example(math.nextafter(LARGEST_FLOAT32, math.inf))
@example(-0.0)
def test_a_number_is_taken_as_it_is_where_float32_can_hold_it(number):
    message = read({"time": T, "value": number})
    if abs(number) <= LARGEST_FLOAT32:
        assert values(message) == [float(number)]
        assert struct.pack("<f", message.readings[0].value)
    else:
        assert refusals(message) == [Reason.INFINITE]


@pytest.mark.parametrize(
    ("value", "taken"),
    [(-40.0, True), (200, True), (-40.000001, False), (201, False), (math.nextafter(200, 300), False)],
)
def test_limits_are_part_of_what_is_allowed(value, taken):
    message = read({"time": T, "value": value}, limits={"temperature": ColumnLimits(-40.0, 200.0)})
    assert message.refused == ([] if taken else [Refusal(Reason.OUT_OF_LIMITS, 0)])


def test_one_limit_leaves_the_other_side_open():
    for limits, values_ in ((ColumnLimits(minimum=0.0), (1e30, -1.0)), (ColumnLimits(maximum=0.0), (-1e30, 1.0))):
        taken, refused = (read({"time": T, "value": v}, limits={"temperature": limits}) for v in values_)
        assert taken.readings
        assert refusals(refused) == [Reason.OUT_OF_LIMITS]


def test_limits_count_after_the_conversion():
    fahrenheit = one_input({"temperature": FieldSettings("value", unit="degF")})
    limits = {"temperature": ColumnLimits(0.0, 100.0)}
    assert values(read({"time": T, "value": 212}, fahrenheit, limits=limits)) == [pytest.approx(100.0)]
    assert refusals(read({"time": T, "value": 20}, fahrenheit, limits=limits)) == [Reason.OUT_OF_LIMITS]


def test_a_conversion_beyond_float32_is_infinite():
    megapascal = one_input({"pressure": FieldSettings("value", unit="MPa")})
    for text in ("1e33", "1e305", "1" + "0" * 33):
        assert refusals(read(f'{{"time":1000000000000000,"value":{text}}}'.encode(), megapascal)) == [Reason.INFINITE]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("bar", [1e5]),
        ("Pa", [1.0]),
        ("kPa", [1e3]),
        ("degC", [Reason.UNIT]),
        ("", [Reason.UNIT]),
        ("barg", [Reason.UNIT]),
        ("x" * 90_000, [Reason.UNIT]),
        (3, [Reason.UNIT]),
        ({}, [Reason.UNIT]),
        (None, [Reason.UNIT]),
    ],
)
def test_a_sample_may_name_its_unit(unit, expected):
    named = one_input({"pressure": FieldSettings("p.v", unit_field="p.unit")})
    for _ in range(2):
        message = read({"time": T, "p": {"v": 1, "unit": unit}}, named)
        assert [*(one.reason for one in message.refused), *(one.value for one in message.readings)] == expected


def test_a_sample_that_names_no_unit_is_in_that_of_the_settings():
    named = one_input({"pressure": FieldSettings("v", unit="bar", unit_field="u")})
    assert values(
        read(
            [
                {"time": T, "v": 1},
                {"time": T, "v": 1, "u": None},
                {"time": T, "v": 1, "u": "kPa"},
            ],
            named,
        )
    ) == [
        1e5,
        1e5,
        1e3,
    ]
    alone = one_input({"pressure": FieldSettings("v", unit_field="u")})
    assert refusals(read({"time": T, "v": 1}, alone)) == [Reason.UNIT]


def test_only_so_many_units_of_messages_are_remembered():
    named = one_input({"pressure": FieldSettings("v", unit_field="u")})
    one = reader(named)
    for number in range(3 * payload_fields.UNITS_KEPT):
        one.read(TOPIC, json.dumps({"time": T, "v": 1, "u": f"unit {number}"}).encode())
    units = one._inputs[0]._fields[0].units
    assert len(units._known) == payload_fields.UNITS_KEPT
    assert values(one.read(TOPIC, b'{"time":1000000000000000,"v":1,"u":"bar"}')) == [1e5]


def test_dots_lead_into_objects_and_a_key_that_has_them_comes_first():
    nested = one_input({"temperature": FieldSettings("a.b.c")}, time="meta.time", sequence="meta.n")
    meta = {"time": T, "n": 2}
    assert read({"a": {"b": {"c": 5}}, "meta": meta}, nested).readings == [Reading(0, T, 5.0, 2)]
    assert values(read({"a": {"b": {"c": 5}}, "a.b.c": 6, "meta": meta}, nested)) == [6.0]
    assert refusals(read({"a": {"b": 5}, "meta": meta}, nested)) == [Reason.MISSING]
    assert refusals(read({"a": [1], "meta": meta}, nested)) == [Reason.MISSING]
    assert refusals(read({"a": {"b": {"c": 5}}, "meta": 3}, nested)) == [Reason.NO_TIME]


@pytest.mark.parametrize("sequence", [0, 1, 2**63 - 1])
def test_a_sequence_is_a_number_of_the_source(sequence):
    message = read({"time": T, "value": 1, "n": sequence}, one_input(TEMPERATURE.columns, sequence="n"))
    assert message.readings[0].sequence == sequence


@pytest.mark.parametrize("sequence", [-1, 2**63, 10**400, 1.0, "1", True, None, [], ...])
def test_what_is_no_sequence_refuses_the_sample(sequence):
    sample = {"time": T, "value": 1} if sequence is ... else {"time": T, "value": 1, "n": sequence}
    assert read(sample, one_input(TEMPERATURE.columns, sequence="n")).refused == [Refusal(Reason.BAD_SEQUENCE)]


def test_a_limit_beyond_float32_makes_no_infinite_number_finite():
    limits = {"temperature": ColumnLimits(-1e300, 1e300)}
    assert [refusals(read({"time": T, "value": v}, limits=limits)) for v in (-1e39, 1e39)] == [[Reason.INFINITE]] * 2


def test_a_unit_that_is_no_text_is_not_that_of_the_settings():
    named = one_input({"pressure": FieldSettings("v", unit="bar", unit_field="u")})
    assert refusals(read({"time": T, "v": 1, "u": 3}, named)) == [Reason.UNIT]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"value": 1}, Reason.NO_TIME),
        ({"value": 1, "time": None}, Reason.NO_TIME),
        ({"value": 1, "time": "2026-01-05"}, Reason.BAD_TIME),
        ({"value": 1, "time": False}, Reason.BAD_TIME),
        ({"value": 1, "time": float("nan")}, Reason.BAD_TIME),
    ],
)
def test_a_sample_without_a_time_is_refused_whole(sample, reason):
    assert read(sample).refused == [Refusal(reason)]
