"""Forecasts wait in order and within bounds until they are acknowledged, and never two of one key."""

from pathlib import Path

import edge_journal as plant
import pytest

from toolkit.edge.changes import Changes
from toolkit.edge.journal import Journal
from toolkit.edge.outbox import Entry
from toolkit.edge.outbox_table import DropReason
from toolkit.edge.settings import OutputSettings


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> int:
        return round(self.now_s * 1e6)


def put(journal: Journal, *ends: int, size: int = 2, asset: str = "pump-0", delivered: tuple[int, ...] = ()) -> None:
    forecasts = [plant.forecast(asset, end, bytes([end % 256]) * size) for end in ends]
    journal.commit(Changes(forecasts=forecasts, delivered=list(delivered)))


def ends(entries: list[Entry]) -> list[int]:
    return [entry.payload[0] for entry in entries]


def send(journal: Journal, limit: int = 1000) -> list[int]:
    entries = journal.outbox.pending(limit)
    for entry in entries:
        journal.outbox.sent(entry.number)
    return [entry.number for entry in entries]


def lost(journal: Journal) -> dict[str, int]:
    return {reason.value: count for reason, count in journal.outbox.dropped.items() if count}


def test_forecasts_are_pending_in_order_until_they_are_sent(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 1, 2, 3)
    assert ends(journal.outbox.pending(2)) == [1, 2] == ends(journal.outbox.pending(2))
    send(journal, 2)
    assert ends(journal.outbox.pending(2)) == [3]
    assert (journal.outbox.depth, journal.outbox.size_bytes, journal.outbox.in_flight) == (3, 6, 2)
    journal.close()


def test_a_delivered_forecast_is_gone_after_the_next_commit_and_not_before(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 1, 2)
    first, _ = send(journal)
    put(journal, delivered=(first,))
    assert (journal.outbox.depth, journal.outbox.in_flight) == (1, 1)
    journal.close()
    journal, _ = plant.restored(tmp_path)
    assert ends(journal.outbox.pending(9)) == [2]
    journal.close()


def test_what_was_under_way_when_the_link_broke_is_pending_again_in_its_place(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 1, 2, 3)
    send(journal, 2)
    assert ends(journal.outbox.pending(9)) == [3]
    journal.outbox.link_lost()
    assert ends(journal.outbox.pending(9)) == [1, 2, 3]
    journal.close()


def test_what_the_transport_gave_back_is_pending_again_in_its_place(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 1, 2, 3)
    _, second, _ = send(journal)
    assert journal.outbox.pending(9) == []
    put(journal, 4)
    assert ends(journal.outbox.pending(9)) == [4]
    journal.outbox.returned(second)
    assert ends(journal.outbox.pending(9)) == [2, 4]
    journal.close()


def test_what_was_under_way_at_a_restart_is_pending_again(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 1, 2)
    send(journal)
    journal.close()
    journal, _ = plant.restored(tmp_path)
    assert ends(journal.outbox.pending(9)) == [1, 2]
    journal.close()


def test_a_second_forecast_of_a_waiting_key_is_not_added(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 1, 2, 2)
    put(journal, 1)
    put(journal, 1, asset="pump-1")
    journal.commit(Changes(forecasts=[plant.forecast(end=2, bundle="b" * 64)]))
    assert journal.outbox.depth == 4
    assert lost(journal) == {"repeated": 2}
    journal.close()
    journal, _ = plant.restored(tmp_path)
    put(journal, 2)
    assert lost(journal) == {"repeated": 1}
    journal.close()


def test_an_interval_end_before_the_newest_is_added_where_it_is_not_there(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 5, 3)
    put(journal, 4)
    assert ends(journal.outbox.pending(9)) == [5, 3, 4]
    journal.close()


@pytest.mark.parametrize("bounds", [{"max_messages": 3}, {"max_bytes": 7}])
def test_the_oldest_give_way(tmp_path: Path, bounds: dict) -> None:
    journal, _ = plant.restored(tmp_path, output=OutputSettings(when_full="drop_oldest", **bounds))
    put(journal, 1, 2, 3)
    put(journal, 4, 5)
    assert ends(journal.outbox.pending(9)) == [3, 4, 5]
    assert lost(journal) == {"drop_oldest": 2}
    assert not journal.outbox.blocked
    journal.close()


def test_the_oldest_that_are_under_way_do_not_give_way(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path, output=OutputSettings(max_messages=3, when_full="drop_oldest"))
    put(journal, 1, 2, 3)
    numbers = send(journal, 2)
    put(journal, 4, 5)
    journal.outbox.link_lost()
    assert ends(journal.outbox.pending(9)) == [1, 2, 5]
    put(journal, delivered=tuple(numbers))
    assert ends(journal.outbox.pending(9)) == [5]
    journal.close()


@pytest.mark.parametrize("bounds", [{"max_messages": 3}, {"max_bytes": 7}])
def test_the_newest_give_way(tmp_path: Path, bounds: dict) -> None:
    journal, _ = plant.restored(tmp_path, output=OutputSettings(when_full="drop_newest", **bounds))
    put(journal, 1, 2, 3)
    put(journal, 4, 5)
    assert ends(journal.outbox.pending(9)) == [1, 2, 3]
    assert lost(journal) == {"drop_newest": 2}
    (first,) = send(journal, 1)
    put(journal, 6, delivered=(first,))
    assert ends(journal.outbox.pending(9)) == [2, 3, 6]
    journal.close()


@pytest.mark.parametrize("bounds", [{"max_messages": 2}, {"max_bytes": 4}])
def test_the_input_gives_way_and_no_forecast_does(tmp_path: Path, bounds: dict) -> None:
    journal, _ = plant.restored(tmp_path, output=OutputSettings(when_full="block", **bounds))
    put(journal, 1)
    assert not journal.outbox.blocked
    put(journal, 2, 3)
    assert journal.outbox.blocked
    assert ends(journal.outbox.pending(9)) == [1, 2, 3]
    put(journal, delivered=tuple(send(journal, 2)))
    assert not journal.outbox.blocked
    assert not lost(journal)
    journal.close()


def test_one_that_is_larger_than_the_outbox_drives_nothing_out(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path, output=OutputSettings(max_bytes=10, when_full="drop_oldest"))
    put(journal, 1, 2)
    put(journal, 3, size=11)
    assert ends(journal.outbox.pending(9)) == [1, 2]
    assert lost(journal) == {"too_large": 1}
    journal.close()


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "block"])
def test_what_is_too_old_goes_with_the_next_commit_unless_it_is_under_way(tmp_path: Path, policy: str) -> None:
    clock = Clock()
    output = OutputSettings(max_age_s=10, when_full=policy)
    journal, _ = plant.restored(tmp_path, output=output, monotonic_us=clock)
    put(journal, 1, 2)
    send(journal, 1)
    clock.now_s = 6
    put(journal, 3)
    assert journal.outbox.oldest_age_s == pytest.approx(6)
    clock.now_s = 10.5
    put(journal, 4)
    journal.outbox.link_lost()
    entries = journal.outbox.pending(9)
    assert ends(entries) == [1, 3, 4]
    assert [entry.age_s for entry in entries] == pytest.approx([10.5, 4.5, 0])
    assert lost(journal) == {"too_old": 1}
    journal.close()


def test_time_goes_on_over_a_restart_and_never_back(tmp_path: Path) -> None:
    def ages_at(wall_s: float, monotonic_s: float) -> list[float]:
        journal, _ = plant.restored(tmp_path, wall_us=Clock(wall_s), monotonic_us=Clock(monotonic_s))
        ages = [entry.age_s for entry in journal.outbox.pending(9)]
        put(journal, 1)
        journal.close()
        return ages

    assert ages_at(wall_s=1000, monotonic_s=77) == []
    assert ages_at(wall_s=1060, monotonic_s=3) == pytest.approx([60])
    assert ages_at(wall_s=0, monotonic_s=5) == pytest.approx([0])  # the clock was set back: nothing is from the future


def test_a_wall_clock_that_jumps_makes_nothing_old(tmp_path: Path) -> None:
    wall = Clock()
    journal, _ = plant.restored(tmp_path, output=OutputSettings(max_age_s=10), wall_us=wall, monotonic_us=Clock())
    put(journal, 1)
    wall.now_s = 1.8e9  # the network has told the time
    put(journal, 2)
    assert ends(journal.outbox.pending(9)) == [1, 2]
    journal.close()


def test_a_payload_that_was_damaged_is_not_published_and_counted(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    put(journal, 1, 2, 3)
    damage = "UPDATE outbox SET content = CAST(substr(content, 1, 5) || 'x' AS BLOB) WHERE number = 2"
    journal._file.connection.execute(damage)
    assert ends(journal.outbox.pending(2)) == [1, 3]
    put(journal, 4)
    assert (lost(journal), journal.outbox.depth, journal.outbox.size_bytes) == ({"damaged": 1}, 3, 6)
    assert ends(journal.outbox.pending(9)) == [1, 3, 4]
    journal.close()


def test_every_reason_is_counted_from_the_start(tmp_path: Path) -> None:
    journal, _ = plant.restored(tmp_path)
    assert journal.outbox.dropped == dict.fromkeys(DropReason, 0)
    journal.close()
