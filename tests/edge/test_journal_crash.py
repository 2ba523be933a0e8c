"""kill -9 at any moment leaves the first commits, all that returned among them, and nothing half done."""

import os
import random
import shutil
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import edge_journal as plant
import pytest
from forked_processes import forked

from toolkit.edge import journal_file

ROUNDS = int(os.environ.get("JOURNAL_KILLS", "30"))
LONGEST_S = 0.02


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    yield from plant.quick_folder(tmp_path)


@pytest.mark.parametrize("checkpoint_pages", [8, journal_file.CHECKPOINT_PAGES])
def test_a_killed_gateway_has_lost_nothing_that_it_had_committed(
    quick: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_pages: int
) -> None:
    monkeypatch.setattr(journal_file, "CHECKPOINT_PAGES", checkpoint_pages)
    draw = random.Random(checkpoint_pages)
    folder = quick / "journal"
    steps = 0
    for _ in range(ROUNDS // 2):
        ledger = killed(folder, draw.uniform(0, LONGEST_S))
        copy = quick / "copy"  # what is looked at is a copy, so that the next process recovers by itself
        if folder.exists():
            shutil.copytree(folder, copy)
        journal, found = plant.restored(copy)
        held = plant.steps_in(found)
        assert held >= max(steps, ledger)
        plant.check_steps(found, journal, held)
        journal.close()
        shutil.rmtree(copy)
        steps = held
    assert steps > 0


def killed(folder: Path, after_s: float) -> int:
    """How many steps a process had told of when it was killed that long after it had the folder."""
    reading, writing = os.pipe()

    def work() -> None:
        journal, found = plant.restored(folder)
        os.write(writing, struct.pack("<I", plant.steps_in(found)))
        for step in range(plant.steps_in(found), 1 << 30):
            plant.commit_step(journal, step)
            os.write(writing, struct.pack("<I", step + 1))

    child = forked(work)
    os.close(writing)
    at_work = random.Random(after_s).random() < 0.8  # the others may be killed while they open the journal
    told = os.read(reading, 4) if at_work else b""
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while part := os.read(reading, 1 << 16):
        told += part
    os.close(reading)
    whole = len(told) // 4
    return struct.unpack_from("<I", told, 4 * (whole - 1))[0] if whole else 0
