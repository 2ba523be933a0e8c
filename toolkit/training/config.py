"""`lstm-edge.toml`: its tables as dataclasses, read strictly, changed by `--set table.key=value`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import tomli_w

from toolkit.contract.model_spec import LARGEST, Cell, ChannelMixing, Head, Normalisation
from toolkit.contract.records import decode, encode
from toolkit.data.config import DataConfig
from toolkit.errors import ConfigError
from toolkit.runtime.environment import usable_cores


@dataclass(frozen=True)
class ModelConfig:
    """`[model]`: see `toolkit.model.MultivariateLSTM`."""

    hidden_size: int = 64
    num_layers: int = 2
    dropout: float = 0.0
    cell: Cell = "lstm"
    bidirectional: bool = False
    bias: bool = True
    head: Head = "last"
    normalisation: Normalisation = "none"
    patch_length: int = 1
    channel_mixing: ChannelMixing = "joint"

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "patch_length"):
            if not 1 <= getattr(self, name) <= LARGEST:
                raise ConfigError(f"model.{name}", got=getattr(self, name), allowed=f"1 or more, at most {LARGEST}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError("model.dropout", got=self.dropout, allowed="0 up to, not including, 1")


@dataclass(frozen=True)
class TrainConfig:
    """`[training]`.

    Attributes:
        max_epochs: passes over the training windows at most.
        min_epochs: before this many, early stopping does not look.
        patience: epochs without a better validation loss before training stops.
        batch_size: windows per step.
        learning_rate: of the optimiser, in the first epoch.
        schedule: of the learning rate: `constant`; `decay`, three epochs as it is and then a tenth less each; `cosine`
            down to 0 after `max_epochs`.
        loss: on standard deviations: `mse`, `mae`, or `huber`, squared up to one standard deviation.
        optimizer: `adam`, or `adamw` with decoupled weight decay.
        weight_decay: of the optimiser.
        clip_norm: the gradient's norm is cut to this; 0 turns that off.
        seed: of the weights, the shuffling and dropout.
        threads: of torch. One is the default: on a shared machine two were seen to take 17 times longer.
    """

    max_epochs: int = 50
    min_epochs: int = 1
    patience: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: Literal["constant", "decay", "cosine"] = "constant"
    loss: Literal["mse", "mae", "huber"] = "mse"
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("max_epochs", "min_epochs", "patience", "batch_size", "threads"):
            if not 1 <= getattr(self, name) <= LARGEST:
                raise ConfigError(f"training.{name}", got=getattr(self, name), allowed=f"1 or more, at most {LARGEST}")
        if self.threads > usable_cores():
            raise ConfigError(
                "training.threads", got=self.threads, allowed=f"1 to {usable_cores()}, this machine's cores"
            )
        if not 0.0 < self.learning_rate < float("inf"):
            raise ConfigError("training.learning_rate", got=self.learning_rate, allowed="more than 0")
        for name in ("weight_decay", "clip_norm", "seed"):
            if not 0 <= getattr(self, name) < 2**63:
                raise ConfigError(f"training.{name}", got=getattr(self, name), allowed="0 or more")


@dataclass(frozen=True)
class RunConfig:
    """Everything a training run depends on."""

    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)

    def to_toml(self) -> str:
        """The text of a configuration file that gives this configuration again."""
        return tomli_w.dumps(_without_none(encode(self)))


_TABLES = ", ".join(f"[{table.name}]" for table in fields(RunConfig))


def training_config(file: Path | None, data: Mapping[str, Any], settings: Sequence[str]) -> RunConfig:
    """The configuration from a file, options for its `[data]` table, and `table.key=value` settings, in that order.

    Args:
        file: a TOML file, or None.
        data: values for `[data]`; None and empty ones are left as they are.
        settings: `table.key=value`.

    Raises:
        ConfigError: no file and no data, an unknown key, a wrong type or a value out of range.
    """
    tables = load_config(file) if file is not None else {}
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}
    tables["data"] = {
        **tables.get("data", {}),
        **{key: value for key, value in given.items() if value not in (None, [])},
    }
    for option, key in (("--data FILE", "file"), ("--timestamp COLUMN", "timestamp"), ("--target COLUMN", "targets")):
        if key not in tables["data"] and not any(setting.strip().startswith(f"data.{key}") for setting in settings):
            raise ConfigError(f"data.{key} is missing", fix=f"give a configuration file, or {option}")
    return config_from_tables(override(tables, settings), str(file) if file is not None else "the configuration")


def load_config(path: Path) -> dict[str, Any]:
    """The raw tables of a configuration file, to be overridden and then checked by `config_from_tables`.

    Raises:
        ConfigError: no such file, not TOML, or a setting outside a table.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}", got=error.strerror or str(error), fix="give the path of a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML", got=str(error), fix="correct it there") from error
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"{path}: {name} stands outside a table", got=repr(table), allowed=_TABLES)
    return tables


def config_from_tables(tables: Mapping[str, Any], where: str) -> RunConfig:
    """Checks the tables of a configuration.

    Raises:
        ConfigError: an unknown or missing key (the nearest one is named), a wrong type, a value out of range.
    """
    return decode(RunConfig, tables, where, ConfigError)


def override(tables: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Applies `table.key=value` settings; a value is read as TOML, and as text where it is none.

    Raises:
        ConfigError: a setting that is not of that form.
    """
    changed = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for setting in settings:
        name, equals, text = setting.partition("=")
        table, dot, key = name.strip().partition(".")
        if not (equals and dot and table and key):
            raise ConfigError("--set", got=repr(setting), allowed="table.key=value", fix="--set training.max_epochs=20")
        changed.setdefault(table, {})[key.strip()] = _toml_value(text.strip())
    return changed


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _without_none(value: Any) -> Any:
    """TOML has no null: a setting that is not set is left out."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
