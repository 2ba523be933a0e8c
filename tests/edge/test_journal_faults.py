"""A disk that fails, fills up or may not be written: commits fail in one line, and go on where they stopped."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import edge_journal as plant
import pytest
from forked_processes import forked

from toolkit.edge import journal_file
from toolkit.edge.changes import Changes
from toolkit.edge.journal_file import JournalWriteError
from toolkit.errors import OutputError

STEPS = 25
TESTS = Path(plant.__file__).parent


@pytest.fixture(scope="module")
def faulty_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose disk fails when it is told to."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("the library that fails calls to the disk needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = TESTS / "edge_disk_faults.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return {**os.environ, "LD_PRELOAD": str(library), "FAULTS_NAME": "journal.sqlite", "PYTHONPATH": path}


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    yield from plant.quick_folder(tmp_path)


@pytest.mark.parametrize("kind", ["each", "random"])
def test_nothing_is_lost_or_doubled_whichever_call_to_the_disk_fails(
    faulty_disk: dict[str, str], quick: Path, kind: str
) -> None:
    command = [sys.executable, str(TESTS / "edge_disk_faults.py"), str(quick / "journal"), kind]
    ended = subprocess.run(command, env=faulty_disk, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 40, "the faults did not reach the journal"


def test_a_commit_is_on_the_disk_when_it_returns(faulty_disk: dict[str, str], quick: Path) -> None:
    command = [sys.executable, str(TESTS / "edge_disk_faults.py"), str(quick / "journal"), "synced"]
    ended = subprocess.run(command, env=faulty_disk, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "50\n"), ended.stderr


@pytest.mark.parametrize("limit", [6_000, 30_000])
def test_a_limit_on_the_files_size_stops_commits_until_it_is_lifted(quick: Path, limit: int) -> None:
    def work() -> None:
        journal, _ = plant.restored(quick)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        failed = 0
        for step in range(STEPS):
            changes = plant.changes_of(step)
            changes.delivered = [entry.number for entry in journal.outbox.pending(plant.delivered_by(step))]
            for _ in range(3):
                try:
                    journal.commit(changes)
                    break
                except JournalWriteError as error:
                    failed += 1
                    assert error.reason == "io_error"
                    assert journal.failing
                    assert journal.outbox.pending(9) == []
            else:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                journal.commit(changes)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        assert failed > 5
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        journal.close()

    assert os.waitpid(forked(work), 0)[1] == 0
    journal, found = plant.restored(quick)
    assert plant.steps_in(found) == STEPS
    plant.check_steps(found, journal, STEPS)
    journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_stops_commits_until_there_is_room(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "CHECKPOINT_PAGES", 20)
    journal, _ = plant.restored(small_disk)
    plant.commit_step(journal, 0)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        while True:
            try:
                file.write(bytes(4096))
                file.flush()
            except OSError:
                break
        os.ftruncate(file.fileno(), max(0, ballast.stat().st_size - 8192))
    step, failed = 1, None
    while failed is None:
        changes = plant.changes_of(step)
        changes.delivered = [entry.number for entry in journal.outbox.pending(plant.delivered_by(step))]
        try:
            journal.commit(changes)
            step += 1
        except JournalWriteError as error:
            failed = error
    assert failed.reason == "full"
    assert journal.failing
    ballast.unlink()
    journal.commit(changes)
    assert not journal.failing
    plant.commit_step(journal, step + 1)
    journal.close()
    journal, found = plant.restored(small_disk)
    plant.check_steps(found, journal, step + 2)
    journal.close()


def test_a_disk_that_becomes_read_only_stops_commits_until_it_may_be_written(small_disk: Path) -> None:
    folder = small_disk / "journal"
    journal, _ = plant.restored(folder)
    plant.commit_step(journal, 0)
    journal._file._give_up()  # a file system with a file open for writing is not made read-only
    os.close(journal._file._lock)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    changes = plant.changes_of(1)
    changes.delivered = []
    with pytest.raises(JournalWriteError, match="cannot be written"):
        journal.commit(changes)
    with pytest.raises(OutputError, match=r"cannot write the journal's folder .*Read-only"):
        plant.opened(folder)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    journal._file._lock = os.open(folder / "journal.lock", os.O_RDWR)
    journal.commit(changes)
    assert not journal.failing
    journal.close()
    journal, found = plant.restored(folder)
    assert plant.steps_in(found) == 2
    journal.close()


def test_a_folder_that_may_not_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as refused:
        plant.opened(tmp_path / "file" / "journal")
    assert "\n" not in str(refused.value)


def test_a_file_that_may_only_be_read_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.opened(tmp_path).close()
    connected = journal_file._connected

    def read_only(path: Path, mode: str):
        connection = connected(path, mode)
        connection.execute("PRAGMA query_only=ON")  # root may write any file: permissions would not do
        return connection

    monkeypatch.setattr(journal_file, "_connected", read_only)
    journal = plant.opened(tmp_path)
    with pytest.raises(OutputError, match=r"cannot use the journal .* got attempt to write a readonly database"):
        journal.restore()
    journal.close()


@pytest.mark.parametrize("loss", ["deleted", "replaced"])
def test_a_file_that_went_away_is_not_begun_anew(tmp_path: Path, loss: str) -> None:
    """An empty journal in its place would take commits, and have forgotten everything."""
    journal, _ = plant.restored(tmp_path / "journal")
    plant.commit_step(journal, 0)
    journal._file._give_up()
    kept = tmp_path / "kept.sqlite"
    journal.path.rename(kept)
    if loss == "replaced":
        shutil.copy(kept, journal.path)
    with pytest.raises(JournalWriteError):
        journal.commit(plant.changes_of(1))
    assert journal.path.exists() == (loss == "replaced")
    kept.rename(journal.path)
    plant.commit_step(journal, 1)
    journal.close()


def test_a_look_at_the_outbox_that_fails_is_tried_again_with_the_next_commit(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    journal.commit(Changes(forecasts=[plant.forecast()]))
    journal._file.connection.interrupt()
    journal._file.connection.set_progress_handler(lambda: 1, 1)  # every statement is broken off
    assert journal.outbox.pending(9) == []
    assert journal.failing
    journal.commit(Changes())
    assert not journal.failing
    assert len(journal.outbox.pending(9)) == 1
    journal.close()


def test_an_empty_commit_does_not_stand_for_the_one_that_failed(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    journal._file.connection.execute("PRAGMA max_page_count=8")
    changes = Changes(forecasts=[plant.forecast(payload=bytes(20_000))])
    with pytest.raises(JournalWriteError):
        journal.commit(changes)
    journal.commit(Changes())
    assert journal.failing
    journal.commit(changes)
    assert not journal.failing
    journal.close()


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    """Its folder may be another gateway's by now."""
    journal, _ = plant.restored(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(RuntimeError, match="closed"):
        plant.commit_step(journal, 0)


def test_a_failed_commit_is_told_by_its_reason(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    journal._file.connection.execute("PRAGMA max_page_count=8")
    with pytest.raises(JournalWriteError, match="disk is full; fix: free space") as failed:
        journal.commit(Changes(forecasts=[plant.forecast(payload=bytes(20_000))]))
    assert (failed.value.reason, failed.value.exit_status) == ("full", 2)
    journal.close()
