"""The numbers of a sample: where they stand, in which unit they come, within which limits they count."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from toolkit.contract.signals import channel_from_name
from toolkit.edge.columns import Column
from toolkit.edge.readings import Reason
from toolkit.edge.settings import LARGEST_FLOAT32, ColumnLimits, FieldSettings, InputSettings
from toolkit.edge.units import IDENTITY, Conversion, conversion, known_conversion
from toolkit.errors import ConfigError

ABSENT: Any = object()
"""What stands where a key is not there; null is there."""
UNITS_KEPT = 64
"""Units of messages that are remembered for a field; there are not so many spellings of one quantity."""
LONGEST_UNIT = 40
"""Characters of a unit that is looked up."""


class SampleUnits:
    """The unit that a source names with every sample.

    Args:
        settings: of the field; its `unit` counts where a sample names none.
        column: whose numbers they are.
    """

    def __init__(self, settings: FieldSettings, column: Column) -> None:
        self._key, self._parts = settings.unit_field, parts_of(settings.unit_field)
        self._unit, self._feature = column.unit, feature_of(column)
        self._known: dict[str, Conversion | None] = {}
        self._unnamed = known_conversion(settings.unit, column.unit, self._feature) if settings.unit else None

    def conversion(self, sample: dict[str, Any]) -> Conversion | None:
        """What turns the sample's number into the column's unit; None where nothing does."""
        unit = sample.get(self._key, ABSENT)
        if unit is ABSENT and self._parts:
            unit = within(sample, self._parts)
        if type(unit) is not str:
            return self._unnamed if unit is ABSENT or unit is None else None
        if unit in self._known:
            return self._known[unit]
        return self._looked_up(unit)

    def _looked_up(self, unit: str) -> Conversion | None:
        found = known_conversion(unit, self._unit, self._feature) if len(unit) <= LONGEST_UNIT else None
        if len(self._known) < UNITS_KEPT and len(unit) <= LONGEST_UNIT:
            self._known[unit] = found
        return found


class Field(NamedTuple):
    """One number of a sample, as the hot loop wants it.

    Attributes:
        column: its place among the columns of the bundle.
        key: of the JSON object.
        parts: the key cut at its dots, empty where it has none.
        factor: of the conversion, or None where the number is taken as it is.
        offset: of the conversion.
        low: the smallest number that is taken, after the conversion.
        high: the largest.
        units: where the sample names its unit.
    """

    column: int
    key: str
    parts: tuple[str, ...]
    factor: float | None
    offset: float
    low: float
    high: float
    units: SampleUnits | None

    def refused(self, value: object) -> Reason:
        """Why a number, after the conversion, or what stands in its place is not taken."""
        if type(value) is not float:
            return Reason.MISSING if value is ABSENT else Reason.NULL if value is None else Reason.TEXT
        if value != value:  # noqa: PLR0124 - NaN
            return Reason.NOT_A_NUMBER
        return Reason.INFINITE if abs(value) > LARGEST_FLOAT32 else Reason.OUT_OF_LIMITS


def compiled_fields(
    settings: InputSettings, columns: tuple[Column, ...], limits: Mapping[str, ColumnLimits]
) -> tuple[Field, ...]:
    """The fields of an input, in the order of its settings.

    Raises:
        ConfigError: a column that the bundle has not, or a unit that cannot be turned into the column's.
    """
    places = {column.name: place for place, column in enumerate(columns)}
    found = []
    for name, field in settings.columns.items():
        if name not in places:
            raise ConfigError(f"input {settings.topic!r}: columns", got=repr(name), allowed=", ".join(places))
        column = columns[places[name]]
        factor, offset = field_conversion(field, column)
        within_limits = limits.get(name, ColumnLimits())
        found.append(
            Field(
                places[name],
                field.field,
                parts_of(field.field),
                None if (factor, offset) == IDENTITY else factor,
                offset,
                -LARGEST_FLOAT32 if within_limits.minimum is None else max(within_limits.minimum, -LARGEST_FLOAT32),
                LARGEST_FLOAT32 if within_limits.maximum is None else min(within_limits.maximum, LARGEST_FLOAT32),
                SampleUnits(field, column) if field.unit_field else None,
            )
        )
    return tuple(found)


def field_conversion(field: FieldSettings, column: Column) -> Conversion:
    """What turns a field's numbers into the column's unit, where the sample does not name another.

    Raises:
        ConfigError: there is no such conversion.
    """
    if field.unit_field and not column.unit:
        raise ConfigError(
            f"unit_field of the column {column.name}",
            got=repr(field.unit_field),
            allowed="none: the bundle does not say in which unit it was trained",
        )
    if not field.unit:
        return IDENTITY
    try:
        return conversion(field.unit, column.unit, feature_of(column))
    except ConfigError as error:
        raise ConfigError(f"unit of the column {column.name}: {error}") from error


def feature_of(column: Column) -> str:
    """The statistic that a column's numbers are: `value` where they are raw samples."""
    return "value" if column.features else channel_from_name(column.name).feature


def parts_of(key: str) -> tuple[str, ...]:
    """The levels that a key leads through, empty where it has no dots."""
    return tuple(key.split(".")) if "." in key else ()


def within(sample: object, parts: tuple[str, ...]) -> Any:
    """What stands at the end of the levels, or `ABSENT`."""
    for part in parts:
        if type(sample) is not dict or part not in sample:
            return ABSENT
        sample = sample[part]
    return sample
