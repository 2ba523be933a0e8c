"""From messages to forecasts: knows neither what carries the messages nor what keeps them.

What goes in is one message after the other; what comes out is `Changes`, everything that these messages brought about
and that one transaction is to make durable. Whatever is decided here is decided by accepted readings in their order,
and by silence, which the journal notes: the same readings give the same forecasts, bit for bit, however often the
gateway was killed between them and whoever else was due.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.signals import SignalSpec
from toolkit.edge.answer_form import AnswerForm
from toolkit.edge.changes import AssetRecord, Changes, Flag, OutgoingForecast, Restored, Row, Sample
from toolkit.edge.forecaster import Answers, Forecaster
from toolkit.edge.gateway_metrics import GatewayMetrics, Score
from toolkit.edge.intervals import AssetIntervals, ClosedPlace, timing_of
from toolkit.edge.messages import ForecastWriter
from toolkit.edge.payloads import PayloadReader
from toolkit.edge.readings import Reason, Refusal
from toolkit.edge.recent_flags import RecentFlags
from toolkit.edge.rows import RowMaker, RowRound
from toolkit.edge.settings import ColumnLimits, SignalSettings
from toolkit.edge.silence import Silence
from toolkit.edge.transport import Delivery
from toolkit.edge.truth import Truth

Ints = NDArray[np.int64]

CLOCK_AHEAD_US = 300_000_000
"""A source whose clock is that far ahead of the gateway's is flagged. One that lags cannot be told from a backlog."""
MADE_UP = Flag.HELD | Flag.IMPUTED
"""A row of which a part was not measured: no truth for an earlier forecast."""


def wall_us() -> int:
    """Microseconds since 1970 UTC, by this machine's clock."""
    return time.time_ns() // 1000


class Core:
    """One bundle's signal path, for all assets.

    Args:
        signal: of the bundle.
        settings: of the signal.
        limits: by the names of columns.
        reader: of payloads.
        forecaster: of the bundle.
        form: of its answers.
        name: of the bundle.
        metrics: are counted up.
        monotonic_s: of silence.
        wall_us: for flags alone.
    """

    def __init__(
        self,
        *,
        signal: SignalSpec,
        settings: SignalSettings,
        limits: dict[str, ColumnLimits],
        reader: PayloadReader,
        forecaster: Forecaster,
        form: AnswerForm,
        name: str,
        metrics: GatewayMetrics,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_us: Callable[[], int] = wall_us,
    ) -> None:
        self.reader = reader
        self.metrics = metrics
        self.timing = timing_of(signal, settings)
        self._most_assets = settings.max_assets
        self._forecaster, self._form = forecaster, form
        self._interval_us = round(signal.interval_s * 1e6)
        self._writer = ForecastWriter(form, name, forecaster.digest, self._interval_us)
        self._rows = RowMaker(signal, limits)
        self._targets = np.array(signal.target_indices, np.int64)
        self._target_names = signal.targets
        self._flags = RecentFlags(forecaster.kept_rows)
        self._truth = Truth(form.horizon, len(form.targets)) if form.horizon else None
        self._silence = Silence(_default(settings.silence_s, 2 * signal.interval_s), monotonic_s)
        self._wall_us = wall_us
        self._assets: dict[str, AssetIntervals] = {}
        self._records: dict[int, AssetRecord] = {}
        self._closed: list[ClosedPlace] = []
        self._completed_ns: list[int] = []
        """For each closed place when the message came that completed it."""
        self._touched: set[int] = set()
        self._warming_up: set[int] = set()
        self._changes = Changes()
        self._since_ns: list[int] = []

    @property
    def graph(self) -> str:
        """The name of the graph that is run."""
        return self._forecaster.graph

    @property
    def due(self) -> int:
        """Closed intervals that wait for their forecasts."""
        return len(self._closed)

    @property
    def due_since_ns(self) -> int:
        """When the message came that completed the first of them."""
        return self._completed_ns[0]

    def restore(self, restored: Restored) -> None:
        """Goes on from where a journal ends. To be called once, before anything else."""
        digest = self._forecaster.digest
        for number, record in restored.assets.items():
            rows = restored.rows.get(number, [])
            values = [np.frombuffer(row.values, "<f4") for row in rows]
            self._forecaster.restore(
                number,
                np.array(values, np.float32) if values else np.empty((0, 0), np.float32),
                np.array([row.series for row in rows], np.int64),
                record.series,
                record.state,
                state_ok=record.state_bundle == digest,
                age=record.age,
            )
            self._flags.restore(number, [row.flags for row in rows if row.series == record.series])
            intervals = self._add(record)
            intervals.restore(restored.samples.get(number, ()))
            if intervals.open_readings:
                self._silence.heard(number)
        self.metrics.assets.set(len(self._assets))

    def take(self, delivery: Delivery) -> None:
        """One message; whatever it holds, this goes on."""
        asset, readings, refused = self.reader.read(delivery.topic, delivery.payload)
        accepted = 0
        if readings:
            intervals = self._assets.get(asset) or self._new_asset(asset)
            if intervals is None:
                refused.extend(Refusal(Reason.TOO_MANY_ASSETS, reading.column) for reading in readings)
            else:
                before = len(self._closed)
                number, samples = intervals.record.number, self._changes.samples
                for reading in readings:
                    reason = intervals.take(reading)
                    if reason is None:
                        samples.append(Sample(number, *reading))
                        accepted += 1
                    else:
                        refused.append(Refusal(reason, reading.column))
                self._note(intervals, accepted)
                is_ahead = accepted and readings[0].time_us > self._wall_us() + CLOCK_AHEAD_US
                if is_ahead:
                    self.metrics.clock_suspect.inc()
                for place in range(before, len(self._closed)):
                    self._note_closed(place, delivery.received_ns, int(Flag.CLOCK) if is_ahead else 0)
        self.metrics.message(accepted, refused)
        if delivery.token is None:
            self.metrics.unprotected.inc()

    def close_silent(self) -> None:
        """Closes the open intervals of assets that sent nothing for so long. Only while messages could come."""
        for number in self._silence.over():
            intervals = self._assets[self._records[number].name]
            before = len(self._closed)
            if not intervals.close_all():
                continue
            self._completed_ns += [time.monotonic_ns()] * (len(self._closed) - before)
            self.metrics.intervals_closed["silence"].inc(len(self._closed) - before)
            self._touched.add(number)
            self._changes.closed_by_timeout.append((number, intervals.record.open_place or 0))

    def hold_silence(self) -> None:
        """Says that messages could not come until now: no asset counts as silent for what lies before."""
        self._silence.begin_anew()

    def forecast(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Makes rows of all closed intervals, and forecasts of these.

        All assets that are due go through the graph in one call. Where several intervals of one asset have closed, they
        follow each other in calls of their own.

        Args:
            meanwhile: is called before each of these: a backlog may take its time.
        """
        if not self._closed:
            return
        closed, completed, self._closed[:], self._completed_ns = [*self._closed], self._completed_ns, [], []
        for batch in _each_once(closed):
            meanwhile()
            places = [closed[number] for number in batch]
            since = {place.asset: completed[number] for number, place in zip(batch, places, strict=True)}
            last = {place.asset: place.place for place in places}
            made = self._rows.make(places, self._records)
            for rows in made.rounds:
                self._answer(rows, since, last)
            self._touched.update(since)
        self.metrics.assets_warming_up.set(len(self._warming_up))

    def changes(self, meanwhile: Callable[[], object] = lambda: None) -> Changes:
        """Everything since the last time, to be made durable as one; begins anew.

        Args:
            meanwhile: see `forecast`.
        """
        self.forecast(meanwhile)  # an interval that has closed and gave no row yet would be lost
        self._write_records()
        changes, self._changes = self._changes, Changes()
        return changes

    def completed_ns(self) -> list[int]:
        """For each forecast since the last time when the message came that completed its interval; begins anew."""
        since, self._since_ns = self._since_ns, []
        return since

    def silent_in_s(self) -> float | None:
        """Seconds until `close_silent` may find something; None where it will not."""
        return self._silence.next_s()

    def scores(self) -> list[Score]:
        """How good the forecasts of each asset have been of late."""
        if self._truth is None:
            return []
        return [
            Score(
                self._records[one.asset].name,
                self._target_names[one.target],
                one.mae,
                one.persistence_mae,
                float(one.truths),
            )
            for one in self._truth.snapshot()
        ]

    def _new_asset(self, name: str) -> AssetIntervals | None:
        if len(self._assets) >= self._most_assets:
            return None
        record = AssetRecord(next(reversed(self._records), -1) + 1, name)  # numbers only rise
        self._touched.add(record.number)
        intervals = self._add(record)
        self.metrics.assets.set(len(self._assets))
        return intervals

    def _add(self, record: AssetRecord) -> AssetIntervals:
        intervals = self._assets[record.name] = AssetIntervals(self.timing, record, self._closed)
        self._records[record.number] = record
        return intervals

    def _note_closed(self, number: int, received_ns: int, flag: int) -> None:
        closed = self._closed[number]
        self._completed_ns.append(received_ns)
        self.metrics.intervals_closed["patience" if closed.flags else "readings"].inc()
        if flag:
            self._closed[number] = closed._replace(flags=closed.flags | flag)

    def _note(self, intervals: AssetIntervals, accepted: int) -> None:
        """What a message says of its asset beside its readings."""
        number = intervals.record.number
        if intervals.changed:
            self._touched.add(number)
            intervals.changed = False
        if intervals.out_of_order:
            self.metrics.out_of_order.inc(intervals.out_of_order)
            intervals.out_of_order = 0
        if intervals.sequence_restarts:
            self.metrics.sequence_restarts.inc(intervals.sequence_restarts)
            intervals.sequence_restarts = 0
        if accepted:
            self._silence.heard(number)

    def _answer(self, rows: RowRound, since: dict[int, int], last: dict[int, int]) -> None:
        """One row each of some assets: the graph, what it is worth, and what is to be kept and sent of it."""
        answers = self._forecaster.step(rows.assets, rows.values, rows.starts_series)
        if answers.refused.any():
            self._end_series(rows.assets[answers.refused])
        targets = rows.values[:, self._targets]
        if self._truth is not None:
            measured = np.where((rows.flags & MADE_UP)[:, np.newaxis] != 0, np.nan, targets).astype(np.float32)
            self._truth.arrived(rows.assets, rows.places, measured, rows.starts_series)
        own = rows.flags | np.where(answers.recalled, int(Flag.RECALLED), 0)
        flags = self._flags.add(rows.assets, own, rows.starts_series)
        self._keep(rows, own, answers)
        self._publish(rows, flags, answers, since, last)
        self._remember(rows, targets, answers)
        ready = answers.ready
        self._warming_up.difference_update(rows.assets[ready].tolist())
        self._warming_up.update(rows.assets[~ready].tolist())
        self.metrics.series_breaks.inc(int((rows.starts_series & (rows.series > 0)).sum()))

    def _keep(self, rows: RowRound, flags: Ints, answers: Answers) -> None:
        values = np.ascontiguousarray(rows.values, "<f4")
        columns = (rows.assets, rows.places, flags, rows.series, answers.refused)
        for number, (asset, place, flag, series, refused) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            if not refused:
                self._changes.rows.append(Row(asset, place, values[number].tobytes(), flag, series))

    def _publish(
        self, rows: RowRound, flags: Ints, answers: Answers, since: dict[int, int], last: dict[int, int]
    ) -> None:
        """Forecasts behind intervals that closed: behind one that was skipped and filled it would come too late."""
        digest, made = self._forecaster.digest, self._changes.forecasts
        assets, places, stamps = rows.assets.tolist(), rows.places.tolist(), rows.stamps_us.tolist()
        flagged = flags.tolist()
        for number in np.flatnonzero(answers.ready).tolist():
            asset = assets[number]
            if places[number] != last[asset]:
                continue
            name = self._records[asset].name
            outputs = {key: array[number] for key, array in answers.outputs.items()}
            latency_ms = (time.monotonic_ns() - since[asset]) / 1e6
            payload = self._writer.payload(name, stamps[number], outputs, flagged[number], latency_ms)
            if payload is None:
                self.metrics.forecasts_not_finite.inc()
                continue
            made.append(OutgoingForecast(name, stamps[number] + self._interval_us, digest, payload))
            self._since_ns.append(since[asset])
            self.metrics.forecasts.inc()
        self.metrics.last_forecast_time.set(self._wall_us() / 1e6)

    def _remember(self, rows: RowRound, targets: NDArray[np.float32], answers: Answers) -> None:
        """Forecasts that the truth is to judge; one that is not finite would make every later error infinite."""
        if self._truth is None or not answers.ready.any():
            return
        forecasts = self._form.forecasts(answers.outputs)
        told = answers.ready & np.isfinite(forecasts).all(axis=(1, 2))
        self._truth.remember(rows.assets[told], rows.places[told], forecasts[told], targets[told])

    def _end_series(self, assets: Ints) -> None:
        """Of assets whose state turned out unusable: their next row begins a series."""
        for number in assets.tolist():
            record = self._records[number]
            record.series += 1
            record.last_place = None

    def _write_records(self) -> None:
        if not self._touched:
            return
        numbers = sorted(self._touched)
        self._touched.clear()
        indices = np.array(numbers, np.int64)
        states, ages = self._forecaster.states_of(indices), self._forecaster.ages_of(indices)
        for number, state, age in zip(numbers, states, ages, strict=True):
            record = self._records[number]
            record.state, record.age = state or None, age
            record.state_bundle = self._forecaster.digest if state else ""
            self._changes.assets[number] = record.copy()


def _default(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _each_once(closed: Sequence[ClosedPlace]) -> list[list[int]]:
    """The numbers of closed places in batches in which no asset stands twice, each asset's in their order."""
    met: dict[int, int] = {}
    batches: list[list[int]] = []
    for number, place in enumerate(closed):
        turn = met[place.asset] = met.get(place.asset, -1) + 1
        if turn == len(batches):
            batches.append([])
        batches[turn].append(number)
    return batches
