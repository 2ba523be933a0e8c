"""What is committed is there when the journal is opened again, and nothing else."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import edge_journal as plant
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.contract.signals import Channel, SignalSpec
from toolkit.edge import journal as journal_module
from toolkit.edge.changes import AssetRecord, Changes, Row, Sample
from toolkit.edge.journal import Journal, signal_key
from toolkit.edge.journal_file import JournalDamagedError
from toolkit.edge.journal_records import (
    pack_record,
    pack_row,
    pack_samples,
    row_key,
    unpack_record,
    unpack_row,
    unpack_samples,
)
from toolkit.edge.settings import SignalSettings
from toolkit.edge.timing import timing_of
from toolkit.errors import OutputError

INT64 = st.integers(-(2**63) + 1, 2**63 - 1)


@given(
    st.lists(
        st.builds(
            Sample,
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**16 - 1),
            INT64,
            st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.integers(0, 2**63 - 1),
        ),
        min_size=1,
    )
)
def test_samples_come_back_as_they_went(samples: list[Sample]) -> None:
    assert unpack_samples(pack_samples(samples)) == samples


@given(
    st.builds(
        AssetRecord,
        number=st.integers(0, 2**32 - 1),
        name=st.text(max_size=32),
        origin_us=INT64,
        open_place=st.none() | INT64,
        newest_us=st.lists(st.none() | INT64, max_size=4),
        sequences=st.lists(st.none() | INT64, max_size=4),
        series=INT64,
        last_place=st.none() | INT64,
        held=st.lists(st.integers(0, 2**31), max_size=4),
        suspect_us=st.none() | INT64,
        state=st.none() | st.binary(max_size=64),
        state_bundle=st.text(max_size=8),
        age=INT64,
    )
)
def test_a_record_comes_back_as_it_went(record: AssetRecord) -> None:
    assert unpack_record(record.number, pack_record(record)) == record


@given(
    st.builds(Row, st.integers(0, 2**32 - 1), INT64, st.binary(max_size=64), st.integers(0, 2**32 - 1), INT64),
    st.integers(1, 10_000),
)
def test_a_row_comes_back_as_it_went(row: Row, kept_rows: int) -> None:
    assert unpack_row(row_key(row.asset, row.place, kept_rows), pack_row(row)) == row


def test_every_field_of_a_record_is_kept() -> None:
    """A field that is added to the record and not to its bytes shows here."""
    full = AssetRecord(7, "p", 1, 2, [3], [4], 5, 6, [7], 8, b"9", "10", 11)
    assert len(dataclasses.fields(AssetRecord)) == 13
    assert unpack_record(7, pack_record(full)) == full


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    journal, found = plant.restored(tmp_path)
    assert not found.assets
    for step in range(40):
        plant.commit_step(journal, step)
        if step % 9 == 0:
            journal.close()
            journal, found = plant.restored(tmp_path)
            plant.check_steps(found, journal, step + 1)
    journal.close()


def test_a_sample_is_gone_once_its_interval_is_closed(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    early, late = Sample(0, 0, 500_000, 1.0, None), Sample(0, 0, 1_500_000, 2.0, 9)
    journal.commit(Changes(samples=[early, late], assets={0: plant.record()}))
    journal.commit(Changes(assets={0: plant.record(open_place=1)}))
    journal.close()
    journal, found = plant.restored(tmp_path)
    assert found.samples == {0: [late]}
    journal.close()


def test_a_sample_of_an_interval_that_closes_in_the_same_commit_is_not_written(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    journal.commit(Changes(samples=[Sample(0, 0, 500_000, 1.0, None)], assets={0: plant.record(open_place=1)}))
    assert count(journal, "samples") == 0
    journal.close()


def test_batches_that_are_done_with_are_removed_from_the_file(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    most = 0
    for place in range(3 * journal_module.BATCHES_REMOVED_TOGETHER):
        sample = Sample(0, 0, place * plant.INTERVAL_US, 1.0, None)
        journal.commit(Changes(samples=[sample], assets={0: plant.record(open_place=place)}))
        most = max(most, count(journal, "samples"))
    assert most <= journal_module.BATCHES_REMOVED_TOGETHER + 2
    journal.close()


def test_batches_that_were_done_with_before_a_restart_are_removed_after_it(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    for place in range(10):
        sample = Sample(0, 0, place * plant.INTERVAL_US, 1.0, None)
        journal.commit(Changes(samples=[sample], assets={0: plant.record(open_place=place)}))
    journal.close()
    journal, _ = plant.restored(tmp_path)
    for place in range(10, 10 + journal_module.BATCHES_REMOVED_TOGETHER):
        sample = Sample(0, 0, place * plant.INTERVAL_US, 1.0, None)
        journal.commit(Changes(samples=[sample], assets={0: plant.record(open_place=place)}))
    assert count(journal, "samples") < 15
    journal.close()


def test_rows_of_the_last_places_are_kept_whatever_was_left_out(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    journal.commit(Changes(assets={0: plant.record()}, rows=[plant.row(0, place) for place in (1, 2, 3, 4, 5, 7)]))
    journal.close()
    journal, found = plant.restored(tmp_path)
    assert [row.place for row in found.rows[0]] == [4, 5, 7]
    journal.close()


@pytest.mark.parametrize("kept", [2, 3, 9])
def test_rows_outlive_a_bundle_that_keeps_another_number_of_them(tmp_path: Path, kept: int) -> None:
    journal, _ = plant.restored(tmp_path)
    journal.commit(Changes(assets={0: plant.record()}, rows=[plant.row(0, place, place) for place in range(6)]))
    journal.close()
    for kept_rows in (kept, plant.KEPT_ROWS):
        journal, found = plant.restored(tmp_path, kept_rows=kept_rows, digest="b" * 64)
        assert found.other_bundle == (kept_rows == kept)
        journal.close()
    journal, found = plant.restored(tmp_path, kept_rows=kept, digest="b" * 64)
    assert [row.place for row in found.rows[0]] == list(range(6 - min(kept, plant.KEPT_ROWS), 6))
    journal.close()


def test_under_a_signal_of_another_meaning_only_names_and_forecasts_are_left(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    for step in range(8):
        plant.commit_step(journal, step)
    waiting = journal.outbox.pending(100)
    names = {number: record.name for number, record in plant.model_after(8).assets.items()}
    journal.close()
    other = SignalSpec((Channel("speed", "speed", "value", "1/s"),), ("speed",), 1.0)
    for again in (False, True):
        journal, found = plant.restored(tmp_path, signal=other)
        assert found.other_signal != again
        assert found.assets == {number: AssetRecord(number, name) for number, name in names.items()}
        assert not found.samples
        assert not found.rows
        assert [entry[:3] for entry in journal.outbox.pending(100)] == [entry[:3] for entry in waiting]
        journal.close()


def test_the_meaning_of_a_signal_is_its_channels_and_its_times() -> None:
    def key(channel: Channel = plant.SIGNAL.channels[0], **other) -> str:
        channels = (channel, plant.SIGNAL.channels[1])
        return signal_key(dataclasses.replace(plant.SIGNAL, channels=channels, targets=("power",), **other))

    same = key()
    assert same == signal_key(plant.SIGNAL) == key(timezone="Europe/Berlin")
    changed = [
        key(interval_s=2.0),
        key(Channel("flow", "flow", "value", "L/s")),
        key(Channel("f", "f", "value", "m3/h")),
    ]
    assert same not in changed


def test_a_second_gateway_is_refused_in_one_line(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    with pytest.raises(OutputError, match="in use; got another gateway"):
        plant.opened(tmp_path)
    plant.commit_step(journal, 0)
    journal.close()
    plant.opened(tmp_path).close()


def test_a_second_gateway_of_another_process_is_refused_too(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    code = (
        "import sys, pathlib, edge_journal\n"
        "from toolkit.errors import OutputError\n"
        "try:\n    edge_journal.opened(pathlib.Path(sys.argv[1]))\n"
        "except OutputError as error:\n    sys.exit(f'refused: {error}')\n"
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(plant.__file__).parent), *sys.path])}
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=place, check=False
    )
    assert ended.stderr.startswith("refused: ")
    assert ended.stderr.count("\n") == 1
    journal.close()


def test_what_would_lose_an_interval_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    journal = plant.opened(tmp_path)
    with pytest.raises(RuntimeError, match="restored before"):
        journal.commit(Changes(assets={0: plant.record()}))
    journal.restore()
    with pytest.raises(ValueError, match="asset 3, of which"):
        journal.commit(Changes(samples=[Sample(3, 0, 0, 1.0, None)]))
    with pytest.raises(ValueError, match="asset 4, of which"):
        journal.commit(Changes(rows=[plant.row(4, 0)]))
    with pytest.raises(ValueError, match="closed by time alone"):
        journal.commit(Changes(assets={0: plant.record(open_place=4)}, closed_by_timeout=[(0, 5)]))
    journal.commit(Changes(assets={0: plant.record(open_place=5)}, closed_by_timeout=[(0, 5)]))
    journal.close()


def test_a_mistake_in_the_changes_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    plant.commit_step(journal, 0)
    wrong = plant.changes_of(1)
    wrong.forecasts.append(plant.forecast(end=2**63))  # no 64-bit integer: refused by SQLite itself
    with pytest.raises(OverflowError):
        journal.commit(wrong)
    assert journal.failing
    changes = plant.changes_of(1)
    journal.commit(changes)
    assert not journal.failing
    journal.close()
    journal, found = plant.restored(tmp_path)
    assert plant.steps_in(found) == 2
    journal.close()


def test_a_new_journal_and_a_closed_one_are_clean_and_a_killed_one_is_not(tmp_path: Path) -> None:
    journal, found = plant.restored(tmp_path / "a")
    assert (found.clean, found.checked, found.cut_frames) == (True, True, 0)
    plant.commit_step(journal, 0)
    subprocess.run(["cp", "-r", tmp_path / "a", tmp_path / "b"], check=True)  # as a kill leaves it
    journal.close()
    for name, clean in (("a", True), ("b", False)):
        journal, found = plant.restored(tmp_path / name)
        assert (found.clean, found.checked, found.cut_frames) == (clean, True, 0)
        plant.check_steps(found, journal, 1)
        journal.close()


def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.opened(tmp_path).close()

    class Impatient:
        def __init__(self, limit_s: float, interrupt) -> None:
            self.start = interrupt
            self.cancel = self.join = lambda: None

    class Interrupted(sqlite3.Connection):
        def execute(self, statement: str, *values):
            if "quick_check" in statement:
                error = sqlite3.OperationalError("interrupted")
                error.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
                raise error
            return super().execute(statement, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, factory=Interrupted))
    monkeypatch.setattr("toolkit.edge.journal_file.threading.Timer", Impatient)
    journal, found = plant.restored(tmp_path)
    assert not found.checked
    journal.close()


@pytest.mark.parametrize("sampling", ["rows", "samples"])
def test_the_rule_of_the_signal_path_says_which_samples_are_done_with(tmp_path: Path, sampling: str) -> None:
    name = "flow.mean" if sampling == "samples" else "flow"
    feature = name.removeprefix("flow").removeprefix(".") or "value"
    signal = SignalSpec((Channel(name, "flow", feature),), (name,), 1.0, sampling=sampling)
    timing = timing_of(signal, SignalSettings())
    journal, _ = plant.restored(tmp_path, signal=signal, first_us=timing.first_us)
    origin = 0 if sampling == "samples" else 123_456
    samples = [Sample(0, 0, time_us, 1.0, None) for time_us in range(0, 5_000_000, 3_457)]
    journal.commit(Changes(samples=samples, assets={0: plant.record(origin_us=origin)}))
    journal.commit(Changes(assets={0: plant.record(origin_us=origin, open_place=3)}))
    journal.close()
    journal, found = plant.restored(tmp_path, signal=signal, first_us=timing.first_us)
    assert found.samples[0] == [sample for sample in samples if timing.place_of(origin, sample.time_us) >= 3]
    journal.close()


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    plant.opened(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(JournalDamagedError, match="of another version; got version 2; allowed: 1"):
        plant.opened(tmp_path)


def test_a_foreign_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine(a)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalDamagedError, match="a file that no gateway wrote"):
        plant.opened(tmp_path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    connection.close()


def test_a_trigger_that_somebody_added_is_refused(tmp_path: Path) -> None:
    plant.opened(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.execute("CREATE TRIGGER t AFTER INSERT ON samples BEGIN DELETE FROM outbox; END")
    connection.close()
    with pytest.raises(JournalDamagedError, match="other tables"):
        plant.opened(tmp_path)


def count(journal: Journal, table: str) -> int:
    return journal._file.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
