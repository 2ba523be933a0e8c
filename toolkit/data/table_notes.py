"""What a table was given that its file does not hold, said in words."""

from toolkit.contract.signals import gap_policy
from toolkit.data.tables import SensorTable
from toolkit.errors import DataError

MOST_NAMES = 8
_DONE = {"hold": "held from the last one before a gap", "interpolate": "interpolated across a gap"}


def notes_of(table: SensorTable) -> tuple[str, ...]:
    """One sentence each: readings that were held, readings that were interpolated, rows that gave way to others."""
    kinds = {name: gap_policy(gap, name, DataError).kind for name, gap in _gaps_of(table)}
    notes = [
        f"{sum(counts.values())} readings were {done}: {_counted(counts)}"
        for kind, done in _DONE.items()
        if (counts := {name: count for name, count in table.filled.items() if count and kinds[name] == kind})
    ]
    if notes:
        notes.append("readings that were made up so count as truth in the errors above, in favour of persistence")
    if table.bad_quality:
        notes.append(f"{table.bad_quality} readings were left out: their quality was not good")
    if table.left_out:
        notes.append(f"constant over the training rows, and left out: {', '.join(table.left_out)}")
    if table.merged_rows:
        gave_way = "gave way to a later one at the same place of the grid, but for readings that it lacked"
        notes.append(f"{table.merged_rows} rows {gave_way}")
    return tuple(notes)


def _gaps_of(table: SensorTable) -> tuple[tuple[str, str], ...]:
    """Each channel and its gap policy; none for a table that was made without any."""
    return tuple(zip(table.channel_names, table.gaps, strict=bool(table.gaps)))


def _counted(counts: dict[str, int]) -> str:
    named = [f"{name} {count}" for name, count in list(counts.items())[:MOST_NAMES]]
    more = [f"{len(counts) - MOST_NAMES} channels more"] if len(counts) > MOST_NAMES else []
    return ", ".join(named + more)
