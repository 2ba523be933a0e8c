"""`lstm-edge.toml`: its tables as dataclasses, read strictly, changed by `--set table.key=value`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import tomli_w

from toolkit.contract.model_spec import LARGEST, Cell, ChannelMixing, Head, Normalisation, check_quantiles
from toolkit.contract.records import decode, encode
from toolkit.contract.settings import override
from toolkit.data.config import DataConfig
from toolkit.data.feature_config import FeatureConfig
from toolkit.errors import ConfigError
from toolkit.runtime.environment import usable_cores


@dataclass(frozen=True)
class ModelConfig:
    """`[model]`: see `toolkit.model.MultivariateLSTM`; what is None is settled by `toolkit.training.defaults`.

    Attributes:
        streaming: whether samples are answered one by one, from a state that is carried on. It is then trained so, and
            is a plain LSTM of all channels; window normalisation and patches need a whole window.
        task: `forecast`, or `classify`, which learns `data.label` in place of a forecast.
    """

    hidden_size: int = 64
    num_layers: int | None = None
    dropout: float = 0.0
    cell: Cell = "lstm"
    bidirectional: bool = False
    bias: bool = True
    head: Head = "last"
    normalisation: Normalisation | None = None
    patch_length: int | None = None
    channel_mixing: ChannelMixing | None = None
    quantiles: tuple[float, ...] = ()
    task: Literal["forecast", "classify"] = "forecast"
    streaming: bool = False

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "patch_length"):
            size = getattr(self, name)
            if size is not None and not 1 <= size <= LARGEST:
                raise ConfigError(f"model.{name}", got=size, allowed=f"1 or more, at most {LARGEST}")
        if self.streaming:
            self._check_streaming()
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError("model.dropout", got=self.dropout, allowed="0 up to, not including, 1")
        check_quantiles(self.quantiles, "model.quantiles", ConfigError)

    def _check_streaming(self) -> None:
        plain = {"normalisation": "none", "patch_length": 1, "bidirectional": False}
        for name, allowed in plain.items():
            if getattr(self, name) not in (None, allowed):
                raise ConfigError(
                    f"model.{name} of a streaming model",
                    got=getattr(self, name),
                    allowed=f"{allowed}: it needs a whole window",
                    fix=f"leave model.{name} out, or model.streaming = false",
                )


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
        loss: on standard deviations: `mse`, `mae`; `huber`, squared up to one standard deviation; or `quantile`, the
            pinball loss of `model.quantiles`, which goes with them alone.
        class_weights: of a classifier's loss: `none`, or `balanced`: every class counts alike, however many windows it
            has.
        optimizer: `adam`, or `adamw` with decoupled weight decay.
        weight_decay: of the optimiser.
        clip_norm: the gradient's norm is cut to this; 0 turns that off.
        seed: of the weights, the shuffling and dropout.
        seeds: trainings from as many seeds, `seed` the first; the one with the best validation loss is kept, and the
            report gives mean and spread.
        device: `cpu`, `cuda`, or `auto`: CUDA where there is a GPU. The whole table is held there.
        precision: `float32`, or on a GPU `mixed`: bfloat16 where torch's autocast takes it; weights stay float32.
        threads: of torch. One is the default: on a shared machine two were seen to take 17 times longer.
    """

    max_epochs: int = 50
    min_epochs: int = 5
    patience: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: Literal["constant", "decay", "cosine"] = "constant"
    loss: Literal["mse", "mae", "huber", "quantile"] = "mse"
    class_weights: Literal["none", "balanced"] = "none"
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0
    seeds: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "mixed"] = "float32"
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("max_epochs", "min_epochs", "patience", "batch_size", "seeds", "threads"):
            if not 1 <= getattr(self, name) <= LARGEST:
                raise ConfigError(f"training.{name}", got=getattr(self, name), allowed=f"1 or more, at most {LARGEST}")
        if self.threads > usable_cores():
            raise ConfigError(
                "training.threads", got=self.threads, allowed=f"1 to {usable_cores()}, this machine's cores"
            )
        if not 0.0 < self.learning_rate <= 1e30:  # beyond float32 torch raises
            raise ConfigError("training.learning_rate", got=self.learning_rate, allowed="more than 0, at most 1e30")
        for name in ("weight_decay", "clip_norm", "seed"):
            if not 0 <= getattr(self, name) < 2**63:
                raise ConfigError(f"training.{name}", got=getattr(self, name), allowed="0 or more")


@dataclass(frozen=True)
class RunConfig:
    """Everything a training run depends on.

    Attributes:
        data: the table.
        model: the module.
        training: how it learns.
        features: of raw samples; None where the table's rows are the channels already.
    """

    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    features: FeatureConfig | None = None

    def __post_init__(self) -> None:
        classifies = self.model.task == "classify"
        if classifies != (self.data.label is not None):
            got = f"model.task {self.model.task} and {'a' if self.data.label else 'no'} data.label"
            fix = "--set model.task=classify --set data.label=COLUMN, without --target"
            raise ConfigError("a classifier has a label, and a forecaster has none", got=got, fix=fix)
        if classifies and self.training.loss != TrainConfig.loss:
            fix = "leave it out: a classifier is trained on cross-entropy"
            raise ConfigError("training.loss goes with a forecast", got=self.training.loss, fix=fix)
        self._check_quantiles()
        if not classifies and self.training.class_weights != "none":
            got, fix = self.training.class_weights, "leave it out, or --set model.task=classify"
            raise ConfigError("training.class_weights goes with a classifier", got=got, fix=fix)
        if self.data.calendar and self.model.channel_mixing == "independent":
            what = "data.calendar tells nothing where each channel runs by itself"
            raise ConfigError(what, got="model.channel_mixing independent", fix="joint, or no data.calendar")

    def _check_quantiles(self) -> None:
        """Another loss would leave the quantiles untrained, and the pinball loss has nothing else to train."""
        if bool(self.model.quantiles) != (self.training.loss == "quantile"):
            got = f"training.loss {self.training.loss} and model.quantiles {list(self.model.quantiles)}"
            fix = '--set training.loss=quantile --set "model.quantiles=[0.1, 0.5, 0.9]"'
            if self.model.task == "classify":
                fix = "leave model.quantiles out: a classifier forecasts nothing"
            raise ConfigError("quantiles and their loss go together", got=got, fix=fix)

    def to_toml(self) -> str:
        """The text of a configuration file that gives this configuration again."""
        return tomli_w.dumps(_without_none(encode(self)))


_TABLES = ", ".join(f"[{table.name}]" for table in fields(RunConfig))


def training_config(file: Path | None, data: Mapping[str, Any], settings: Sequence[str]) -> RunConfig:
    """`tuning_config` without its second part, which only a search reads."""
    return tuning_config(file, data, settings)[0]


def tuning_config(
    file: Path | None, data: Mapping[str, Any], settings: Sequence[str]
) -> tuple[RunConfig, dict[str, Any]]:
    """The configuration from a file, options for its `[data]` table, and `table.key=value` settings, in that order.

    Args:
        file: a TOML file, or None.
        data: values for `[data]`; None and empty ones are left as they are.
        settings: `table.key=value`.

    Returns:
        The configuration, and the table `[tune]` as it stands.

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
        keys = (key, "label") if key == "targets" else (key,)
        named = any(setting.strip().startswith(tuple(f"data.{each}" for each in keys)) for setting in settings)
        if not named and not any(each in tables["data"] for each in keys):
            raise ConfigError(f"data.{key} is missing", fix=f"give a configuration file, or {option}")
    tables = override(tables, settings)
    space = tables.pop("tune", {})
    return config_from_tables(tables, str(file) if file is not None else "the configuration"), space


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


def _without_none(value: Any) -> Any:
    """TOML has no null: a setting that is not set is left out."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
