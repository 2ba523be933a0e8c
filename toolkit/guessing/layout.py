"""The settings that follow from the readings themselves: what is left out, gaps, features, windows, targets."""

from collections.abc import Sequence

import numpy as np

from toolkit.contract.records import nearest
from toolkit.contract.signals import channel_from_name
from toolkit.errors import ConfigError, DataError
from toolkit.guessing import rows as sample_rows
from toolkit.guessing.columns import MOST_MISSING, is_discrete
from toolkit.guessing.config_text import Setting
from toolkit.guessing.rows import HOLD, SampleRows
from toolkit.guessing.source import Request, SampleSource

FEW_COMPLETE = 0.2
FEATURES = ("mean", "std", "peak")


def layout_settings(
    request: Request,
    source: SampleSource,
    names: list[str],
    rows: SampleRows,
    excluded: dict[str, str],
    *,
    timed: bool,
) -> tuple[Setting, ...]:
    """Settings from the readings on.

    Args:
        request: what the user has said.
        source: the sample.
        names: of the channels.
        rows: their readings, without sentinels.
        excluded: columns that are left out already, and why.
        timed: whether the file has times.

    Raises:
        DataError: no channel is left, or no window fits.
        ConfigError: a target that is no channel.
    """
    step = sample_rows.interval_us(rows)
    interval = request.interval_s * 1e6 if request.interval_s else step
    own_rate = sample_rows.at_own_rate(rows, step)
    reasons = _left_out(names, rows, own_rate, request.targets, whole=source.whole)
    kept = [place for place, name in enumerate(names) if name not in reasons]
    if not kept:
        why = ", ".join(f"{name}: {reason}" for name, reason in list({**excluded, **reasons}.items())[:4])
        raise DataError("no column is left to learn from", got=why or "no number", fix="give a table of readings")
    every = np.ones(rows.times_us.size, np.bool_)
    rows, channels = rows.part(every, kept), [names[place] for place in kept]
    settings = [*_exclude_settings({**excluded, **reasons}), *_constant_setting(source)]
    complete = float(np.isfinite(rows.values).all(axis=1).mean())
    if timed and len(kept) > 1 and (own_rate[kept].any() or complete < FEW_COMPLETE):
        return (*settings, *_with_features(request, channels, rows, whole=source.whole))
    return (*settings, *_plain(request, channels, rows, interval, timed=timed, whole=source.whole))


def _left_out(
    names: Sequence[str], rows: SampleRows, own_rate: np.ndarray, targets: Sequence[str], *, whole: bool
) -> dict[str, str]:
    """Channels that cannot be learnt from, but for those that are wanted as targets."""
    missing = 1.0 - np.isfinite(rows.values).mean(axis=0)
    constant = sample_rows.constant_on_training(rows)
    found = {}
    for place, name in enumerate(names):
        if missing[place] > MOST_MISSING and not own_rate[place]:
            found[name] = f"{missing[place]:.0%} of its readings are missing"
        elif constant[place] and whole:
            found[name] = "never changes on the training rows"
    wanted = {*targets, *(channel_from_name(target).variable for target in targets)}
    return {name: reason for name, reason in found.items() if name not in wanted}


def _exclude_settings(reasons: dict[str, str]) -> list[Setting]:
    if not reasons:
        return []
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        groups.setdefault(reason, []).append(name)
    text = "; ".join(f"{', '.join(name or repr(name) for name in names)}: {reason}" for reason, names in groups.items())
    return [Setting("exclude", tuple(reasons), text)]


def _constant_setting(source: SampleSource) -> list[Setting]:
    if source.whole:
        return []
    return [Setting("constant", "drop", "only a sample was read: a channel that never changes is found when it trains")]


def _plain(
    request: Request, names: list[str], rows: SampleRows, interval: float, *, timed: bool, whole: bool
) -> tuple[Setting, ...]:
    """One row of readings an interval."""
    settings: list[Setting] = []
    steps, longest_s = sample_rows.long_steps(rows, interval)
    if timed:
        reason = (
            "as given"
            if request.interval_s
            else f"the usual step; {steps} of {rows.steps_us.size} are longer than 1.5 of it"
        )
        settings.append(Setting("interval_s", interval / 1e6, reason))
    empty = int((~np.isfinite(rows.values)).any(axis=1).sum())
    if empty:
        reason = f"{empty} of {len(rows.values)} rows lack a reading: a gap that is not filled ends a series"
        settings.append(Setting("missing", "break", reason))
    elif not whole:
        settings.append(
            Setting("missing", "break", "only a sample was read: where a reading is missing, a series ends")
        )
    fill = timed and bool(steps or empty)
    if fill:
        found = f"{steps} steps are gaps, the longest {longest_s:g} s; {empty} rows lack a reading"
        reason = f"{found}. The last reading is repeated for up to {HOLD} intervals; a longer gap ends the series"
        settings.append(Setting("gaps", {"*": f"hold:{HOLD}"}, reason))
    targets = _targets(request, names, rows)
    return (*settings, targets, *_lengths(request, rows, interval, HOLD if fill else 0, whole))


def _with_features(request: Request, names: list[str], rows: SampleRows, *, whole: bool) -> tuple[Setting, ...]:
    """Samples at rates of their own: `[features]` puts them on common intervals."""
    length = request.interval_s or sample_rows.features_interval_s(rows)
    periods = sample_rows.own_periods_us(rows) / 1e6
    rates = ", ".join(f"{name} every {period:g} s" for name, period in list(zip(names, periods, strict=True))[:4])
    intervals = sample_rows.in_intervals(rows, length)
    reason = (
        f"cells are empty because channels have rates of their own ({rates}): features of {length:g} s are made of them"
    )
    channels = [f"{name}.{feature}" for name in names for feature in FEATURES]
    targets = request.targets or tuple(f"{name}.mean" for name in names)
    _check_targets(targets, channels)
    why = "as given" if request.targets else "the mean of every variable; --target VARIABLE.FEATURE names fewer"
    return (
        Setting("missing", "break", "an interval without a sample of some variable ends a series, if it is not filled"),
        Setting("gaps", {"*": f"hold:{HOLD}"}, f"the last reading is repeated for up to {HOLD} intervals"),
        Setting("targets", targets, why),
        *_lengths(request, intervals, length * 1e6, HOLD, whole),
        Setting("interval_s", length, reason, table="features"),
        Setting("default", FEATURES, "of every variable, in every interval", table="features"),
        *_single_samples(names, periods, length),
    )


def _single_samples(names: Sequence[str], periods_s: np.ndarray, length_s: float) -> list[Setting]:
    """The mean alone for variables with one sample an interval: the deviation of one number is always 0."""
    slow = {name: ("mean",) for name, period in zip(names, periods_s, strict=True) if length_s < 1.9 * period}
    reason = "one sample an interval has no deviation, and its peak is its mean"
    return [Setting("variables", slow, reason, table="features")] if slow else []


def _targets(request: Request, names: list[str], rows: SampleRows) -> Setting:
    if request.targets:
        _check_targets(request.targets, names)
        return Setting("targets", request.targets, "as given")
    switches = [name for place, name in enumerate(names) if is_discrete(rows.values[:, place])]
    targets = tuple(name for name in names if name not in switches) or tuple(names)
    reason = "every channel is forecast, from all of them; --target COLUMN names fewer"
    if switches and len(targets) < len(names):
        reason += f". {', '.join(switches)}: a few whole numbers, read but not forecast"
    return Setting("targets", targets, reason)


def _check_targets(targets: Sequence[str], channels: Sequence[str]) -> None:
    for target in targets:
        if target not in channels:
            near = nearest(target, channels)
            fix = f"did you mean {near!r}?" if near else None
            allowed = ", ".join(channels[:30])
            raise ConfigError("--target names no channel", got=repr(target), allowed=allowed, fix=fix)


def _lengths(request: Request, rows: SampleRows, interval: float, hold: int, whole: bool) -> tuple[Setting, Setting]:
    window, horizon, counts = sample_rows.choose_lengths(
        rows, interval, hold=hold, window=request.window, horizon=request.horizon, whole=whole
    )
    found = ", ".join(f"{name} {count}" for name, count in counts.items())
    reason = f"{_span(window * interval)} of input; windows in the sample: {found}"
    return (
        Setting("window_length", window, f"as given; windows in the sample: {found}" if request.window else reason),
        Setting("horizon", horizon, "as given" if request.horizon else f"{_span(horizon * interval)} ahead"),
    )


def _span(length_us: float) -> str:
    """A time in the largest unit that it fills."""
    units = ((86_400e6, "days"), (3_600e6, "hours"), (60e6, "minutes"), (1e6, "seconds"))
    size, name = next((unit for unit in units if length_us >= 2 * unit[0]), (1e3, "ms"))
    return f"{length_us / size:.3g} {name}"
