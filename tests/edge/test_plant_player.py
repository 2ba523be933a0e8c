"""The plant's messages are its table's numbers, in order, and the player loses none of them."""

import json
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.contract.signals import Channel, SignalSpec
from toolkit.edge.broker_url import broker_from_url
from toolkit.edge.plant_messages import Message, PlantSource, source_of
from toolkit.edge.plant_player import PlantPlayer
from toolkit.edge.transport import Arrivals
from toolkit.errors import BundleError, ConfigError
from toolkit.signal.plant import CHANNELS, raw_samples, simulate_plant
from toolkit.signal.pump_station import DEFAULT_START_US

HOUR = 1 / 24
NAMES = [channel.name for channel in CHANNELS]
START_BEFORE_MIDNIGHT = DEFAULT_START_US - 60 * 60_000_000


def moment(text):
    return int(np.datetime64(text.removesuffix("Z"), "us").astype(np.int64))


class Link:
    """A transport with a clock of its own, which only polling moves on; it may refuse and break."""

    def __init__(self, window=1000, breaks_at=(), connected=True, refuses_every=0):
        self.refuses_every, self.calls = refuses_every, 0
        self.now, self.window, self.breaks = 0.0, window, set(breaks_at)
        self.connected, self.closed, self.reset = connected, False, False
        self.under_way, self.arrived, self.polls = {}, [], 0

    def clock(self):
        return self.now

    def poll(self, timeout_s):
        self.polls += 1
        self.now += max(timeout_s, 1e-4)
        delivered = list(self.under_way)
        self.arrived += [(self.now, *self.under_way[key]) for key in delivered]
        self.under_way.clear()
        reset, self.reset = self.reset, False
        if reset:
            self.connected = True
        return Arrivals([], delivered, self.connected, reset=reset)

    def publish(self, key, topic, payload):
        self.calls += 1
        if not self.connected or len(self.under_way) >= self.window:
            return False
        if self.refuses_every and self.calls % self.refuses_every == 0:
            return False
        assert key not in self.under_way
        self.under_way[key] = (topic, payload)
        if len(self.arrived) + len(self.under_way) in self.breaks:
            self.breaks.discard(len(self.arrived) + len(self.under_way))
            self.under_way.clear()
            self.connected, self.reset = False, True
        return True

    def close(self, timeout_s):
        self.closed = True


def player_of(link, speed=60.0, **options):
    return PlantPlayer(link, 0, speed, clock=link.clock, **options)


def numbered(count, spacing_us=1_000_000):
    return [Message(place * spacing_us, f"plant/a{place % 3}", str(place).encode()) for place in range(count)]


@pytest.mark.parametrize("start_us", [DEFAULT_START_US, START_BEFORE_MIDNIGHT + 30_000_000 * 2])
def test_rows_are_those_of_the_table_to_the_last_bit(start_us):
    source = PlantSource(2, 3 * HOUR, start_us=start_us, seed=4)
    table = simulate_plant(2, 3 * HOUR, start_us=start_us, seed=4)
    rows = defaultdict(list)
    for message in source.messages():
        rows[message.topic].append(json.loads(message.payload))
    assert set(rows) == {f"plant/{name}" for name in table.assets}
    for asset, name in enumerate(table.assets):
        own = table.asset_index == asset
        assert [moment(row["time"]) for row in rows[f"plant/{name}"]] == table.times_us[own].tolist()
        assert [[row[key] for key in NAMES] for row in rows[f"plant/{name}"]] == table.values[own].tolist()


def test_samples_are_the_sensors_to_the_last_bit():
    sent = defaultdict(list)
    for message in PlantSource(1, HOUR / 4, sampling="samples", seed=2).messages():
        read = json.loads(message.payload)
        sent[message.topic].append((moment(read["time"]), read["value"]))
        assert message.due_us == moment(read["time"])
    for one in raw_samples(0, HOUR / 4, seed=2):
        expected = list(zip(one.times_us.tolist(), one.values.tolist(), strict=True))
        assert sent[f"plant/pump-001/{one.variable.name}"] == expected


def test_rows_with_a_sensor_that_dropped_out_are_left_out_as_in_the_table():
    days = 10
    source, table = PlantSource(1, days, seed=1), simulate_plant(1, days, seed=1)
    assert len(table.times_us) < days * 1440
    assert [moment(json.loads(m.payload)["time"]) for m in source.messages()] == table.times_us.tolist()


@pytest.mark.parametrize("sampling", ["rows", "samples"])
def test_messages_are_in_the_order_in_which_they_are_due_across_midnight(sampling):
    source = PlantSource(3, HOUR / 6, sampling=sampling, start_us=DEFAULT_START_US - 5 * 60_000_000)
    due = [message.due_us for message in source.messages()]
    assert len(due) > 20
    assert all(earlier <= later for earlier, later in pairwise(due))


def test_a_row_is_due_when_its_interval_is_over():
    first = next(PlantSource(1, HOUR, interval_s=300).messages())
    assert json.loads(first.payload)["time"] == "2026-01-05T00:00:00.000Z"
    assert first.due_us == DEFAULT_START_US + 300_000_000


def test_the_transport_is_looked_at_while_a_day_is_worked_out():
    looks = []
    next(PlantSource(3, HOUR).messages(meanwhile=lambda: looks.append(1)))
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"assets": 0}, "assets; got 0"),
        ({"assets": 10**9}, "assets; got 1000000000"),
        ({"interval_s": 7}, "must divide a day; got 7 s"),
        ({"interval_s": 0}, "must divide a day; got 0 s"),
    ],
)
def test_a_plant_out_of_range_is_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        PlantSource(**fields)


def test_days_out_of_range_are_refused_before_the_first_message():
    with pytest.raises(ConfigError, match="days is out of range"):
        PlantSource(1, float("nan")).messages()


def signal(sampling="rows", interval_s=60.0, channels=CHANNELS):
    return SignalSpec(channels, (channels[0].name,), interval_s, sampling)


def test_a_bundle_says_what_is_sent():
    features = (Channel("vibration.rms", "vibration", "rms", "mm/s"), Channel("pressure.slope", "pressure", "slope"))
    rows = source_of(signal(interval_s=30.0, channels=features), PlantSource(1, HOUR))
    assert list(json.loads(next(rows.messages()).payload)) == ["time", "vibration.rms", "pressure.slope"]
    assert rows.interval_s == 30
    samples = source_of(signal("samples", 7.5, features), PlantSource(1, HOUR / 60))
    assert {m.topic for m in samples.messages()} == {"plant/pump-001/vibration", "plant/pump-001/pressure"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (signal(channels=(Channel("OT", "OT", "value"),)), "no such channel; got 'OT'"),
        (signal(channels=(Channel("pressure.mean", "pressure", "mean", "bar"),)), "another unit; got bar"),
        (signal(interval_s=7.0), "another pace; got an interval of 7 s"),
        (signal(interval_s=60.5), "another pace; got an interval of 60.5 s"),
    ],
)
def test_a_bundle_that_the_plant_cannot_serve_is_refused(spec, words):
    with pytest.raises(BundleError, match=words):
        source_of(spec, PlantSource())


def test_each_message_is_sent_when_it_is_due():
    link = Link()
    played = player_of(link, speed=10.0).play(numbered(50))
    assert (played.sent, played.acknowledged) == (50, 50)
    times = [arrived for arrived, _, _ in link.arrived]
    assert all(0 <= arrived - place / 10 < 0.2 for place, arrived in enumerate(times))


def test_all_arrive_in_order_through_a_narrow_window():
    link = Link(window=2)
    assert player_of(link, speed=1e6).play(numbered(40)).acknowledged == 40
    assert [int(payload) for _, _, payload in link.arrived] == list(range(40))


@given(breaks=st.sets(st.integers(1, 60), max_size=5), window=st.integers(1, 40), refuses_every=st.integers(2, 9))
def test_a_link_that_breaks_loses_nothing_and_keeps_the_order(breaks, window, refuses_every):
    link = Link(window=window, breaks_at=breaks, refuses_every=refuses_every)
    played = player_of(link, speed=1e6).play(numbered(60, 1000))
    assert played.acknowledged == played.sent == 60
    assert [int(payload) for _, _, payload in link.arrived] == list(range(60))


def test_a_plant_that_was_held_up_says_how_far_it_is_behind():
    link = Link(connected=False)
    told = []
    player = player_of(link, speed=1.0, on_progress=told.append)
    assert not player.connect(2.0)
    link.connected = True
    assert player.connect(2.0)
    link.breaks = {3}
    assert player.play(numbered(10)).connected
    assert told
    assert told[-1].time_us > 0


def test_no_broker_is_told_after_the_time_that_was_given():
    link = Link(connected=False)
    assert not player_of(link).connect(3.0)
    assert 3.0 <= link.now < 3.2


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_out_of_range_is_refused(speed):
    with pytest.raises(ConfigError, match="the speed is out of range"):
        player_of(Link(), speed=speed)


def test_a_url_names_host_port_and_tls():
    plain = broker_from_url("mqtt://10.0.0.7", client_id="c")
    assert (plain.host, plain.port, plain.tls, plain.session_expiry_s) == ("10.0.0.7", 1883, None, 1)
    secure = broker_from_url("mqtts://[::1]:9000/", client_id="c", username="u", password="p", ca_file="ca.pem")
    assert (secure.host, secure.port, secure.username, secure.password) == ("::1", 9000, "u", "p")
    assert secure.tls is not None
    assert secure.tls.ca_file == "ca.pem"
    assert broker_from_url("mqtts://h", client_id="c").port == 8883


@pytest.mark.parametrize(
    "url",
    ["", "h:1883", "http://h", "mqtt://", "mqtt://h:0", "mqtt://h:99999", "mqtt://h/x", "mqtt://h?x=1", "mqtt://[h"],
)
def test_what_is_no_url_of_a_broker_is_refused(url):
    with pytest.raises(ConfigError, match="mqtt://HOST"):
        broker_from_url(url, client_id="c")


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="holds a user") as refusal:
        broker_from_url("mqtt://me:secret@h", client_id="c")
    assert "secret" not in str(refusal.value)


def test_authorities_without_tls_are_refused():
    with pytest.raises(ConfigError, match="fix: mqtts://"):
        broker_from_url("mqtt://h", client_id="c", ca_file="ca.pem")
