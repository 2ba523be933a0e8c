"""The unit in which a source sends a number, turned into the unit that the bundle was trained with.

A number `v` becomes `factor * v + offset`. Whatever is written the same on both sides is taken as it is, known or not;
everything else must be in the table below, and both units of one quantity: a unit that is guessed is a wrong forecast
that looks like a right one. Spelling counts (mW is not MW), but for signs that look alike (`°C`, `degC`, `m³/h`,
`m^3/h`) and for names written out (`Celsius`).

Factors are exact: by the SI brochure (BIPM, 9th edition, 2019, tables 2 to 8), for the inch, the pound, standard
gravity, the standard atmosphere and the conventional millimetre of mercury by NIST SP 811 (2008), appendix B. They are
worked out as fractions and rounded once.

Gauge pressures are a quantity of their own: between them and absolute ones lies the pressure of the air, which nobody
sends.
"""

import functools
import math
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from toolkit.contract.records import nearest
from toolkit.errors import ConfigError
from toolkit.signal.features import FEATURES

if TYPE_CHECKING:
    from fractions import Fraction

Conversion = tuple[float, float]
IDENTITY: Conversion = (1.0, 0.0)

WITH_OFFSET = ("value", "mean", "min", "max", "last")
"""Features that move with the zero of the scale."""
DIFFERENCES = ("std", "peak_to_peak", "slope")
"""Features that are differences of readings: the zero of the scale drops out of them."""

_POUND_FORCE = "4.4482216152605"  # 0.45359237 kg x 9.80665 m/s2
_PSI = "4.4482216152605/0.00064516"
_GALLON = "0.003785411784"  # of the United States: 231 cubic inches

# quantity: for each unit its size in the first one, its spellings (the first is shown), and, for temperatures, what is
# added to a number before the size counts.
_TABLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "temperature": (
        ("1", "K kelvin"),
        ("1", "degC °C C oC deg_C celsius", "273.15"),
        ("5/9", "degF °F F oF deg_F fahrenheit", "459.67"),
    ),
    "pressure": (
        ("1", "Pa pascal Pa(a)"), ("100", "hPa"), ("1000", "kPa kPa(a) kPaa"), ("1000000", "MPa"),
        ("100000", "bar Bar BAR bara bar(a)"), ("100", "mbar mbara mbar(a)"), (_PSI, "psi PSI psia psi(a)"),
        ("101325", "atm"), ("133.322387415", "mmHg"), ("101325/760", "Torr torr"), ("9.80665", "mmH2O"),
    ),
    "gauge pressure": (
        ("1", "Pa(g) Pag"), ("1000", "kPa(g) kPag"), ("1000000", "MPa(g) MPag"),
        ("100000", "bar(g) barg"), ("100", "mbar(g) mbarg"), (_PSI, "psi(g) psig"),
    ),
    "velocity": (
        ("1", "m/s"), ("0.001", "mm/s"), ("0.000001", "um/s μm/s"), ("0.0254", "in/s ips"), ("0.3048", "ft/s"),
        ("1/3.6", "km/h"), ("1/60", "m/min"),
    ),
    "length": (
        ("1", "m metre meter"), ("0.01", "cm"), ("0.001", "mm"), ("0.000001", "um μm micron"), ("1000", "km"),
        ("0.0254", "in inch"), ("0.0000254", "mil"), ("0.3048", "ft foot"),
    ),
    "acceleration": (("1", "m/s2 m/s/s"), ("0.001", "mm/s2"), ("9.80665", "g gn"), ("0.00980665", "mg")),
    "current": (("1", "A ampere"), ("0.001", "mA"), ("0.000001", "uA μA"), ("1000", "kA")),
    "voltage": (("1", "V volt"), ("0.001", "mV"), ("0.000001", "uV μV"), ("1000", "kV")),
    "power": (
        ("1", "W watt"), ("0.001", "mW"), ("1000", "kW"), ("1000000", "MW"),
        (f"550*0.3048*{_POUND_FORCE}", "hp"), ("75*9.80665", "PS"),
    ),
    "energy": (
        ("1", "J joule"), ("1000", "kJ"), ("1000000", "MJ"), ("3600", "Wh"), ("3600000", "kWh"), ("3600000000", "MWh"),
    ),
    "frequency": (
        ("1", "Hz hertz 1/s"), ("1000", "kHz"), ("1000000", "MHz"), ("1/60", "rpm RPM 1/min r/min rev/min"),
    ),
    "flow": (
        ("1", "m3/s"), ("1/60", "m3/min"), ("1/3600", "m3/h"), ("0.001", "L/s l/s"),
        ("0.001/60", "L/min l/min LPM lpm"), ("0.001/3600", "L/h l/h"), (f"{_GALLON}/60", "gpm GPM gal/min"),
        ("0.3048*0.3048*0.3048/60", "cfm CFM ft3/min"),
    ),
    "mass flow": (("1", "kg/s"), ("1/60", "kg/min"), ("1/3600", "kg/h"), ("1000/3600", "t/h"), ("0.001", "g/s")),
    "mass": (
        ("1", "kg kilogram"), ("0.001", "g gram"), ("0.000001", "mg"), ("1000", "t tonne"), ("0.45359237", "lb lbs"),
    ),
    "force": (("1", "N newton"), ("1000", "kN"), ("1000000", "MN"), (_POUND_FORCE, "lbf"), ("9.80665", "kgf")),
    "torque": (
        ("1", "Nm N.m"), ("1000", "kNm kN.m"), (f"0.3048*{_POUND_FORCE}", "lbf.ft lbfft ft.lbf ftlbf"),
    ),
    "ratio": (("1", "1"), ("0.01", "% percent"), ("0.001", "‰"), ("0.000001", "ppm")),
    "time": (
        ("1", "s sec second"), ("0.001", "ms"), ("0.000001", "us μs"), ("60", "min minute"), ("3600", "h hour"),
        ("86400", "d day"),
    ),
    "volume": (
        ("1", "m3"), ("0.001", "L l litre liter"), ("0.000001", "mL ml cm3"), ("0.3048*0.3048*0.3048", "ft3"),
        (_GALLON, "gal"),
    ),
}  # fmt: skip


_LOOKALIKES = str.maketrans("\u00ba\u02da\u00b7\u22c5", "\u00b0\u00b0..")


class _Unit(NamedTuple):
    quantity: str
    name: str
    size: str
    added: str


def conversion(from_unit: str, to_unit: str, feature: str = "value") -> Conversion:
    """What turns a number in one unit into another.

    Args:
        from_unit: in which it is sent.
        to_unit: in which it is wanted.
        feature: which statistic of the readings it is, of `toolkit.signal.features`; one that is none of them is taken
            for a reading.

    Returns:
        `factor, offset`: the number wanted is `factor * number + offset`.

    Raises:
        ConfigError: units that are unknown or of different quantities, or a feature that does not follow from its value
            in the other unit alone (the root mean square of degrees Fahrenheit).
    """
    found = known_conversion(from_unit, to_unit, feature)
    if found is not None:
        return found
    what = f"a {feature} in {from_unit!r} cannot be turned into {to_unit!r}"
    if _common(from_unit, to_unit):
        pure = feature in FEATURES and FEATURES[feature].unit == "none"
        allowed = "no unit: it is a pure number" if pure else f"units with the zero of {to_unit!r}"
        raise ConfigError(what, allowed=allowed, fix=f"send it as {to_unit!r}")
    raise ConfigError(what, allowed=_allowed(to_unit), fix=_advice(from_unit, to_unit))


def known_conversion(from_unit: str, to_unit: str, feature: str = "value") -> Conversion | None:
    """As `conversion`, and None where there is none: for units that come with every message."""
    if _plain(from_unit) == _plain(to_unit):
        return IDENTITY
    pairs = _common(from_unit, to_unit)
    if not pairs:
        return _rate(from_unit, to_unit) if feature == "slope" else None
    source, wanted = pairs[0]
    if feature in FEATURES and FEATURES[feature].unit == "none":
        return _linear(source, wanted) if source.quantity == "ratio" else None
    factor, offset = _linear(source, wanted)
    if feature in DIFFERENCES:
        return factor, 0.0
    known_to_move = feature in WITH_OFFSET or feature not in FEATURES
    return (factor, offset) if known_to_move or not offset else None


def units_of(unit: str) -> tuple[str, ...]:
    """The units into which one can be turned, itself included; none where it is not in the table."""
    quantities = [one.quantity for one in _spellings().get(_plain(unit), ())]
    return tuple(row[1].split()[0] for quantity in quantities for row in _TABLE[quantity])


def _rate(from_unit: str, to_unit: str) -> Conversion | None:
    """A slope per second, minute or hour: of the units before the last stroke the factor counts, not the zero."""
    (above, _, below), (wanted, _, wanted_below) = from_unit.rpartition("/"), to_unit.rpartition("/")
    times = _common(below, wanted_below)
    if not above or not wanted or not times or times[0][0].quantity != "time":
        return None
    numerator = known_conversion(_unbracketed(above), _unbracketed(wanted), "std")
    return None if numerator is None else (numerator[0] / _linear(*times[0])[0], 0.0)


def _unbracketed(unit: str) -> str:
    unit = unit.strip()
    return unit[1:-1] if unit.startswith("(") and unit.endswith(")") else unit


def _common(from_unit: str, to_unit: str) -> list[tuple[_Unit, _Unit]]:
    """The two as units of one quantity. Where there are several (`g` and `mg`), all have one factor."""
    wanted = {one.quantity: one for one in _spellings().get(_plain(to_unit), ())}
    found = _spellings().get(_plain(from_unit), ())
    return [(one, wanted[one.quantity]) for one in found if one.quantity in wanted]


def _linear(source: _Unit, wanted: _Unit) -> Conversion:
    ratio = _exact(source.size) / _exact(wanted.size)
    return float(ratio), float(_exact(source.added) * ratio - _exact(wanted.added))


def _exact(text: str) -> "Fraction":
    """A product of decimals, divided by a further one where there is a stroke."""
    from fractions import Fraction  # noqa: PLC0415 - only where units differ: a gateway's start does not wait for it

    above, _, below = text.partition("/")
    return math.prod(map(Fraction, above.split("*"))) / Fraction(below or "1")


def _plain(unit: str) -> str:
    """One spelling for signs that look alike: the degree sign and its doubles, powers, micro, points, blanks."""
    text = unicodedata.normalize("NFKC", unit.translate(_LOOKALIKES))
    text = "".join(text.split()).replace("^", "")
    return text.lower() if len(text) > 5 and text.isascii() and text.isalpha() else text


@functools.cache
def _spellings() -> dict[str, tuple[_Unit, ...]]:
    found: dict[str, tuple[_Unit, ...]] = {}
    for quantity, rows in _TABLE.items():
        for size, spellings, *added in rows:
            unit = _Unit(quantity, spellings.split()[0], size, added[0] if added else "0")
            for spelling in spellings.split():
                found[_plain(spelling)] = (*found.get(_plain(spelling), ()), unit)
    return found


def _allowed(to_unit: str) -> str:
    if not to_unit:
        return "no unit, since the bundle does not say in which it was trained"
    known = units_of(to_unit)
    return ", ".join(known) if known else f"only {to_unit!r}, which the table of units does not know"


def _advice(from_unit: str, to_unit: str) -> str | None:
    quantities = {one.quantity for unit in (from_unit, to_unit) for one in _spellings().get(_plain(unit), ())}
    if quantities == {"pressure", "gauge pressure"}:
        return "send absolute pressure: between the two lies the pressure of the air"
    near = nearest(from_unit, units_of(to_unit)) if from_unit not in _spellings() else None
    return f"did you mean {near!r}?" if near else None
