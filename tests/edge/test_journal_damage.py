"""A file that was garbled opens right, or is refused in one line and kept."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import edge_journal as plant
import pytest

from toolkit.edge.changes import Changes, Restored
from toolkit.edge.journal_file import PAGE_BYTES, JournalDamagedError
from toolkit.errors import RequestError

FLIPS = 200
STEPS = 12


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    yield from plant.quick_folder(tmp_path)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal that was closed in order."""
    folder = tmp_path_factory.mktemp("closed")
    journal, _ = plant.restored(folder)
    for step in range(STEPS):
        plant.commit_step(journal, step)
    journal.close()
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal as a kill leaves it: everything is in the log."""
    folder = tmp_path_factory.mktemp("killed")
    journal, _ = plant.restored(folder)
    for step in range(STEPS):
        plant.commit_step(journal, step)
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("copies") / "killed"))
    journal.close()
    return copy


def looked_at(folder: Path, judge: Callable[[Restored, int], None]) -> bool:
    """Whether it was refused, in one line, and is still there; otherwise what it holds is judged."""
    before = {path.name for path in folder.iterdir()} - {"journal.lock"}
    try:
        journal, found = plant.restored(folder)
    except RequestError as error:
        assert "\n" not in str(error)
        assert str(folder) in str(error)
        assert "journal.sqlite" in {path.name for path in folder.iterdir()} or "journal.sqlite" not in before
        return True
    steps = plant.steps_in(found)
    entries = journal.outbox.pending(1000)
    model = plant.model_after(steps)
    if len(entries) < len(model.waiting):  # a payload was garbled: that one is left out, and counted
        kept = {entry.payload for entry in entries}
        model.waiting = [waiting for waiting in model.waiting if waiting.payload in kept]
        journal.commit(plant.changes_of(steps))
        assert journal.outbox.dropped["damaged"] >= 1
    model.check(found, entries)
    judge(found, steps)
    journal.close()
    return False


def flipped(folder: Path, name: str, at: int, bit: int) -> None:
    content = bytearray((folder / name).read_bytes())
    content[at] ^= 1 << bit
    (folder / name).write_bytes(content)


def test_a_bit_that_flipped_in_the_file_is_found_or_of_no_matter(closed: Path, quick: Path) -> None:
    draw = random.Random(7)
    size = (closed / "journal.sqlite").stat().st_size
    refused = 0

    def judge(found: Restored, steps: int) -> None:
        assert steps == STEPS

    for flip in range(FLIPS):
        folder = Path(shutil.copytree(closed, quick / str(flip)))
        flipped(folder, "journal.sqlite", draw.randrange(size), draw.randrange(8))
        refused += looked_at(folder, judge)
    assert refused > FLIPS // 4


def test_a_bit_that_flipped_in_the_log_cuts_it_there_and_says_so(killed: Path, quick: Path) -> None:
    draw = random.Random(8)
    size = (killed / "journal.sqlite-wal").stat().st_size
    cut = 0

    def judge(found: Restored, steps: int) -> None:
        nonlocal cut
        assert steps == STEPS or found.cut_frames
        assert not found.clean
        cut += steps < STEPS

    for flip in range(FLIPS // 2):
        folder = Path(shutil.copytree(killed, quick / str(flip)))
        at = draw.randrange(32) if flip % 10 == 0 else draw.randrange(size)
        flipped(folder, "journal.sqlite-wal", at, draw.randrange(8))
        looked_at(folder, judge)
    assert cut > FLIPS // 8


def test_a_log_that_ends_anywhere_gives_the_commits_before(killed: Path, quick: Path) -> None:
    draw = random.Random(9)
    content = (killed / "journal.sqlite-wal").read_bytes()
    for cut in range(40):
        folder = Path(shutil.copytree(killed, quick / str(cut)))
        (folder / "journal.sqlite-wal").write_bytes(content[: draw.randrange(len(content))])
        assert not looked_at(folder, lambda found, steps: None)


@pytest.mark.parametrize("table", ["asset", "kept"])
def test_records_that_vanished_from_a_page_are_missed(tmp_path: Path, table: str) -> None:
    """Each record that is left has its checksum; the page tells that one is gone."""
    journal, _ = plant.restored(tmp_path)
    journal.commit(Changes(assets={n: plant.record(n) for n in range(3)}, rows=[plant.row(0, n) for n in range(3)]))
    select = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    root = journal._file.connection.execute(select, (table,)).fetchone()[0]
    journal.close()
    content = bytearray(journal.path.read_bytes())
    cells = (root - 1) * PAGE_BYTES + 4  # low byte of the number of cells: see SQLite's file format, section 1.6
    assert content[cells] == 3
    content[cells] = 2
    journal.path.write_bytes(content)
    with pytest.raises(JournalDamagedError):
        plant.opened(tmp_path)


@pytest.mark.parametrize("length", [1, 100, 1024, 3000, 5000])
def test_a_file_that_was_cut_off_is_refused(closed: Path, tmp_path: Path, length: int) -> None:
    folder = Path(shutil.copytree(closed, tmp_path / "cut"))
    path = folder / "journal.sqlite"
    path.write_bytes(path.read_bytes()[:length])
    assert looked_at(folder, lambda found, steps: None)


@pytest.mark.parametrize("content", [b"not a database", bytes(5000), b"SQLite format 3\0" + bytes(2000)])
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.sqlite").write_bytes(content)
    with pytest.raises(JournalDamagedError, match=r"fix: move .*journal.sqlite\* elsewhere"):
        plant.opened(tmp_path)
    assert (tmp_path / "journal.sqlite").read_bytes() == content


@pytest.mark.parametrize("loss", ["missing", "empty"])
def test_a_log_without_its_file_is_refused_and_kept(killed: Path, tmp_path: Path, loss: str) -> None:
    """SQLite would delete it, and with it all that was not carried over."""
    folder = Path(shutil.copytree(killed, tmp_path / "killed"))
    (folder / "journal.sqlite").unlink()
    if loss == "empty":
        (folder / "journal.sqlite").touch()
    log = (folder / "journal.sqlite-wal").read_bytes()
    with pytest.raises(JournalDamagedError, match="a log whose main file is empty or missing"):
        plant.opened(folder)
    assert (folder / "journal.sqlite-wal").read_bytes() == log


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").touch()  # what a kill before the first write leaves
    journal, found = plant.restored(tmp_path)
    assert not found.assets
    journal.close()


@pytest.mark.parametrize("table", ["asset", "kept", "samples", "about"])
def test_a_record_whose_bytes_changed_is_refused(killed: Path, tmp_path: Path, table: str) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "killed"))
    journal = plant.opened(folder)
    change = f"UPDATE {table} SET content = CAST(substr(content, 1, length(content) - 1) || x'01' AS BLOB)"
    assert journal._file.connection.execute(change).rowcount
    with pytest.raises(JournalDamagedError, match="checksum"):
        journal.restore()
    journal.close()


@pytest.mark.parametrize("change", ["created_us = created_us + 1", "asset = x'41'", "content = x''", "checksum = 1"])
def test_a_waiting_forecast_whose_head_changed_is_refused(killed: Path, tmp_path: Path, change: str) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "killed"))
    journal = plant.opened(folder)
    assert journal._file.connection.execute(f"UPDATE outbox SET {change}").rowcount
    journal.close()
    with pytest.raises(JournalDamagedError, match="waiting forecast"):
        plant.opened(folder)
