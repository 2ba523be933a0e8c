"""The settings of `[data]`: where the table is, what its columns are, how it is cut into windows."""

from dataclasses import dataclass, field
from typing import Any, Literal

from toolkit.contract.model_spec import LARGEST
from toolkit.contract.signals import gap_policy
from toolkit.data.time_zones import check_zone
from toolkit.errors import ConfigError

SEPARATORS = (",", ";", "\t", "|", " ")
READING = (
    "separator", "decimal", "column_names", "transposed", "sentinels", "timestamp_format", "timezone", "tag", "value",
    "quality", "good_quality", "duplicates", "sort",
)  # fmt: skip
"""The settings that say how a file is read, whatever is then made of it."""
FILE_ASSET = "{file}"
"""The setting of `asset` that makes each file a machine."""


@dataclass(frozen=True)
class DataConfig:
    """`[data]` of `lstm-edge.toml`.

    Attributes:
        file: a CSV or Parquet file, or several of the same columns, read one after the other; each may be a pattern
            (`2024/*.csv`).
        timestamp: its time column: ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970; a list of columns is
            joined by a blank (date and time apart); "" where there is none: rows are then `interval_s` apart.
        targets: the columns to forecast; none for a classifier.
        asset: the column that tells machines apart, or None for a single machine; "{file}" makes each file one.
        channels: the columns (or tags) that go into the model; empty means every one that is not named elsewhere.
        exclude: columns to leave out.
        units: engineering unit by column.
        window_length: samples of input.
        horizon: samples of forecast.
        stride: every how many rows a training window starts; validation and test always use every row.
        interval_s: seconds between rows; None means the median of the table.
        missing: what an empty, NaN or infinite reading does: stop with an `error`, or `break` the series there,
            so that no window holds it.
        gaps: what stands where a reading is missing, by channel, by variable or for all of them under "*"; the
            first of the three that is there counts: `break`, `hold:N` or `interpolate:N`, see
            `toolkit.contract.signals.GapPolicy`. With any but `break`, rows are put on a grid of `interval_s`.
        split: fractions of the rows, in time order, for training, validation and test.
        borders: row numbers, in time order, at which training, validation and test end; in place of `split`.
        season: samples in one season of the seasonal baseline; None finds it on the training rows.
        separator: of the cells of a text file; " " stands for any run of blanks.
        decimal: the mark before the decimals.
        column_names: of a text file without a header.
        transposed: the text file has one row for each of `column_names`, and one column for each moment.
        sentinels: numbers that stand for a missing reading (-200, 9999).
        timestamp_format: as `strptime` takes it, `%d/%m/%Y %H:%M`; None reads ISO 8601 and numbers since 1970.
        timezone: zone of the times where they state none, as `Europe/Berlin`, and of the clock that `calendar` follows;
            None takes times as they stand, and the calendar by them.
        tag: where each row holds one reading, the column that says which channel it is of.
        value: the column of these readings.
        quality: the column that says how good a reading is; one that is not good counts as not taken.
        good_quality: what stands there for a good one.
        duplicates: what two rows of one moment are: an `error`, or the `first`, the `last` or the `mean` of them.
        sort: rows that are out of order are put in order; otherwise they are refused.
        constant: a channel that never changes on the training rows is an `error`, or one to `drop`.
        label: the column that a classifier learns, text or whole numbers. Its classes are the distinct values of the
            training rows; a window has that of its last row, and is not used where that cell is empty.
        calendar: channels that are computed from the time: of `hour`, `weekday` and `yearday`, a sine and a cosine.
    """

    file: str | tuple[str, ...]
    timestamp: str | tuple[str, ...]
    targets: tuple[str, ...] = ()
    asset: str | None = None
    channels: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    window_length: int = 60
    horizon: int = 12
    stride: int = 1
    interval_s: float | None = None
    missing: Literal["error", "break"] = "error"
    gaps: dict[str, str] = field(default_factory=dict)
    split: tuple[float, ...] = (0.7, 0.15, 0.15)
    borders: tuple[int, ...] = ()
    season: int | None = None
    separator: str = ","
    decimal: str = "."
    column_names: tuple[str, ...] = ()
    transposed: bool = False
    sentinels: tuple[float, ...] = ()
    timestamp_format: str | None = None
    timezone: str | None = None
    tag: str | None = None
    value: str | None = None
    quality: str | None = None
    good_quality: tuple[str, ...] = ("Good", "GOOD", "good", "192", "0x000000C0")
    duplicates: Literal["error", "first", "last", "mean"] = "error"
    sort: bool = False
    constant: Literal["error", "drop"] = "error"
    label: str | None = None
    calendar: tuple[Literal["hour", "weekday", "yearday"], ...] = ()

    @property
    def reading(self) -> dict[str, Any]:
        """How the file is read: the settings that `READING` names."""
        return {name: getattr(self, name) for name in READING}

    @property
    def timestamps(self) -> tuple[str, ...]:
        """The columns that make up the time, none where there is no time column."""
        columns = (self.timestamp,) if isinstance(self.timestamp, str) else self.timestamp
        return tuple(column for column in columns if column)

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns that are no channel: of time, of the machine, and those of a table of one reading a row."""
        asset = None if self.asset == FILE_ASSET else self.asset
        return (*self.timestamps, *(name for name in (asset, self.tag, self.value, self.quality, self.label) if name))

    def __post_init__(self) -> None:
        for name in ("window_length", "horizon", "stride"):
            if not 1 <= getattr(self, name) <= LARGEST:
                raise ConfigError(f"data.{name}", got=getattr(self, name), allowed=f"1 or more, at most {LARGEST}")
        self._check_columns()
        self._check_text_form()
        self._check_times()
        self._check_long_form()
        for name, policy in self.gaps.items():
            gap_policy(policy, f"data.gaps.{name}", ConfigError)
        if self.interval_s is not None and not 0 < self.interval_s <= 1e9:
            raise ConfigError("data.interval_s", got=self.interval_s, allowed="more than 0, at most 1e9")
        self._check_split()
        if self.season is not None and not 1 <= self.season <= self.window_length:
            raise ConfigError("data.season", got=self.season, allowed=f"1 to the window length, {self.window_length}")

    def _check_columns(self) -> None:
        self._check_label()
        for name in ("targets", "channels", "column_names", "calendar"):
            columns = getattr(self, name)
            twice = [column for column in columns if columns.count(column) > 1]
            if twice:
                raise ConfigError(f"data.{name} names a column twice", got=repr(twice[0]), fix="name it once")
        if self.asset in self.timestamps:
            raise ConfigError("data.asset is the timestamp column", got=repr(self.asset), fix="name the asset's column")

    def _check_label(self) -> None:
        if self.label == "":
            raise ConfigError("data.label names no column", got="nothing", fix="name the column of classes")
        if not self.targets and self.label is None:
            raise ConfigError("data.targets names no column", fix="name at least one with --target COLUMN")
        if self.targets and self.label is not None:
            got = f"targets {', '.join(self.targets)} and label {self.label}"
            raise ConfigError(
                "data.targets beside data.label", got=got, allowed="one of them", fix="a classifier has none"
            )
        if self.label is not None and self.tag is not None:
            raise ConfigError(
                "data.label in a table of one reading a row", got=repr(self.label), fix="make it a wide one"
            )
        if self.calendar and not self.timestamps:
            raise ConfigError("data.calendar needs data.timestamp", got="none", fix="name the time column")

    def _check_text_form(self) -> None:
        if not self.file or not all(self.file):
            raise ConfigError("data.file names no file", fix="name at least one with --data FILE")
        if self.separator not in SEPARATORS:
            raise ConfigError(
                "data.separator",
                got=repr(self.separator),
                allowed=", ".join(map(repr, SEPARATORS)),
                fix="""quote it: --set 'data.separator=" "' for any run of blanks""",
            )
        if self.decimal not in (".", ","):
            raise ConfigError("data.decimal", got=repr(self.decimal), allowed="'.' or ','")
        if self.transposed and not self.column_names:
            fix = "--set data.column_names=[...], one for each row"
            raise ConfigError("data.transposed needs the names of the channels", got="none", fix=fix)

    def _check_times(self) -> None:
        if not isinstance(self.timestamp, str) and len(self.timestamps) != len(set(self.timestamp)):
            raise ConfigError("data.timestamp", got=list(self.timestamp), allowed="names, each once")
        if not self.timestamps and self.interval_s is None:
            fix = "--set data.interval_s=SECONDS"
            raise ConfigError("a table without a time column needs data.interval_s", got="none", fix=fix)
        for name in ("timestamp_format", "timezone"):
            if not self.timestamps and getattr(self, name) is not None:
                raise ConfigError(f"data.{name} goes with a time column", fix="leave it out, or name data.timestamp")
        if self.timestamp_format is not None and "%" not in self.timestamp_format:
            allowed = "a strptime format, as '%d/%m/%Y %H:%M'"
            raise ConfigError("data.timestamp_format", got=repr(self.timestamp_format), allowed=allowed)
        if self.timezone is not None:
            check_zone(self.timezone)

    def _check_long_form(self) -> None:
        if (self.tag is None) != (self.value is None) or (self.quality is not None and self.tag is None):
            got = ", ".join(name for name in ("tag", "value", "quality") if getattr(self, name) is not None)
            allowed = "data.tag and data.value together, and data.quality with them"
            raise ConfigError("data: one reading a row", got=got, allowed=allowed)
        if self.tag is not None and not self.timestamps:
            raise ConfigError("data.tag needs data.timestamp", got="none", fix="name the time column")
        if self.tag is not None and len(set(self.roles)) < len(self.roles):
            raise ConfigError("data names one column twice", got=", ".join(self.roles), allowed="each column once")
        if not self.good_quality:
            raise ConfigError("data.good_quality", got="nothing", allowed="at least one value")

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
