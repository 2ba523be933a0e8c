"""The settings of `[data]`: where the table is, what its columns are, how it is cut into windows."""

from dataclasses import dataclass, field
from typing import Literal

from toolkit.contract.model_spec import LARGEST
from toolkit.errors import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """`[data]` of `lstm-edge.toml`.

    Attributes:
        file: a CSV or Parquet file.
        timestamp: its time column: ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970.
        targets: the columns to forecast.
        asset: the column that tells machines apart, or None for a single machine.
        channels: the columns that go into the model; empty means every column that is not named elsewhere.
        exclude: columns to leave out.
        units: engineering unit by column.
        window_length: samples of input.
        horizon: samples of forecast.
        stride: every how many rows a training window starts; validation and test always use every row.
        interval_s: seconds between rows; None means the median of the table.
        missing: what an empty, NaN or infinite reading does: stop with an `error`, or `break` the series there,
            so that no window holds it.
        split: fractions of the rows, in time order, for training, validation and test.
        borders: row numbers, in time order, at which training, validation and test end; in place of `split`.
        season: samples in one season of the seasonal baseline; None finds it on the training rows.
    """

    file: str
    timestamp: str
    targets: tuple[str, ...]
    asset: str | None = None
    channels: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    window_length: int = 60
    horizon: int = 12
    stride: int = 1
    interval_s: float | None = None
    missing: Literal["error", "break"] = "error"
    split: tuple[float, ...] = (0.7, 0.15, 0.15)
    borders: tuple[int, ...] = ()
    season: int | None = None

    def __post_init__(self) -> None:
        for name in ("window_length", "horizon", "stride"):
            if not 1 <= getattr(self, name) <= LARGEST:
                raise ConfigError(f"data.{name}", got=getattr(self, name), allowed=f"1 or more, at most {LARGEST}")
        self._check_columns()
        if self.interval_s is not None and not 0 < self.interval_s <= 1e9:
            raise ConfigError("data.interval_s", got=self.interval_s, allowed="more than 0, at most 1e9")
        self._check_split()
        if self.season is not None and not 1 <= self.season <= self.window_length:
            raise ConfigError("data.season", got=self.season, allowed=f"1 to the window length, {self.window_length}")

    def _check_columns(self) -> None:
        if not self.targets:
            raise ConfigError("data.targets names no column", fix="name at least one with --target COLUMN")
        for name in ("targets", "channels"):
            columns = getattr(self, name)
            twice = [column for column in columns if columns.count(column) > 1]
            if twice:
                raise ConfigError(f"data.{name} names a column twice", got=repr(twice[0]), fix="name it once")
        if self.asset == self.timestamp:
            raise ConfigError("data.asset is the timestamp column", got=repr(self.asset), fix="name the asset's column")

    def _check_split(self) -> None:
        fractions = len(self.split) == 3 and min(self.split) > 0 and abs(sum(self.split) - 1.0) < 1e-6
        if not self.borders and not fractions:
            raise ConfigError(
                "data.split",
                got=list(self.split),
                allowed="three positive fractions with the sum 1",
                fix="[0.7, 0.15, 0.15]",
            )
        rising = len(self.borders) == 3 and 0 < self.borders[0] < self.borders[1] < self.borders[2]
        if self.borders and not rising:
            raise ConfigError("data.borders", got=list(self.borders), allowed="three rising row numbers")
