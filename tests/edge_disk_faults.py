"""Runs under the library of `edge_disk_faults.c`: commits steps while the disk fails, and looks at what is kept.

python edge_disk_faults.py FOLDER each      each of a commit's calls to the disk fails once, one after the other
python edge_disk_faults.py FOLDER random    one call in some fails, all the time
python edge_disk_faults.py FOLDER synced    nothing fails; what is written has been synced when a commit returns
"""

import ctypes
import errno
import shutil
import subprocess
import sys
from pathlib import Path

import edge_journal as plant

from toolkit.edge import journal_file
from toolkit.edge.changes import Changes
from toolkit.edge.journal import Journal
from toolkit.edge.journal_file import JournalWriteError

FAULTS = ctypes.CDLL(None)
NEVER = 1 << 40


def disarm() -> None:
    FAULTS.faults_arm(ctypes.c_long(-1), ctypes.c_long(-1), 0, ctypes.c_ulong(0), ctypes.c_ulong(1))


def arm(first: int, last: int, error: int = errno.EIO, one_in: int = 0, seed: int = 1) -> None:
    FAULTS.faults_arm(ctypes.c_long(first), ctypes.c_long(last), error, ctypes.c_ulong(one_in), ctypes.c_ulong(seed))


def next_changes(journal: Journal, step: int) -> Changes:
    changes = plant.changes_of(step)
    changes.delivered = [entry.number for entry in journal.outbox.pending(plant.delivered_by(step))]
    return changes


def check_copy(folder: Path, steps: set[int]) -> None:
    """What a process that dies now leaves. Another process copies: closing a file here would end SQLite's lock."""
    copy = folder.with_name("copy")
    subprocess.run(["cp", "-r", folder, copy], check=True)
    journal, found = plant.restored(copy)
    held = plant.steps_in(found)
    assert held in steps, (held, steps)
    plant.check_steps(found, journal, held)
    journal.close()
    shutil.rmtree(copy)


def synced(folder: Path) -> int:
    """Whether a commit that returned has left nothing of the log to a power cut; gives how many were looked at."""
    journal, _ = plant.restored(folder)
    written = 0
    for step in range(50):
        disarm()
        plant.commit_step(journal, step)
        written += FAULTS.faults_calls() > 1
        assert not FAULTS.faults_unsynced()
    journal.close()
    return written


def each(folder: Path) -> int:
    """Fails each call of a commit and of its checkpoint in turn, once and for good; gives how many failed commits."""
    journal, _ = plant.restored(folder)
    step = failed = ghosts = 0
    for error, every in ((errno.EIO, 1), (errno.ENOSPC, 5), (errno.EROFS, 5)):
        for first in range(0, 24, every):
            for last in (first, NEVER):
                changes = next_changes(journal, step)
                arm(first, last, error)
                try:
                    journal.commit(changes)
                except JournalWriteError as problem:
                    failed += 1
                    assert "\n" not in str(problem)
                    assert journal.failing
                    disarm()
                    check_copy(folder, {step, step + 1})
                    if first % 3 == 0:  # it may fail again
                        arm(0, NEVER, error)
                        try:
                            journal.commit(changes)
                        except JournalWriteError:
                            ghosts += 1
                        disarm()
                    if journal.failing:
                        journal.commit(changes)
                disarm()
                assert not journal.failing
                step += 1
                if first % 8 == 0:
                    check_copy(folder, {step})
    journal.close()
    check_copy(folder, {step})
    assert ghosts
    return failed


def at_random(folder: Path) -> int:
    """Fails one call in some, restarts included; gives how many failed commits."""
    failed = step = 0
    journal, _ = plant.restored(folder)
    for seed, one_in in enumerate((15, 40, 120, 15, 40, 120)):
        for _ in range(25):
            changes = next_changes(journal, step)
            arm(-1, -1, errno.EIO, one_in, seed=seed * 1000 + step)
            for tries in range(200):
                try:
                    journal.commit(changes)
                    break
                except JournalWriteError:
                    failed += 1
                    assert tries < 199
            disarm()
            step += 1
        journal.close()
        journal, found = plant.restored(folder)
        assert plant.steps_in(found) == step
        plant.check_steps(found, journal, step)
    journal.close()
    return failed


if __name__ == "__main__":
    journal_file.CHECKPOINT_PAGES = 12  # so that the calls of checkpoints are among those that fail
    print({"each": each, "random": at_random, "synced": synced}[sys.argv[2]](Path(sys.argv[1])))
