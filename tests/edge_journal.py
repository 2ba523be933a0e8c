"""A plant for the journal's tests: changes of any number of commits, and what a journal that keeps them must hold."""

import os
import random
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from toolkit.contract.signals import Channel, SignalSpec
from toolkit.edge.changes import AssetRecord, Changes, Flag, OutgoingForecast, Restored, Row, Sample
from toolkit.edge.journal import Journal
from toolkit.edge.outbox import Entry
from toolkit.edge.settings import OutputSettings

INTERVAL_US = 1_000_000
KEPT_ROWS = 4
DIGEST = "a" * 64
SIGNAL = SignalSpec(
    (Channel("flow", "flow", "value", "m3/h"), Channel("power", "power", "value", "kW")), ("flow",), 1.0
)


def opened(folder: Path, **other) -> Journal:
    """The journal in that folder, not yet restored."""
    settings = {"kept_rows": KEPT_ROWS, "digest": DIGEST, "signal": SIGNAL, "first_us": first_us}
    return Journal(folder, **{**settings, **other})


def restored(folder: Path, **other) -> tuple[Journal, Restored]:
    journal = opened(folder, **other)
    return journal, journal.restore()


def first_us(origin_us: int, place: int) -> int:
    return origin_us + place * INTERVAL_US


def record(number: int = 0, **other) -> AssetRecord:
    return AssetRecord(number, f"pump-{number}", **other)


def forecast(asset: str = "pump-0", end: int = 1, payload: bytes = b"{}", bundle: str = DIGEST) -> OutgoingForecast:
    return OutgoingForecast(asset, end * INTERVAL_US, bundle, payload)


def row(asset: int, place: int, value: float = 0.0, series: int = 0, flags: int = 0) -> Row:
    return Row(asset, place, struct.pack("<2f", value, -value), flags, series)


def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, where the system has such: tests that open many journals wait for no disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield otherwise
        return
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


class Model:
    """What a journal holds, in plain lists."""

    def __init__(self, bounds: OutputSettings | None = None, kept_rows: int = KEPT_ROWS) -> None:
        self.assets: dict[int, AssetRecord] = {}
        self.samples: list[Sample] = []
        self.rows: dict[tuple[int, int], Row] = {}
        self.waiting: list[OutgoingForecast] = []
        self.bounds = bounds or OutputSettings()
        self.kept_rows = kept_rows

    def apply(self, changes: Changes, delivered: list[OutgoingForecast], in_flight: list[OutgoingForecast]) -> None:
        self.assets.update({number: record.copy() for number, record in changes.assets.items()})
        self.samples = [sample for sample in self.samples + changes.samples if self._open(sample)]
        self.rows.update({(row.asset, row.place): row for row in changes.rows})
        self.waiting = [waiting for waiting in self.waiting if waiting not in delivered]
        for new in changes.forecasts:
            self._add(new)
        if self.bounds.when_full == "drop_oldest":
            for candidate in [waiting for waiting in self.waiting if waiting not in in_flight]:
                if self._fits(self.waiting):
                    break
                self.waiting.remove(candidate)

    def check(self, found: Restored, entries: list[Entry]) -> None:
        """Whether a journal that was opened again holds the same."""
        assert found.assets == self.assets
        by_asset: dict[int, list[Sample]] = {}
        for sample in self.samples:
            by_asset.setdefault(sample.asset, []).append(sample)
        assert found.samples == by_asset
        assert found.rows == self.kept()
        assert [(entry.asset, entry.payload) for entry in entries] == [(w.asset, w.payload) for w in self.waiting]

    def kept(self) -> dict[int, list[Row]]:
        kept: dict[int, list[Row]] = {}
        for _, row in sorted(self.rows.items()):
            kept.setdefault(row.asset, []).append(row)
        return {
            asset: [row for row in rows if row.place > rows[-1].place - self.kept_rows] for asset, rows in kept.items()
        }

    def _open(self, sample: Sample) -> bool:
        record = self.assets[sample.asset]
        return record.open_place is None or sample.time_us >= first_us(record.origin_us, record.open_place)

    def _add(self, new: OutgoingForecast) -> None:
        if any(waiting[:3] == new[:3] for waiting in self.waiting):
            return
        if self.bounds.when_full != "block" and len(new.payload) > self.bounds.max_bytes:
            return
        if self.bounds.when_full == "drop_newest" and not self._fits([*self.waiting, new]):
            return
        self.waiting.append(new)

    def _fits(self, waiting: list[OutgoingForecast]) -> bool:
        size = sum(len(forecast.payload) for forecast in waiting)
        return len(waiting) <= self.bounds.max_messages and size <= self.bounds.max_bytes


def changes_of(step: int, assets: int = 5) -> Changes:
    """The changes of one commit of a small plant: a function of its number, so that any process can tell it.

    Asset 0 is in every commit; its `age` is the number of the step.
    """
    draw = random.Random(step)
    changes = Changes()
    for number in {0, *draw.sample(range(assets), 2)}:
        for n in range(draw.randrange(4)):
            ahead = draw.randrange(3)
            time_us = (step + ahead) * INTERVAL_US + n
            changes.samples.append(Sample(number, draw.randrange(2), time_us, draw.random(), draw.choice([None, step])))
        changes.assets[number] = record(
            number,
            open_place=step if draw.random() < 0.8 else max(0, step - 1),
            newest_us=[step, None],
            sequences=[None, step],
            held=[0, draw.randrange(3)],
            series=step // 7,
            last_place=step - 1,
            suspect_us=draw.choice([None, 12]),
            state=draw.choice([None, draw.randbytes(300)]),
            state_bundle=DIGEST,
            age=step,
        )
        changes.rows.append(row(number, step, draw.random(), step // 7, int(draw.choice(list(Flag)))))
        changes.forecasts.append(forecast(f"pump-{number}", step, draw.randbytes(draw.randrange(600))))
    return changes


def delivered_by(step: int) -> int:
    """How many of the first waiting forecasts the commit of that step reports as delivered."""
    return random.Random(-step).randrange(7)


def model_after(steps: int) -> Model:
    """What a journal holds when `commit_step` has run for 0, 1, ... `steps - 1`."""
    model = Model()
    for step in range(steps):
        gone = model.waiting[: delivered_by(step)]
        model.apply(changes_of(step), gone, [])
    return model


def commit_step(journal: Journal, step: int) -> Changes:
    """Commits the changes of a step, and with them the delivery of some forecasts."""
    changes = changes_of(step)
    changes.delivered = [entry.number for entry in journal.outbox.pending(delivered_by(step))]
    journal.commit(changes)
    return changes


def steps_in(found: Restored) -> int:
    """How many steps a journal holds."""
    return found.assets[0].age + 1 if found.assets else 0


def check_steps(found: Restored, journal: Journal, steps: int) -> None:
    model_after(steps).check(found, journal.outbox.pending(1 << 30))
