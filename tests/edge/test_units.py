"""Units of the source into units of the bundle: exact where they are known, refused where they are not."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge import units as room
from toolkit.edge.units import DIFFERENCES, IDENTITY, conversion, known_conversion, units_of
from toolkit.errors import ConfigError
from toolkit.signal.features import FEATURES

QUANTITIES = {
    "degC": "K degF", "Pa": "kPa MPa hPa mbar bar psi atm mmHg", "m/s": "mm/s in/s", "m": "mm um in", "m/s2": "g",
    "A": "mA", "V": "mV kV", "W": "kW MW hp", "Hz": "rpm kHz", "m3/s": "L/min m3/h L/s", "kg": "g t lb", "N": "kN",
    "1": "%", "s": "min h ms", "m3": "L",
}  # fmt: skip
PAIRS = [(unit, other) for unit, others in QUANTITIES.items() for other in others.split()]


@pytest.mark.parametrize(
    ("unit", "number", "wanted", "expected"),
    [
        ("degF", 212.0, "degC", 100.0),
        ("degC", -40.0, "degF", -40.0),
        ("K", 273.15, "degC", 0.0),
        ("bar", 1.01325, "atm", 1.0),
        ("psi", 14.503773773020923, "bar", 1.0),
        ("mmHg", 760.0, "Pa", 101325.0144354),
        ("in/s", 1.0, "mm/s", 25.4),
        ("g", 1.0, "m/s2", 9.80665),
        ("hp", 1.0, "W", 745.6998715822702),
        ("rpm", 1500.0, "Hz", 25.0),
        ("L/min", 1000.0, "m3/h", 60.0),
        ("lb", 1.0, "kg", 0.45359237),
        ("%", 50.0, "1", 0.5),
        ("h", 1.0, "ms", 3.6e6),
        ("psig", 14.503773773020923, "barg", 1.0),
        ("lbf.ft", 1.0, "Nm", 1.3558179483314004),
        ("cfm", 1.0, "m3/h", 1.69901079552),
    ],
)
def test_numbers_of_handbooks_come_out(unit, number, wanted, expected):
    factor, offset = conversion(unit, wanted)
    assert factor * number + offset == pytest.approx(expected, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_there_and_back_is_where_it_was(one, other):
    there, back = conversion(one, other), conversion(other, one)
    assert there[0] * back[0] == pytest.approx(1.0, rel=1e-15)
    assert back[0] * (there[0] * 7.25 + there[1]) + back[1] == pytest.approx(7.25, rel=1e-12)


def test_a_factor_is_rounded_once():
    assert conversion("L/min", "m3/h") == (0.06, 0.0)
    assert conversion("degF", "degC") == (float(Fraction(5, 9)), float(Fraction(-160, 9)))
    assert conversion("Hz", "rpm") == (60.0, 0.0)


@settings(deadline=None)
@given(st.text(), st.sampled_from([*FEATURES, "value", "something"]))
def test_what_is_written_the_same_is_taken_as_it_is(unit, feature):
    assert conversion(unit, unit, feature) == IDENTITY


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("°C", "degC"), ("º C", "degC"), ("℃", "degC"), ("Celsius", "degC"), ("deg C", "°C"), ("m³/h", "m3/h"),
        ("m^3/h", "m3/h"), ("m/s²", "m/s2"), ("\u00b5m", "um"), ("\u03bcm", "um"), ("N·m", "Nm"), ("l/min", "L/min"),
        ("RPM", "rpm"), ("bar(a)", "bar"), ("Kelvin", "K"), ("Percent", "%"), ("bar (g)", "barg"),
    ],
)  # fmt: skip
def test_spellings_of_one_unit_are_one_unit(one, other):
    assert conversion(one, other) == conversion(other, one) == IDENTITY


@pytest.mark.parametrize(("one", "other"), [("mPa", "MPa"), ("mw", "MW"), ("BAR", "mBAR"), ("PA", "Pa"), ("C", "c")])
def test_case_is_no_matter_of_taste(one, other):
    with pytest.raises(ConfigError, match="cannot be turned into"):
        conversion(one, other)


def test_milliwatts_are_not_megawatts():
    assert conversion("mW", "MW") == (1e-9, 0.0)


@pytest.mark.parametrize("feature", ["value", "mean", "min", "max", "last", "some_other"])
def test_readings_move_with_the_zero_of_the_scale(feature):
    assert conversion("degC", "K", feature) == (1.0, 273.15)


@pytest.mark.parametrize("feature", DIFFERENCES)
def test_differences_of_readings_do_not(feature):
    assert conversion("degF", "degC", feature) == (float(Fraction(5, 9)), 0.0)


@pytest.mark.parametrize("feature", ["peak", "rms"])
def test_what_mixes_reading_and_zero_takes_a_factor_and_refuses_an_offset(feature):
    assert conversion("kPa", "Pa", feature) == (1000.0, 0.0)
    with pytest.raises(ConfigError, match=f"a {feature} in 'degF'.*zero of 'degC'.*fix: send it as 'degC'"):
        conversion("degF", "degC", feature)


@pytest.mark.parametrize("feature", ["crest_factor", "kurtosis", "count"])
def test_a_pure_number_has_no_unit_to_turn(feature):
    assert conversion("%", "1", feature) == (0.01, 0.0)
    for pair in (("kPa", "Pa"), ("degF", "degC")):
        with pytest.raises(ConfigError, match="pure number"):
            conversion(*pair, feature)


def test_every_feature_is_provided_for():
    pure = {name for name, feature in FEATURES.items() if feature.unit == "none"}
    assert set(FEATURES) == pure | {"peak", "rms"} | {*DIFFERENCES} | ({*room.WITH_OFFSET} - {"value"})


def test_slopes_are_turned_per_time():
    assert conversion("degF/min", "degC/s", "slope") == (pytest.approx(5 / 540, rel=1e-15), 0.0)
    assert conversion("(mm/s)/h", "(m/s)/s", "slope")[0] == pytest.approx(1e-3 / 3600, rel=1e-15)
    assert conversion("kPa/s", "Pa/s", "slope") == (1000.0, 0.0)
    assert known_conversion("kPa/s", "Pa/s", "mean") is None
    assert known_conversion("kPa/bar", "Pa/s", "slope") is None
    assert known_conversion("kPa/bar", "Pa/psi", "slope") is None
    assert known_conversion("kPa", "Pa/s", "slope") is None


@pytest.mark.parametrize("pair", [("bar(g)", "bar"), ("kPa", "kPag"), ("psig", "Pa")])
def test_gauge_pressure_is_no_absolute_pressure(pair):
    with pytest.raises(ConfigError, match="pressure of the air"):
        conversion(*pair)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("bar", "degC"), "allowed: K, degC, degF"),
        (("degc", "K"), "did you mean 'degC'"),
        (("furlong", "mm"), "allowed: m, cm, mm"),
        (("x", "y"), "only 'y', which the table of units does not know"),
        (("bar", ""), "the bundle does not say"),
    ],
)
def test_a_refusal_says_what_is_allowed(pair, words):
    with pytest.raises(ConfigError) as caught:
        conversion(*pair)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.text(), st.text(), st.sampled_from([*FEATURES, "value"]))
def test_any_text_is_a_unit_or_none(one, other, feature):
    found = known_conversion(one, other, feature)
    assert found is None or found[0] > 0


def test_a_spelling_of_several_quantities_has_one_answer():
    for spelling, meanings in room._spellings().items():
        for other in room._spellings():
            pairs = room._common(spelling, other)
            assert len({room._linear(*pair) for pair in pairs}) <= 1, (spelling, other, meanings)


def test_units_of_one_quantity_are_all_turned_into_each_other():
    for one, other in itertools.permutations(units_of("bar"), 2):
        assert conversion(one, other)[0] > 0
    assert units_of("furlong") == ()
