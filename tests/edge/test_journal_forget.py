"""Assets are taken out of a journal whole, at once, and as if they had never been heard of."""

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import edge_gateway
import edge_journal as plant
import pytest
from edge_gateway import START_US, Station, forecasts
from edge_transport import FakeTransport
from forked_processes import forked

from toolkit.edge.changes import Changes, Sample
from toolkit.edge.journal_assets import KnownAsset, StoppedJournal
from toolkit.edge.journal_file import JournalDamagedError
from toolkit.edge.readings import Reason
from toolkit.errors import OutputError, RequestError

WARM_UP = 60
"""Intervals up to the first forecast of the reference bundle."""
STEPS = 30
YEAR_US = 31_536_000_000_000


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    yield from plant.quick_folder(tmp_path)


@pytest.fixture
def folder(quick: Path) -> Path:
    """A journal of five assets that was closed in order."""
    journal, _ = plant.restored(quick / "journal")
    for step in range(STEPS):
        plant.commit_step(journal, step)
    journal.close()
    return quick / "journal"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edge_gateway.samples_bundle(tmp_path_factory.mktemp("edge") / "samples")


def forget(folder: Path, *names: str) -> tuple[KnownAsset, ...]:
    with StoppedJournal(folder) as journal:
        journal.forget(names)
        return journal.assets()


def without(model: plant.Model, *numbers: int) -> plant.Model:
    """What is left of a model's journal."""
    model.assets = {number: record for number, record in model.assets.items() if number not in numbers}
    model.samples = [sample for sample in model.samples if sample.asset not in numbers]
    model.rows = {key: row for key, row in model.rows.items() if row.asset not in numbers}
    return model


def check(folder: Path, model: plant.Model) -> None:
    journal, found = plant.restored(folder)
    model.check(found, journal.outbox.pending(1 << 30))
    journal.close()


@pytest.mark.parametrize("numbers", [(0,), (4,), (1, 3), (0, 1, 2, 3, 4)])
def test_what_was_forgotten_is_gone_and_all_else_is_as_it_was(folder: Path, numbers: tuple[int, ...]) -> None:
    before = plant.model_after(STEPS)
    assert {sample.asset for sample in before.samples} == {0, 1, 2, 3}, "the plant leaves readings open"
    left = forget(folder, *(f"pump-{number}" for number in numbers))
    assert {asset.name for asset in left} == {f"pump-{number}" for number in {0, 1, 2, 3, 4} - {*numbers}}
    assert any(waiting.asset == f"pump-{numbers[0]}" for waiting in before.waiting), "forecasts of theirs stay"
    check(folder, without(before, *numbers))


def test_the_journal_goes_on_where_it_was(folder: Path) -> None:
    forget(folder, "pump-2")
    model = without(plant.model_after(STEPS), 2)
    journal, _ = plant.restored(folder)
    for step in range(STEPS, STEPS + 9):
        gone = model.waiting[: plant.delivered_by(step)]
        model.apply(plant.commit_step(journal, step), gone, [])
    journal.close()
    check(folder, model)


def test_a_number_that_has_become_free_brings_nothing_of_its_first_asset(folder: Path) -> None:
    forget(folder, "pump-3", "pump-4")
    journal, found = plant.restored(folder)
    new = plant.AssetRecord(max(found.assets) + 1, "another")
    assert new.number == 3
    journal.commit(Changes(assets={3: new}))
    journal.close()
    journal, found = plant.restored(folder)
    assert found.assets[3] == new
    assert 3 not in found.samples
    assert 3 not in found.rows
    journal.close()


def test_an_asset_that_is_not_there_is_one_line_and_changes_nothing(folder: Path) -> None:
    with StoppedJournal(folder) as journal, pytest.raises(RequestError) as refused:
        journal.forget(["pump-1", "Pump-33", "boiler"])
    assert str(refused.value) == (
        "the journal has no asset 'Pump-33', 'boiler'; nothing was forgotten; fix: did you mean 'pump-3'?"
    )
    check(folder, plant.model_after(STEPS))
    with StoppedJournal(folder) as journal, pytest.raises(RequestError, match="--list shows those"):
        journal.forget(["x"])


def test_killed_at_any_statement_nothing_is_forgotten(folder: Path, quick: Path) -> None:
    statement, ended = 0, -1
    while ended:
        copy = Path(shutil.copytree(folder, quick / "copy"))
        ended = os.waitpid(forked(partial(killed_at, copy, statement)), 0)[1]
        assert ended in (0, signal.SIGKILL)
        check(copy, plant.model_after(STEPS) if ended else without(plant.model_after(STEPS), 0, 3))
        shutil.rmtree(copy)
        statement += 1
    assert statement > 20


def killed_at(folder: Path, statement: int) -> None:
    """Forgets two assets, if that takes no more statements to the database."""
    left = [statement]

    def count(_text: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with StoppedJournal(folder) as journal:
        journal._file.connection.set_trace_callback(count)
        journal.forget(["pump-0", "pump-3"])
        journal._file.connection.set_trace_callback(None)


def test_a_disk_that_refuses_is_one_line_and_changes_nothing(folder: Path) -> None:
    with StoppedJournal(folder) as journal:
        journal._file.connection.execute("PRAGMA query_only=ON")
        with pytest.raises(OutputError, match="cannot use the journal") as refused:
            journal.forget(["pump-0"])
        assert "\n" not in str(refused.value)
    check(folder, plant.model_after(STEPS))


@pytest.mark.parametrize("name", ["asset", "samples"])
def test_a_damaged_record_is_one_line_and_changes_nothing(folder: Path, name: str) -> None:
    with sqlite3.connect(folder / "journal.sqlite") as connection:
        connection.execute(f"UPDATE {name} SET content = zeroblob(40)")
    connection.close()
    before = (folder / "journal.sqlite").read_bytes()
    with StoppedJournal(folder) as journal, pytest.raises(JournalDamagedError, match="is damaged or none"):
        journal.forget(["pump-0"])
    assert (folder / "journal.sqlite").read_bytes() == before


def test_a_journal_that_a_gateway_has_is_not_touched(folder: Path) -> None:
    journal, _ = plant.restored(folder)
    with pytest.raises(OutputError, match="is in use; got another gateway that runs there; fix: stop it"):
        StoppedJournal(folder)
    journal.close()


def test_no_journal_is_made_where_there_is_none(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RequestError, match="there is no journal in"):
            StoppedJournal(place)
    assert list(tmp_path.iterdir()) == []


# in a whole gateway


def sent(assets: int, numbers: range) -> list[tuple[str, bytes]]:
    """What a plant of two samples an interval sends between two of them."""
    messages = edge_gateway.plant(assets, numbers.stop // 2 + 1)
    first, last = (START_US + number * 5_000_000 for number in (numbers.start, numbers.stop))
    return [(topic, payload) for topic, payload in messages if first <= json.loads(payload)["time"] < last]


def stopped(station: Station) -> None:
    station.journal.close()
    station.transport.break_link()
    station.transport.restore()


def test_the_forgotten_warms_up_again_and_others_go_on_bit_for_bit(bundle: Path, tmp_path: Path) -> None:
    cut, end = 2 * WARM_UP + 9, 4 * WARM_UP + 13  # the cut lies within an interval: readings of all are open
    undisturbed = Station(bundle, tmp_path / "undisturbed")
    station = Station(bundle, tmp_path / "journal")
    for topic, payload in sent(3, range(cut)):
        undisturbed.transport.send(topic, payload)
        station.transport.send(topic, payload)
    station.settle()
    stopped(station)
    open_before = {asset.name: asset.open_readings for asset in listed(tmp_path / "journal")}
    assert open_before == {"P0": 3, "P1": 3, "P2": 3}
    forget(tmp_path / "journal", "P1")
    before = forecasts(station.transport)
    station = Station(bundle, tmp_path / "journal", station.transport)
    for topic, payload in sent(3, range(cut, end)):
        undisturbed.transport.send(topic, payload)
        station.transport.send(topic, payload)
    station.settle()
    undisturbed.settle()
    found, expected = forecasts(station.transport), forecasts(undisturbed.transport)
    assert {key: value for key, value in found.items() if key[0] != "P1"} == {
        key: value for key, value in expected.items() if key[0] != "P1"
    }
    again = sorted(end for asset, end, _ in found.keys() - before.keys() if asset == "P1")
    # The first of its sixty intervals is the one that the cut lies in.
    assert again == ["2026-01-01T00:20:40Z", "2026-01-01T00:20:50Z", "2026-01-01T00:21:00Z"]


def listed(folder: Path) -> tuple[KnownAsset, ...]:
    with StoppedJournal(folder) as journal:
        return journal.assets()


def test_a_wrong_clock_that_was_believed_is_remedied(bundle: Path, tmp_path: Path) -> None:
    station = Station(bundle, tmp_path)
    for topic, payload in sent(2, range(6)):
        station.transport.send(topic, payload)
    for time_us in (START_US + YEAR_US, START_US + YEAR_US + 1_000_000):
        station.transport.send("plant/P1/pressure", json.dumps({"time": time_us, "value": 1e5}).encode())
    station.settle()
    for topic, payload in sent(2, range(6, 12)):
        station.transport.send(topic, payload)
    station.settle()
    assert refused(station, Reason.LATE) > 0, "all that P1 sends by the right time is too late"
    stopped(station)
    assert [asset.name for asset in listed(tmp_path)] == ["P0", "P1"], "the clock far ahead stands at the end"
    forget(tmp_path, "P1")
    station = Station(bundle, tmp_path, station.transport)
    for topic, payload in sent(2, range(12, 2 * WARM_UP + 15)):
        station.transport.send(topic, payload)
    station.settle()
    assert refused(station, Reason.LATE) == 0
    assert {asset for asset, _, _ in forecasts(station.transport)} == {"P0", "P1"}


def refused(station: Station, reason: Reason) -> float:
    return float(station.metrics.readings[reason].value)


def test_assets_that_are_gone_make_room_for_others(bundle: Path, tmp_path: Path) -> None:
    settings = edge_gateway.settings_of(bundle, max_assets=2)
    station = Station(bundle, tmp_path, settings=settings)
    messages = sent(3, range(2 * WARM_UP + 7))
    for topic, payload in messages:
        station.transport.send(topic, payload)
    station.settle()
    assert {asset for asset, _, _ in forecasts(station.transport)} == {"P0", "P1"}
    stopped(station)
    forget(tmp_path, "P1")
    station = Station(bundle, tmp_path, FakeTransport(), settings)
    for topic, payload in messages:
        station.transport.send(topic, payload)
    station.settle()
    alone = Station(bundle, tmp_path / "alone")
    for topic, payload in messages:
        alone.transport.send(topic, payload)
    alone.settle()
    expected = {key: value for key, value in forecasts(alone.transport).items() if key[0] == "P1"}
    found = forecasts(station.transport)
    assert {key: value for key, value in found.items() if key[0] == "P1"} == expected, "P1 comes before P2"


@pytest.mark.parametrize("messages", [1, 40, 41, 200])
def test_what_is_listed_is_what_a_gateway_finds(bundle: Path, tmp_path: Path, messages: int) -> None:
    station = Station(bundle, tmp_path)
    taken = edge_gateway.plant(2, 20, skip=lambda asset, variable, number: (number + asset) % 3 == len(variable) % 3)
    for number, (topic, payload) in enumerate(taken[:messages]):
        station.transport.send(topic, payload)
        if number % 7 == 0:  # batches of which some readings are in closed intervals by now, and some are not
            station.settle()
    station.settle()
    newest: dict[str, int] = {}
    for topic, payload in taken[:messages]:
        name = topic.split("/")[1]
        newest[name] = max(newest.get(name, 0), json.loads(payload)["time"])
    expected = {
        name: (newest[name], intervals.record.series, intervals.open_readings)
        for name, intervals in station.core._assets.items()
    }
    stopped(station)
    assert {name: rest for name, *rest in map(fields, listed(tmp_path))} == {k: [*v] for k, v in expected.items()}


def fields(asset: KnownAsset) -> tuple[str, int | None, int, int]:
    return asset.name, asset.newest_us, asset.series, asset.open_readings


def test_an_asset_without_any_reading_comes_first_in_the_list(quick: Path) -> None:
    journal, _ = plant.restored(quick)
    sample = Sample(1, 0, 5_000_000, 1.0, None)
    journal.commit(Changes(samples=[sample], assets={0: plant.record(0), 1: plant.record(1)}))
    journal.close()
    assert listed(quick) == (KnownAsset("pump-0", None, 0, 0), KnownAsset("pump-1", 5_000_000, 0, 1))
