"""Guesses the settings of a configuration from a sample of data files, each with the reason why.

What changes numbers is never guessed in silence: where two readings of the file are possible and nothing in it
decides, the setting is left to the reader, with both possibilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from toolkit.contract.records import nearest
from toolkit.data.config import FILE_ASSET
from toolkit.errors import ConfigError, DataError
from toolkit.guessing import columns
from toolkit.guessing.columns import Floats, Ints, LongForm
from toolkit.guessing.config_text import Setting
from toolkit.guessing.layout import layout_settings
from toolkit.guessing.moments import TimeGuess, guess_time, skipped_hour, unread_time
from toolkit.guessing.rows import ordered
from toolkit.guessing.source import Request, SampleSource, decimal_of, form_settings, read_source

NO_TIME_INTERVAL_S = 1.0


@dataclass(frozen=True)
class _Roles:
    """Columns by what they are; the settings that say so."""

    channels: tuple[str, ...]
    long: LongForm | None
    asset: str | None
    settings: tuple[Setting, ...]
    excluded: dict[str, str]


def guess_settings(request: Request) -> tuple[Setting, ...]:
    """All settings, in the order in which they are to be read.

    Raises:
        DataError: the files are no table that could be trained on.
        ConfigError: a column that the request names is not there.
    """
    source = read_source(request.files)
    _check_named(request, source.frame)
    time = guess_time(source.frame, source.tail, request.timestamp, request.timestamp_format)
    odd = unread_time(source.frame, request.exclude) if time is None else None
    if odd:
        fix = "correct the cells, give --timestamp-format, or leave the column out with --exclude"
        raise DataError("times that cannot be read", got=odd, allowed="one form in every row", fix=fix)
    decimal = decimal_of(source)
    roles = _roles(request, source, time, decimal)
    assets = _asset_codes(source, roles.asset)
    times = time.times_us if time else _counted(assets, request.interval_s or NO_TIME_INTERVAL_S)
    order_settings = _order_settings(source, roles, time, assets, times)
    names, times, assets, values = _readings(source, roles, decimal, assets, times)
    sentinels, values = _sentinels(names, values)
    return (
        *form_settings(source),
        *_time_settings(request, time),
        *roles.settings,
        *order_settings,
        *sentinels,
        *layout_settings(
            request, source, names, ordered(times, assets, values), roles.excluded, timed=time is not None
        ),
    )


def open_questions(settings: Sequence[Setting]) -> list[Setting]:
    """Those that must be answered before anything can be trained."""
    return [setting for setting in settings if setting.needed]


def _check_named(request: Request, frame: pl.DataFrame) -> None:
    asset = [request.asset] if request.asset not in (None, FILE_ASSET) else []
    cells = [name for name in request.exclude if any((frame[c] == name).any() for c in _text_columns(frame))]  # tags
    for option, found in (("timestamp", request.timestamp), ("asset", asset), ("exclude", request.exclude)):
        for name in found:
            if name not in frame.columns and name not in cells:
                near = nearest(str(name), frame.columns)
                fix = f"did you mean {near!r}?" if near else None
                allowed = ", ".join(frame.columns[:30])
                raise ConfigError(f"--{option} names no column", got=repr(name), allowed=allowed, fix=fix)


def _text_columns(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if frame[name].dtype == pl.String]


def _roles(request: Request, source: SampleSource, time: TimeGuess | None, decimal: str) -> _Roles:
    frame = source.frame
    taken = {*(time.columns if time else ()), *request.exclude}
    excluded = dict.fromkeys(request.exclude, "as given")
    free = [name for name in frame.columns if name not in taken and name != request.asset]
    long = columns.find_long_form(frame, free, decimal) if time else None
    long_names = [long.tag, long.value, *([long.quality] if long.quality else [])] if long else []
    free = [name for name in free if name not in long_names]
    asset, settings = _asset(request, source, time, free, long)
    free = [name for name in free if name != asset]
    if long:
        return _Roles((), long, asset, (*settings, *_long_settings(long)), excluded)
    for name in free:
        if columns.is_label(name, frame[name]):
            excluded[name] = "a label: known only after the fact"
        elif columns.is_text(frame[name], decimal):
            excluded[name] = "text"
        elif (
            columns.is_counter(columns.numbers_of(frame[name], decimal)[0])
            and source.files == 1
            and not request.targets
        ):
            excluded[name] = "counts the rows"
    channels = tuple(name for name in free if name not in excluded)
    return _Roles(channels, None, asset, settings, excluded)


def _asset(
    request: Request, source: SampleSource, time: TimeGuess | None, free: list[str], long: LongForm | None
) -> tuple[str | None, tuple[Setting, ...]]:
    if request.asset is not None:
        return request.asset, (Setting("asset", request.asset, "as given"),)
    candidates = free
    if long is not None:  # a column that says the same for every row of a tag describes the tag
        candidates = [n for n in free if source.frame.group_by(long.tag).agg(pl.col(n).n_unique())[n].max() != 1]
    times = time.times_us if time and long is None else None
    found = columns.find_asset(source.frame, candidates, times)
    if found:
        return found[0], (Setting("asset", *found),)
    if source.files > 1:
        reason = "each file is a machine or a recording of its own; take the line away if they continue each other"
        return FILE_ASSET, (Setting("asset", FILE_ASSET, reason),)
    return None, ()


def _long_settings(long: LongForm) -> tuple[Setting, ...]:
    settings = [Setting("tag", long.tag, long.reason), Setting("value", long.value, "the readings")]
    if long.quality and long.good:
        settings.append(
            Setting("quality", long.quality, "how good a reading is; one that is not good counts as not taken")
        )
        settings.append(Setting("good_quality", long.good, "what usually stands for a good one"))
    elif long.quality:
        reason = (
            f"nothing in {long.quality!r} is known to mean good: every reading is taken. Say what does, to change that"
        )
        settings.append(Setting("quality", None, reason, (long.quality,)))
    return tuple(settings)


def _asset_codes(source: SampleSource, asset: str | None) -> Ints:
    if asset == FILE_ASSET:
        return source.file_codes
    if asset is None:
        return np.zeros(source.frame.height, np.int64)
    return source.frame[asset].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1


def _counted(assets: Ints, interval_s: float) -> Ints:
    """Times for rows that have none: each asset's rows from 0 on."""
    order = np.argsort(assets, kind="stable")
    counts = np.bincount(assets)
    places = np.arange(assets.size) - np.repeat(np.cumsum(counts) - counts, counts)
    times = np.empty(assets.size, np.int64)
    times[order] = places * round(interval_s * 1e6)
    return times


def _time_settings(request: Request, time: TimeGuess | None) -> tuple[Setting, ...]:
    if time is None:
        given = request.interval_s is not None
        reason = (
            "as given"
            if given
            else "nobody knows: taken for 1 s, which changes no forecast; --interval SECONDS says otherwise"
        )
        interval = Setting("interval_s", request.interval_s or NO_TIME_INTERVAL_S, reason)
        return Setting("timestamp", "", "no column holds times: rows follow each other evenly"), interval
    named = time.columns[0] if len(time.columns) == 1 else time.columns
    settings = [Setting("timestamp", named, time.reason if time.format is None else "holds the times")]
    if time.other_format is not None:
        choices = (time.format, time.other_format)
        settings.append(Setting("timestamp_format", None, time.reason, choices, needed=True))
    elif time.format is not None:
        settings.append(Setting("timestamp_format", time.format, time.reason))
    return tuple(settings)


def _order_settings(
    source: SampleSource, roles: _Roles, time: TimeGuess | None, assets: Ints, times: Ints
) -> tuple[Setting, ...]:
    """Summer time, rows that stand twice, rows that are out of order."""
    if time is None:
        return ()
    groups = assets
    if roles.long:
        tags = source.frame[roles.long.tag].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64)
        groups = assets * (int(tags.max()) + 1) + tags
    in_groups = np.argsort(groups, kind="stable")
    steps = np.diff(times[in_groups])[np.diff(groups[in_groups]) == 0]
    settings = []
    newest_first = bool((steps < 0).sum() > (steps > 0).sum())
    forward = -steps if newest_first else steps
    usual = float(np.median(forward[forward > 0])) if (forward > 0).any() else 0.0
    change = None if time.zoned else skipped_hour(times[in_groups][:: -1 if newest_first else 1], usual)
    again = bool(change and "twice" in change)
    if change:
        settings.append(_timezone_setting(change, needed=again))
    by_time = np.lexsort((times, groups))
    same = (np.diff(times[by_time]) == 0) & (np.diff(groups[by_time]) == 0)
    if same.any() and not again:
        settings.append(_duplicates_setting(source.frame, by_time, same))
    if (steps < 0).any() and (newest_first or not again):
        settings.append(
            Setting(
                "sort", True, f"rows that stand after a later one: {int((steps < 0).sum())}; sorting changes no reading"
            )
        )
    return tuple(settings)


def _timezone_setting(change: str, *, needed: bool) -> Setting:
    reason = f"{change}: these are local times of a place that changes its clocks. Name the place's zone"
    return Setting("timezone", None, reason, ("Europe/Berlin", "Europe/London", "America/New_York"), needed)


def _duplicates_setting(frame: pl.DataFrame, order: Ints, same: np.ndarray) -> Setting:
    first, second = order[:-1][same], order[1:][same]
    count = int(same.sum())
    if frame[first].equals(frame[second]):
        return Setting("duplicates", "first", f"rows that stand twice, cell by cell the same: {count}")
    reason = f"rows that share their moment with another one and differ from it: {count}. Which one counts?"
    return Setting("duplicates", None, reason, ("last", "first", "mean"), needed=True)


def _readings(
    source: SampleSource, roles: _Roles, decimal: str, assets: Ints, times: Ints
) -> tuple[list[str], Ints, Ints, Floats]:
    """Names of the channels; times, assets and values of the rows."""
    if roles.long is None:
        return (
            list(roles.channels),
            times,
            assets,
            columns.check_numbers(source.frame, roles.channels, decimal, source.given[0]),
        )
    values, _ = columns.numbers_of(source.frame[roles.long.value], decimal)
    tags = source.frame[roles.long.tag].cast(pl.String)
    keep = (tags.is_not_null() & ~tags.is_in(list(roles.excluded)).fill_null(value=False)).to_numpy()
    if roles.long.quality and roles.long.good:
        keep &= (
            source.frame[roles.long.quality].cast(pl.String).is_in(roles.long.good).fill_null(value=False).to_numpy()
        )
    wide = columns.pivot(times[keep], assets[keep], tags.filter(keep), values[keep])
    return list(wide[2]), wide[0], wide[1], wide[3]


def _sentinels(names: Sequence[str], values: Floats) -> tuple[tuple[Setting, ...], Floats]:
    found = columns.find_sentinels(values)
    if not found:
        return (), values
    shown = ", ".join(
        f"{number:g} in {', '.join(names[place] for place in places[:3])}{' ...' if places[3:] else ''}"
        for number, places in found.items()
    )
    reason = f"far from every other reading ({shown})"
    open_ones = columns.readings_too(values, list(found))
    sure = tuple(number for number in found if number not in open_ones)
    if open_ones:
        others = ", ".join(f"{number:g} in {names[places[0]]}" for number, places in open_ones.items())
        choices = (tuple(found), sure)
        reason = f"{reason}, and yet like the others elsewhere ({others}); a sentinel is none in every column"
        setting = Setting("sentinels", None, reason, choices, needed=True)
    else:
        setting = Setting("sentinels", sure, f"{reason}: taken for no reading")
    return (setting,), np.where(np.isin(values, sure), np.nan, values)
