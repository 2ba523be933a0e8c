"""More than a gateway can work off at once: long arrays after a stop, a disk or an outbox that holds up the input."""

import json

import edge_gateway
import pytest
from edge_gateway import Station, forecasts, plant
from edge_transport import FakeTransport

from toolkit.edge import gateway
from toolkit.edge.changes import Changes
from toolkit.edge.settings import FieldSettings, InputSettings, OutputSettings

WARM_UP = 60
"""Intervals up to the first forecast of the reference bundle."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return edge_gateway.samples_bundle(tmp_path_factory.mktemp("edge") / "samples")


def test_a_backlog_of_long_arrays_is_worked_off_in_turns_that_end(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "DUE_AT_ONCE", 20)
    columns = {name: FieldSettings(name) for name in edge_gateway.VARIABLES}
    rows = InputSettings("plant/{asset}", columns, time_format="microseconds")
    settings = edge_gateway.replace(edge_gateway.settings_of(bundle), inputs=(rows,))
    station = Station(bundle, tmp_path, settings=settings)
    times = [edge_gateway.START_US + 10_000_000 * place for place in range(10 * 15 + 1)]
    samples = [{"time": time_us, **edge_gateway.VARIABLES} for time_us in times]
    for first in range(0, len(samples), 15):
        station.transport.send("plant/P0", json.dumps(samples[first : first + 15]).encode())
    fed, due, waits = [], [], []

    def waited(timeout_s):
        if station.gateway._held:
            waits.append(timeout_s)
        station._wait(timeout_s)

    monkeypatch.setattr(station.transport, "_on_wait", waited)
    monkeypatch.setattr(station.gateway, "_feed", lambda: fed.append(0))
    changes = station.core.changes
    monkeypatch.setattr(station.core, "changes", lambda *args: due.append(station.core.due) or changes(*args))
    station.settle()
    assert len(forecasts(station.transport)) == len(samples) - WARM_UP
    assert max(due) < 20 + 15
    assert set(waits) == {0.0}
    assert len(fed) > len(samples)  # each interval is one call of its own, and a sign of life


def test_while_a_backlog_is_worked_off_only_so_much_waits_that_no_window_bounds(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "DUE_AT_ONCE", 1)
    monkeypatch.setattr(gateway, "HELD_UNPROTECTED", 10)
    station = Station(bundle, tmp_path, FakeTransport(per_poll=50))
    messages, held = plant(1, 40), []
    for topic, payload in messages:
        station.transport.send(topic, payload, qos=0)
    while station.transport.undelivered or station.gateway._held:
        station.turn()
        held.append(len(station.gateway._held))
    assert 10 <= max(held) < 10 + 50
    lost = station.metrics.unprotected_lost.value
    assert lost > 0
    assert station.metrics.unprotected.value + lost == len(messages)


@pytest.mark.parametrize("held_up_by", ["a full outbox", "the disk"])
def test_what_comes_unprotected_while_the_input_is_held_up_is_let_go_and_counted(
    bundle, tmp_path, monkeypatch, held_up_by
):
    settings = edge_gateway.settings_of(bundle)
    settings = edge_gateway.replace(settings, output=OutputSettings(max_messages=3, when_full="block"))
    station = Station(bundle, tmp_path, settings=settings)
    station.transport.refuse = True
    for topic, payload in plant(1, WARM_UP + (30 if held_up_by == "a full outbox" else 0)):
        station.transport.send(topic, payload)
        station.turn()
    if held_up_by == "the disk":
        monkeypatch.setattr(station.gateway, "_refused", Changes())
        monkeypatch.setattr(station.gateway, "_made_durable", lambda _changes: False)
    waiting = len(station.gateway._held)
    for topic, payload in plant(1, 50):
        station.transport.send(topic, payload, qos=0)
        station.turn()
    assert len(station.gateway._held) == waiting
    assert station.metrics.unprotected_lost.value == len(plant(1, 50))


def test_a_backlog_waits_for_a_broker_that_takes_forecasts_one_after_the_other(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "MOST_WAITING", 20)
    transport = FakeTransport(broker_receive_maximum=1, per_poll=12)
    station = Station(bundle, tmp_path, transport, edge_gateway.settings_of(bundle, silence_s=1e6))
    for topic, payload in plant(1, WARM_UP + 200):
        station.transport.send(topic, payload)
    deepest = 0
    for _ in range(300):
        station.turn()
        deepest = max(deepest, station.journal.outbox.depth)
    station.settle(4000)
    assert len(forecasts(station.transport)) == 201
    assert 15 < deepest < 40
