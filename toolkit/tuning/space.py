"""What a search may try: for each setting its choices or its range, by default or as the table `[tune]` says."""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from toolkit.contract.records import decode, encode, nearest
from toolkit.data.dataset import ForecastDataset
from toolkit.errors import ConfigError
from toolkit.training.config import ModelConfig, RunConfig, TrainConfig
from toolkit.training.scoring import season_of

NO_PROPERTY = frozenset({"seed", "seeds", "threads", "device", "precision", "task", "streaming"})
"""Settings that are none of the model or of how it learns: the best of several seeds would be luck."""


@dataclass(frozen=True)
class Choices:
    """One of these values."""

    values: tuple[Any, ...]

    def holds(self, value: object) -> bool:
        """Whether it is one of them."""
        return value in self.values


@dataclass(frozen=True)
class Range:
    """A number between two, both included; `log`: each factor is as likely as the next."""

    low: float
    high: float
    log: bool = False

    def holds(self, value: float) -> bool:
        """Whether it lies between them."""
        return self.low <= value <= self.high


Entry = Choices | Range
Space = Mapping[str, Entry]


def _searchable() -> dict[str, tuple[str, Any]]:
    return {
        name: (table, hint)
        for table, kind in (("model", ModelConfig), ("training", TrainConfig))
        for name, hint in ((name, _settled(hint)) for name, hint in typing.get_type_hints(kind).items())
        if name not in NO_PROPERTY and (hint in (int, float, bool) or typing.get_origin(hint) is Literal)
    }


def _settled(hint: Any) -> Any:
    """The type of a setting that is not left open."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    return kinds[0] if typing.get_origin(hint) in (typing.Union, types.UnionType) and len(kinds) == 1 else hint


SEARCHABLE = _searchable()
"""For each setting that can be searched its table and type."""


def default_space(config: RunConfig, dataset: ForecastDataset) -> dict[str, Entry]:
    """What is searched where `[tune]` does not say otherwise.

    What does not go together is left out: answers sample by sample with window normalisation or patches; a classifier
    with normalisation; both, and a calendar, with channels by themselves; a classifier and quantiles with another loss.
    """
    windows = len(dataset.starts["train"])
    space: dict[str, Entry] = {
        "hidden_size": Choices((16, 32, 64, 128, 256)),
        "num_layers": Choices((1, 2, 3)),
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "cell": Choices(("lstm", "gru")),
        "dropout": Range(0.0, 0.5),
        "batch_size": Choices(tuple(size for size in (32, 64, 128, 256) if size <= max(windows, 32))),
    }
    forecasts, at_once = not dataset.class_names, config.model.head == "last" and not config.model.streaming
    if at_once:
        season = config.data.season or (season_of(dataset) if forecasts else config.data.window_length)
        space["patch_length"] = Choices(patch_lengths(config.data.window_length, season))
    if at_once and forecasts:
        space["normalisation"] = Choices(("none", "last", "revin"))
    if forecasts and not config.model.quantiles:
        space["loss"] = Choices(("mse", "mae", "huber"))
    if at_once and forecasts and len(dataset.signal.channels) > 1 and not dataset.signal.calendar_channels:
        space["channel_mixing"] = Choices(("joint", "independent"))
    return space


def patch_lengths(window_length: int, season: int) -> tuple[int, ...]:
    """Patches worth trying: they cut the window, of which two or more remain, and the season or whole seasons.

    The season itself is kept where it is one of them; of the others, each is at least twice or at most half the next,
    because neighbours differ little. 1 is no patch.
    """
    cuts = [
        n for n in range(1, window_length // 2 + 1) if window_length % n == 0 and (season % n == 0 or n % season == 0)
    ]
    middle = max((n for n in cuts if n <= season), default=1)
    kept = [middle]
    for n in reversed([n for n in cuts if n < middle]):
        if n <= kept[-1] / 2:
            kept.append(n)
    for n in [n for n in cuts if n > middle]:
        if n >= 2 * max(kept):
            kept.append(n)
    return tuple(sorted({1, *kept}))


def search_space(
    config: RunConfig, dataset: ForecastDataset, table: Mapping[str, Any], only: Sequence[str] = ()
) -> dict[str, Entry]:
    """The default space, changed by the table `[tune]`.

    Args:
        config: the given settings.
        dataset: what is searched on.
        table: `name = [values]` or `name = {low, high, log}`.
        only: the settings that are searched; empty means all.

    Raises:
        ConfigError: a setting that cannot be searched, or a value that it does not take.
    """
    for name in (*table, *only):
        if name not in SEARCHABLE:
            near = nearest(name, SEARCHABLE)
            fix = f"did you mean {near!r}?" if near else None
            raise ConfigError(
                "[tune] names no setting to search", got=repr(name), allowed=", ".join(SEARCHABLE), fix=fix
            )
    space = default_space(config, dataset) | {name: _entry(config, name, value) for name, value in table.items()}
    absent = [name for name in only if name not in space]
    if absent:
        fix = f"--set 'tune.{absent[0]}=[VALUE, VALUE]'"
        raise ConfigError(f"there is no default range of {absent[0]} here", fix=fix)
    return {name: entry for name, entry in space.items() if not only or name in only}


def whole(name: str) -> bool:
    """Whether the setting is a whole number."""
    return SEARCHABLE[name][1] is int


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """The configuration with these settings in place of its own.

    Raises:
        ConfigError: settings that do not go together.
    """
    tables: dict[str, dict[str, Any]] = {"model": {}, "training": {}}
    for name, value in settings.items():
        tables[SEARCHABLE[name][0]][name] = value
    model, training = replace(config.model, **tables["model"]), replace(config.training, **tables["training"])
    return replace(config, model=model, training=training)


def own_settings(config: RunConfig, names: Sequence[str]) -> dict[str, Any]:
    """What the configuration itself says of these settings."""
    return {name: getattr(getattr(config, SEARCHABLE[name][0]), name) for name in names}


def _entry(config: RunConfig, name: str, value: object) -> Entry:
    if isinstance(value, Mapping):
        return _range(config, name, value)
    if not isinstance(value, (list, tuple)) or not value:
        allowed = "a list of values, or {low=NUMBER, high=NUMBER, log=true}"
        raise ConfigError(f"[tune] {name}", got=repr(value), allowed=allowed)
    return Choices(tuple(dict.fromkeys(_checked(config, name, item) for item in value)))


def _range(config: RunConfig, name: str, value: Mapping[str, Any]) -> Range:
    where, kind = f"[tune] {name}", SEARCHABLE[name][1]
    if kind not in (int, float):
        raise ConfigError(where, got="a range", allowed="a list of values: only a number has a range")
    for end in ("low", "high"):
        if end in value:
            _checked(config, name, value[end])
    found = decode(Range, value, where, ConfigError)
    if not found.low < found.high or (found.log and not found.low > 0):
        raise ConfigError(
            where, got=f"{found.low:g} to {found.high:g}", allowed="low below high; with log, low above 0"
        )
    return found


def _checked(config: RunConfig, name: str, value: object) -> Any:
    """The value as the configuration holds it: 1 is 1.0 where a number may have decimals."""
    table = getattr(config, SEARCHABLE[name][0])
    return getattr(decode(type(table), {**encode(table), name: value}, "[tune]", ConfigError), name)
