"""What tests of the signal path share: signals, a gateway's path from readings to rows, and training's."""

from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
import polars as pl

from toolkit.contract.signals import CALENDAR, Channel, SignalSpec
from toolkit.data.row_places import RowPlaces
from toolkit.data.source import SourceFrame
from toolkit.data.tables import read_channels
from toolkit.edge.changes import AssetRecord, Sample
from toolkit.edge.intervals import AssetIntervals, timing_of
from toolkit.edge.rows import RowMaker
from toolkit.edge.settings import SignalSettings
from toolkit.errors import DataError

SECOND_US = 1_000_000
START_US = 1_767_225_600 * SECOND_US  # 2026-01-01T00:00:00Z


def raw_signal(features, gaps=None, *, interval_s=10.0, min_samples=1, calendar=()):
    """Of raw samples: features by variable, gap policies by channel."""
    names = [(variable, feature) for variable, chosen in features.items() for feature in chosen]
    channels = [Channel(f"{v}.{f}", v, f, gap=(gaps or {}).get(f"{v}.{f}", "break")) for v, f in names]
    return _signal(channels, calendar, interval_s, "samples", min_samples)


def row_signal(gaps, *, interval_s=10.0, calendar=()):
    """Of rows: gap policies by channel."""
    channels = [Channel(name, name, "value", gap=gap) for name, gap in gaps.items()]
    return _signal(channels, calendar, interval_s, "rows", 1)


def _signal(channels, calendar, interval_s, sampling, min_samples):
    target = channels[0].name
    computed = [Channel(name, CALENDAR, name.rpartition(".")[2], "1") for name in calendar]
    return SignalSpec(
        (*channels, *computed), (target,), interval_s, sampling, min_samples, "Europe/Berlin" if computed else "UTC"
    )


@dataclass
class GatewayPath:
    """Readings in, rows out; keeps what the journal would."""

    signal: SignalSpec
    settings: SignalSettings = field(default_factory=SignalSettings)
    limits: dict = field(default_factory=dict)
    records: dict = field(default_factory=dict)
    samples: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    def __post_init__(self):
        self.timing = timing_of(self.signal, self.settings)
        self.maker = RowMaker(self.signal, self.limits)
        self.closed, self.left_out = [], []
        self.assets = {
            number: AssetIntervals(self.timing, record, self.closed) for number, record in self.records.items()
        }
        for number, intervals in self.assets.items():
            intervals.restore([sample for sample in self.samples if sample.asset == number])

    def take(self, number, reading):
        if number not in self.assets:
            self.records[number] = AssetRecord(number, f"pump-{number}")
            self.assets[number] = AssetIntervals(self.timing, self.records[number], self.closed)
        reason = self.assets[number].take(reading)
        if reason is None:
            self.samples.append(Sample(number, *reading))
        return reason

    def close_all(self):
        return [intervals.close_all() for intervals in self.assets.values()]

    def make(self):
        """All rows of what has closed, an asset at most once in each call."""
        while self.closed:
            batch = {}
            for place in self.closed:
                batch.setdefault(place.asset, place)
            made = self.maker.make(list(batch.values()), self.records)
            self.closed[:] = [place for place in self.closed if batch[place.asset] is not place]
            self.left_out += made.left_out.tolist()
            for one in made.rounds:
                assert len(set(one.assets.tolist())) == len(one.assets)
                self._note(one)

    def _note(self, one):
        fields = (one.assets, one.places, one.stamps_us, one.flags, one.series, one.starts_series)
        numbers = zip(*(array.tolist() for array in fields), strict=True)
        self.rows += [(*row, values.tobytes()) for row, values in zip(numbers, one.values, strict=True)]

    def restarted(self):
        """As another process finds it in the journal, where nothing but records and open samples is."""
        self.make()
        records = {number: record.copy() for number, record in self.records.items()}
        return type(self)(self.signal, self.settings, self.limits, records, self.open_samples(), list(self.rows))

    def open_samples(self):
        return [sample for sample in self.samples if not self._is_closed(self.records[sample.asset], sample.time_us)]

    def _is_closed(self, record, time_us):
        place = self.timing.place_of(record.origin_us, time_us)
        return record.open_place is not None and place < record.open_place

    def rows_of(self, number):
        """Stamps, values and series of an asset."""
        own = [row for row in self.rows if row[0] == number]
        return [(stamp, values, series) for _, _, stamp, _, series, _, values in own]


def training_rows(signal, tables):
    """What `read_channels` makes of tables `(times_us, values [rows, columns])`, by asset: as `rows_of` gives it."""
    names = tuple(dict.fromkeys(
        channel.variable if signal.sampling == "samples" else channel.name
        for channel in signal.channels if channel.variable != CALENDAR
    ))  # fmt: skip
    times = np.concatenate([times for times, _ in tables])
    assets = np.repeat(np.arange(len(tables)), [len(times) for times, _ in tables])
    columns = pl.DataFrame(np.concatenate([values for _, values in tables]), schema=list(names), orient="row")
    places = RowPlaces.of_files(["plant.csv"], [times.size])
    frame = SourceFrame("plant.csv", "", times, assets, tuple(f"pump-{n}" for n in range(len(tables))), columns, places)
    try:
        with patch("toolkit.data.tables.read_frame", lambda config: frame):
            table = read_channels("plant.csv", "time", signal)
    except DataError as error:
        assert "every row holds a missing reading" in str(error)
        return [[] for _ in tables]
    rows = []
    for number in range(len(tables)):
        own = table.assets == number
        series = table.segments[own]
        values = [row.astype(np.float32).tobytes() for row in table.values[own]]
        rows.append(list(zip(table.times_us[own].tolist(), values, (series - series[:1]).tolist(), strict=True)))
    return rows
