"""A journal, restarts and failed commits included, does what plain lists do."""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import edge_journal as plant
import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from toolkit.edge.changes import Changes, OutgoingForecast, Sample
from toolkit.edge.journal_file import JournalWriteError
from toolkit.edge.settings import OutputSettings

ASSETS = st.integers(0, 3)
PLACES = st.integers(0, 30)


class JournalMachine(RuleBasedStateMachine):
    """Every commit is compared with the model's after the next restart, and the outbox at every step."""

    @initialize(
        policy=st.sampled_from(["drop_oldest", "drop_newest", "block"]),
        most=st.integers(1, 6),
        size=st.integers(5, 40),
    )
    def begin(self, policy: str, most: int, size: int) -> None:
        self.folder = self.new_folder()
        self.bounds = OutputSettings(max_messages=most, max_bytes=size, when_full=policy)
        self.model = plant.Model(self.bounds)
        self.changes = Changes()
        self.numbers: dict[int, OutgoingForecast] = {}
        self.open()

    def open(self) -> None:
        self.in_flight: list[int] = []
        self.arrived: list[int] = []
        self.journal, found = plant.restored(self.folder, output=self.bounds)
        entries = self.journal.outbox.pending(1000)
        self.model.check(found, entries)
        self.numbers = {entry.number: waiting for entry, waiting in zip(entries, self.model.waiting, strict=True)}

    @rule(asset=ASSETS, place=st.none() | PLACES, state=st.none() | st.binary(max_size=9), age=st.integers(0, 9))
    def know(self, asset: int, place: int | None, state: bytes | None, age: int) -> None:
        known = self.changes.assets.get(asset) or self.model.assets.get(asset)
        if known and known.open_place is not None:
            place = max(place or 0, known.open_place)  # what is closed stays closed
        self.changes.assets[asset] = plant.record(asset, open_place=place, state=state, age=age)

    @rule(asset=ASSETS, place=PLACES, value=st.floats(-9, 9), sequence=st.none() | st.integers(0, 9))
    def accept(self, asset: int, place: int, value: float, sequence: int | None) -> None:
        self.changes.samples.append(Sample(asset, 0, place * plant.INTERVAL_US + 5, value, sequence))
        self.make_known(asset)

    @rule(asset=ASSETS, place=PLACES, value=st.floats(-9, 9, width=32))
    def keep(self, asset: int, place: int, value: float) -> None:
        last = max(
            (row.place for row in [*self.model.rows.values(), *self.changes.rows] if row.asset == asset), default=0
        )
        self.changes.rows.append(plant.row(asset, max(place, last), value))  # places close in order
        self.make_known(asset)

    @rule(asset=ASSETS, end=st.integers(0, 5), payload=st.binary(max_size=12))
    def forecast(self, asset: int, end: int, payload: bytes) -> None:
        self.changes.forecasts.append(plant.forecast(f"pump-{asset}", end, payload))

    @rule(limit=st.integers(1, 3))
    def publish(self, limit: int) -> None:
        for entry in self.journal.outbox.pending(limit):
            self.journal.outbox.sent(entry.number)
            self.in_flight.append(entry.number)

    @rule(which=st.integers(0, 5))
    def arrive(self, which: int) -> None:
        waiting = [number for number in self.in_flight if number not in self.arrived]
        if waiting:
            self.arrived.append(waiting[which % len(waiting)])
            self.changes.delivered.append(self.arrived[-1])

    @rule()
    def lose_link(self) -> None:
        self.journal.outbox.link_lost()
        self.in_flight = []

    @rule(
        fails=st.integers(0, 2),
        at=st.sampled_from(["BEGIN", "INSERT", "DELETE", "SELECT", "COMMIT"]),
        ghost=st.booleans(),
    )
    def commit(self, fails: int, at: str, ghost: bool) -> None:
        """The first tries fail, where they are told to; of those some were durable all the same."""
        for _ in range(fails if self.changes else 0):
            with Failing(at, after=ghost and at == "COMMIT"):
                self.journal._file._give_up()  # so that the next connection is one that fails
                try:
                    self.journal.commit(self.changes)
                except JournalWriteError:
                    assert self.journal.failing
                    assert self.journal.outbox.pending(9) == []
                else:
                    break  # it had nothing to do of the kind that fails
        else:
            self.journal.commit(self.changes)
        delivered = [self.numbers[number] for number in self.changes.delivered]
        self.model.apply(self.changes, delivered, [self.numbers[number] for number in self.in_flight])
        self.in_flight = [number for number in self.in_flight if number not in self.changes.delivered]
        self.changes = Changes()
        self.recount()

    @rule(in_order=st.booleans())
    def restart(self, in_order: bool) -> None:
        """What was not committed is lost, as its messages are not acknowledged."""
        self.changes = Changes()
        if in_order:
            self.journal.close()
        else:
            copy = self.new_folder()
            shutil.copytree(self.folder, copy, dirs_exist_ok=True)  # as a kill would leave it
            self.journal.close()
            shutil.rmtree(self.folder)
            self.folder = copy
        self.open()

    @invariant()
    def outbox_is_the_models(self) -> None:
        if not hasattr(self, "model"):
            return
        outbox = self.journal.outbox
        assert outbox.depth == len(self.model.waiting)
        assert outbox.size_bytes == sum(len(waiting.payload) for waiting in self.model.waiting)
        expected = [waiting for number, waiting in self.numbers.items() if number not in self.in_flight]
        pending = outbox.pending(1000)
        assert [(entry.asset, entry.payload) for entry in pending] == [(w.asset, w.payload) for w in expected]

    def recount(self) -> None:
        """Numbers of new entries: in the order of the model's."""
        known = {id(waiting): number for number, waiting in self.numbers.items()}
        new = [entry.number for entry in self.journal.outbox.pending(1000) if entry.number not in self.numbers]
        order = iter(new)
        self.numbers = {known[id(w)] if id(w) in known else next(order): w for w in self.model.waiting}
        assert next(order, None) is None

    @staticmethod
    def new_folder() -> Path:
        return Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))

    def make_known(self, asset: int) -> None:
        if asset not in self.model.assets:
            self.changes.assets.setdefault(asset, plant.record(asset))

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            shutil.rmtree(self.folder)


class Failing:
    """Connections whose next statement of that kind fails, after it was carried out or before."""

    def __init__(self, at: str, after: bool) -> None:
        class Broken(sqlite3.Connection):
            broken = False

            def execute(self, statement: str, *values):
                return self.fail_at(statement, lambda: super(Broken, self).execute(statement, *values))

            def executemany(self, statement: str, values):
                return self.fail_at(statement, lambda: super(Broken, self).executemany(statement, values))

            def fail_at(self, statement: str, act):
                if statement.startswith(at) and not self.broken:
                    self.broken = True
                    if after:
                        act()
                    raise sqlite3.OperationalError("disk I/O error")
                return act()

        self._connection = Broken

    def __enter__(self) -> None:
        self._connect = sqlite3.connect
        sqlite3.connect = lambda *args, **kw: self._connect(*args, **kw, factory=self._connection)

    def __exit__(self, *_: object) -> None:
        sqlite3.connect = self._connect


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
