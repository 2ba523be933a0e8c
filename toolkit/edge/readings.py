"""What a message becomes: readings of one asset, and the reasons for which something was not taken.

A *column* is what a source sends: a variable where the features of an interval are made of raw samples, a channel
where each row holds the channels as they are. Columns have the order of the bundle's channels; see `columns`.
"""

from enum import StrEnum
from typing import NamedTuple


class Reading(NamedTuple):
    """One number of one column of one asset.

    Attributes:
        column: its place among the columns of the bundle.
        time_us: when it was measured, by the source's clock: microseconds since 1970 UTC.
        value: finite, in the unit of the column.
        sequence: the source's own number of it, or None where it sends none.
    """

    column: int
    time_us: int
    value: float
    sequence: int | None = None


class Reason(StrEnum):
    """Why something was not taken; the label under which it is counted."""

    # of a whole message
    TOPIC = "unknown_topic"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    SHAPE = "not_a_sample"
    ASSET_NAME = "bad_asset_name"
    TOO_MANY_ASSETS = "too_many_assets"
    # of one sample, told by itself
    NO_TIME = "no_time"
    BAD_TIME = "bad_time"
    BAD_SEQUENCE = "bad_sequence"
    MISSING = "missing_field"
    NULL = "null"
    TEXT = "text"
    NOT_A_NUMBER = "nan"
    INFINITE = "infinite"
    UNIT = "wrong_unit"
    OUT_OF_LIMITS = "out_of_limits"
    # of one reading, told by those that came before it
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    LATE = "too_late"
    FUTURE = "in_the_future"
    TOO_MANY_READINGS = "too_many_readings"


class Refusal(NamedTuple):
    """One thing that was not taken.

    Attributes:
        reason: why.
        column: whose reading it was, or None where that is not known.
    """

    reason: Reason
    column: int | None = None


class ParsedMessage(NamedTuple):
    """What a message holds.

    Attributes:
        asset: which machine sent it; "" where the message could not be read that far.
        readings: in the order of the message.
        refused: what of it was not taken.
    """

    asset: str
    readings: list[Reading]
    refused: list[Refusal]
