import random

import edge_gateway
import numpy as np
import pytest
from edge_gateway import Station, forecasts, plant
from edge_transport import FakeTransport

from toolkit.edge.changes import Flag
from toolkit.edge.journal_file import JournalWriteError
from toolkit.edge.readings import Reason
from toolkit.edge.settings import OutputSettings

WARM_UP = 60
"""Intervals up to the first forecast of the reference bundle."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return edge_gateway.samples_bundle(tmp_path_factory.mktemp("edge") / "samples")


@pytest.fixture(scope="module")
def undisturbed(bundle, tmp_path_factory):
    """What a gateway forecasts that nothing happens to."""
    station = Station(bundle, tmp_path_factory.mktemp("undisturbed"))
    for topic, payload in plant(3, WARM_UP + 6):
        station.transport.send(topic, payload)
    station.settle()
    return forecasts(station.transport)


def test_every_interval_after_the_warm_up_has_one_forecast(undisturbed):
    assert len(undisturbed) == 3 * 7
    assert {asset for asset, _, _ in undisturbed} == {"P0", "P1", "P2"}
    assert min(end for _, end, _ in undisturbed) == "2026-01-01T00:10:00Z"


def test_a_message_is_acknowledged_only_after_its_effect_is_durable(bundle, tmp_path, monkeypatch):
    station = Station(bundle, tmp_path)
    seen = []
    commit = station.journal.commit
    monkeypatch.setattr(
        station.journal, "commit", lambda changes: (seen.append(len(station.transport.ledger)), commit(changes))
    )
    for topic, payload in plant(1, 2):
        station.transport.send(topic, payload)
    station.settle()
    assert seen[0] == 0
    assert len(station.transport.ledger) == len(plant(1, 2))


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_happened(bundle, tmp_path, undisturbed, seed):
    chance = random.Random(seed)
    station = Station(bundle, tmp_path)
    kills = 0
    for topic, payload in plant(3, WARM_UP + 6):
        station.transport.send(topic, payload)
        if chance.random() < 0.3:
            station.turn()
        if chance.random() < 0.02:
            station.kill()
            kills += 1
            station = Station(bundle, tmp_path, station.transport)
    station.settle()
    assert kills > 10
    assert forecasts(station.transport) == undisturbed
    assert len(station.transport.ledger) == len(plant(3, WARM_UP + 6))


def test_a_link_that_breaks_loses_nothing_and_doubles_nothing(bundle, tmp_path, undisturbed):
    chance = random.Random(5)
    station = Station(bundle, tmp_path)
    for topic, payload in plant(3, WARM_UP + 6):
        station.transport.send(topic, payload)
        if chance.random() < 0.02:
            station.transport.break_link()
        if chance.random() < 0.05:
            station.transport.restore()
        if chance.random() < 0.3:
            station.turn()
    station.transport.restore()
    station.settle()
    assert forecasts(station.transport) == undisturbed


def test_a_full_disk_stops_acknowledging_and_recovers_by_itself(bundle, tmp_path, undisturbed, monkeypatch):
    station = Station(bundle, tmp_path)
    commit, chance, full = station.journal.commit, random.Random(6), False

    def refusing(changes):
        if full:
            raise JournalWriteError(station.journal.path, "full", "disk is full")
        commit(changes)

    monkeypatch.setattr(station.journal, "commit", refusing)
    for topic, payload in plant(3, WARM_UP + 6):
        station.transport.send(topic, payload)
        full = chance.random() < 0.2 if chance.random() < 0.05 else full
        before = len(station.transport.ledger)
        if chance.random() < 0.3:
            station.turn()
        assert not full or len(station.transport.ledger) == before
    full = True
    station.now_s += 10
    station.turn(3)
    assert not station.gateway._vitals.journal_working
    assert "lstm_edge_journal_failing 1" in station.metrics.exposition()
    full = False
    station.settle()
    assert station.gateway._vitals.journal_working
    assert forecasts(station.transport) == undisturbed


def test_a_backlog_closes_intervals_of_one_asset_one_after_the_other(bundle, tmp_path, undisturbed):
    station = Station(bundle, tmp_path)
    station.transport.break_link()
    for topic, payload in plant(3, WARM_UP + 6):
        station.transport.send(topic, payload)
    station.turn(3)
    station.transport.restore()
    station.settle()
    assert forecasts(station.transport) == undisturbed


def test_a_forecast_leaves_the_outbox_when_the_broker_has_acknowledged_it(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    station.transport.hold = True
    for topic, payload in plant(1, WARM_UP + 2):
        station.transport.send(topic, payload)
    station.turn(50)
    waiting = station.journal.outbox.depth
    assert waiting == len(station.transport.published) == 3
    station.transport.break_link()
    station.transport.restore()
    station.turn(2)
    assert len(station.transport.published) == 2 * waiting
    station.transport.hold = False
    station.settle()
    assert station.journal.outbox.depth == 0


def test_what_the_broker_has_is_not_sent_again_over_a_link_that_broke_before_that_was_durable(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    for topic, payload in plant(1, WARM_UP + 2):
        station.transport.send(topic, payload)
    while not station.gateway._delivered:
        station.turn()
    station.transport.break_link()
    station.transport.restore()
    station.settle()
    assert len(station.transport.published) == len(forecasts(station.transport)) == 3


def test_a_full_outbox_that_blocks_holds_up_the_input(bundle, tmp_path):
    settings = edge_gateway.settings_of(bundle)
    settings = edge_gateway.replace(settings, output=OutputSettings(max_messages=3, when_full="block"))
    station = Station(bundle, tmp_path, settings=settings)
    station.transport.refuse = True
    for topic, payload in plant(1, WARM_UP + 30):
        station.transport.send(topic, payload)
        station.turn()
    assert station.journal.outbox.blocked
    held = station.transport.unacknowledged + station.transport.undelivered
    assert held > 0
    station.transport.refuse = False
    station.settle()
    assert len(forecasts(station.transport)) == 31


def test_a_silent_asset_has_its_intervals_closed_by_time_and_that_is_journalled(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    for topic, payload in plant(1, WARM_UP)[:-3]:  # nothing of the next interval
        station.transport.send(topic, payload)
    station.settle()
    assert not forecasts(station.transport)
    station.now_s += 25.0  # two intervals and more
    station.settle()
    assert len(forecasts(station.transport)) == 1
    assert b'"quality":["timeout"]' in station.transport.published[0].payload
    station.kill()
    again = Station(bundle, tmp_path, station.transport)
    late = edge_gateway.json.dumps({"time": edge_gateway.START_US + 599_000_000, "value": 1.0}).encode()
    again.transport.send("plant/P0/vibration", late)
    again.settle()
    assert again.metrics.readings[Reason.LATE].value == 1


def test_no_asset_is_silent_while_the_link_is_down(bundle, tmp_path, undisturbed):
    station = Station(bundle, tmp_path)
    messages = plant(3, WARM_UP + 6)
    for topic, payload in messages[: len(messages) // 2]:
        station.transport.send(topic, payload)
    station.settle()
    station.transport.break_link()
    for topic, payload in messages[len(messages) // 2 :]:
        station.transport.send(topic, payload)
    for _ in range(100):
        station.now_s += 5.0
        station.turn()
    station.transport.restore()
    station.settle()
    assert forecasts(station.transport) == undisturbed


def test_bad_messages_are_counted_and_change_nothing(bundle, tmp_path, undisturbed):
    station = Station(bundle, tmp_path)
    bad = [
        b"",
        b"{",
        b"null",
        b'{"time": 1e400, "value": 1}',
        b'{"value": 1}',
        b'{"time": 1, "value": NaN}',
        b"[" * 5000,
    ]
    for number, (topic, payload) in enumerate(plant(3, WARM_UP + 6)):
        station.transport.send(topic, bad[number % len(bad)], payload, payload)
    station.settle()
    assert forecasts(station.transport) == undisturbed
    assert station.metrics.messages_refused[Reason.NOT_JSON].value > 0
    assert station.metrics.readings[Reason.DUPLICATE].value + station.metrics.readings[Reason.LATE].value > 0


def test_a_gap_begins_a_series_that_warms_up_again(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    gap = range(2 * (WARM_UP + 2), 2 * (WARM_UP + 4))
    for topic, payload in plant(1, 2 * WARM_UP + 10, skip=lambda _asset, _variable, number: number in gap):
        station.transport.send(topic, payload)
    station.settle()
    ends = sorted(end for _, end, _ in forecasts(station.transport))
    assert len(ends) == 3 + 7
    assert station.metrics.series_breaks.value == 1


def test_another_bundle_warms_its_state_up_from_the_rows_that_are_kept(bundle, tmp_path):
    station = Station(bundle, tmp_path / "journal")
    messages = plant(1, WARM_UP + 12)
    for topic, payload in messages[: 6 * (WARM_UP + 5)]:
        station.transport.send(topic, payload)
    station.settle()
    before = len(forecasts(station.transport))
    station.kill()
    other = edge_gateway.samples_bundle(tmp_path / "other")
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace('"name": "pump-station"', '"name": "pump-station-2"'))
    again = Station(other, tmp_path / "journal", station.transport)
    for topic, payload in messages[6 * (WARM_UP + 5) :]:
        again.transport.send(topic, payload)
    again.settle()
    later = [message.payload for message in again.transport.published[before:]]
    assert len(later) == 8
    assert all(b'"recalled"' in payload for payload in later)


def test_unprotected_messages_are_counted(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    for topic, payload in plant(1, 2):
        station.transport.send(topic, payload, qos=0)
    station.turn(5)
    assert station.metrics.unprotected.value == len(plant(1, 2))


def test_the_window_of_unacknowledged_messages_never_stops_the_gateway(bundle, tmp_path, undisturbed):
    transport = FakeTransport(receive_maximum=2)
    station = Station(bundle, tmp_path, transport)
    for topic, payload in plant(3, WARM_UP + 6):
        station.transport.send(topic, payload)
    station.settle(4000)
    assert forecasts(station.transport) == undisturbed


def test_no_more_assets_are_taken_than_allowed(bundle, tmp_path):
    station = Station(bundle, tmp_path, settings=edge_gateway.settings_of(bundle, max_assets=2))
    for topic, payload in plant(3, 2):
        station.transport.send(topic, payload)
    station.settle()
    assert station.metrics.readings[Reason.TOO_MANY_ASSETS].value == len(plant(1, 2))


def test_a_source_whose_clock_is_ahead_is_flagged(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    station.core._wall_us = lambda: edge_gateway.START_US
    for topic, payload in plant(1, WARM_UP + 2):
        station.transport.send(topic, payload)
    station.settle()
    assert b'"clock"' in station.transport.published[-1].payload
    assert Flag.CLOCK


def test_the_truth_of_earlier_forecasts_becomes_a_score(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    for topic, payload in plant(2, WARM_UP + 20):
        station.transport.send(topic, payload)
    station.settle()
    scores = station.core.scores()
    assert {(score.asset, score.target) for score in scores} == {
        (asset, f"{variable}.mean") for asset in ("P0", "P1") for variable in edge_gateway.VARIABLES
    }
    assert all(score.error > 0 and score.persistence_error > 0 for score in scores)


def test_an_answer_that_is_no_number_is_counted_and_spoils_no_score(bundle, tmp_path, monkeypatch):
    station = Station(bundle, tmp_path)
    step, steps = station.core._forecaster.step, []

    def overflowing(*args):
        answers = step(*args)
        steps.append(answers.ready.copy())
        if answers.ready.any() and sum(ready.any() for ready in steps) == 2:
            answers.outputs[station.core._form.answer][0] = np.inf
        return answers

    monkeypatch.setattr(station.core._forecaster, "step", overflowing)
    for topic, payload in plant(1, WARM_UP + 20):
        station.transport.send(topic, payload)
    station.settle()
    assert station.metrics.forecasts_not_finite.value == 1
    assert len(forecasts(station.transport)) == 20
    assert all(np.isfinite([score.error, score.persistence_error]).all() for score in station.core.scores())


def test_stopped_in_order_it_leaves_nothing_to_be_sent_twice(bundle, tmp_path):
    station = Station(bundle, tmp_path)
    for topic, payload in plant(2, WARM_UP + 2):
        station.transport.send(topic, payload)
    while not station.transport.published:
        station.turn()
    station.gateway.stop()
    station.journal.close()
    assert station.transport.closed
    sent = len(station.transport.published)
    again = Station(bundle, tmp_path, station.transport)
    station.transport.closed = False
    again.settle()
    keys = [(m.topic, edge_gateway.json.loads(m.payload)["interval_end"]) for m in station.transport.published]
    assert len(keys) == len(set(keys)) == 6
    assert sent > 0
