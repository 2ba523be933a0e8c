"""How numbers, spans of time and names are written."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

NOT_FINITE = "not finite"
EARLIEST_S, LATEST_S = -6e10, 2.5e11
"""Of times that a calendar can show: from the year 68 to 9892."""

_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def number(value: float | None, digits: int = 4) -> str:
    """So many significant digits; `-` where there is none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return NOT_FINITE
    if value == 0:
        return "0"
    if 10 ** (digits - 1) <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(share: float | None, digits: int = 1) -> str:
    """A part of the whole."""
    return "-" if share is None else NOT_FINITE if not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def with_interval(value: float | None, interval: Sequence[float] | None, digits: int = 3) -> str:
    """A figure and both ends of its interval."""
    if value is None or not interval or len(interval) != 2:
        return number(value, digits)
    return f"{number(value, digits)} ({number(interval[0], digits)} to {number(interval[1], digits)})"


def span(seconds: float) -> str:
    """A time span in the largest unit that it fills, and the next smaller one where that tells more."""
    if not math.isfinite(seconds):
        return NOT_FINITE
    if abs(seconds) < 1:
        return f"{number(seconds * 1000, 3)} ms"
    for place, (size, unit) in enumerate(_SPANS):
        if seconds >= size:
            whole, left = divmod(seconds, size)
            if size == 1.0:
                return f"{seconds:g} s"
            smaller, name = _SPANS[place + 1]
            rest = f" {left // smaller:g} {name}" if left >= smaller else ""
            return f"{whole:,.0f} {unit}{rest}"
    return f"{seconds:g} s"


def moment(time_s: float) -> str:
    """A time in UTC, to the minute, or to the second where it has one."""
    if not EARLIEST_S < time_s < LATEST_S:
        return f"{number(time_s)} s"
    when = datetime.fromtimestamp(time_s, UTC)
    return when.strftime("%Y-%m-%d %H:%M:%S" if when.second else "%Y-%m-%d %H:%M")


def short(text: str, most: int = 28) -> str:
    """A name that fits beside an axis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def with_unit(name: str, unit: str) -> str:
    """`pressure (kPa)`; a pure number has none."""
    return name if unit in ("", "1") else f"{name} ({unit})"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 window`, `12 windows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """`a, b and c`, of a long list the first ones and how many more there are."""
    shown = [short(name, 60) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
