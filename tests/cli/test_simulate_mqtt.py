"""`simulate --mqtt` from the command line: what is sent, what is refused, and how it ends."""

import json
import socket
import time
from pathlib import Path
from types import ModuleType

import pytest
from command_line import Cli, one_line
from edge_broker import Mosquitto, Peer, wait_until

from toolkit.cli import play_plant
from toolkit.edge.settings import Broker
from toolkit.edge.transport import Arrivals

URL = "mqtt://127.0.0.1:1884"
SHORT = ("--mqtt", URL, "--days", "0.02", "--speed", "1000000")
BUNDLE = Path(__file__).parents[2] / "exported" / "pump-station"


class Recorder:
    """Takes everything at once, and keeps it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, object]]] = []
        self.keys: list[int] = []
        self.connected, self.closed, self.interrupt_at = True, False, -1
        self.broker = Broker()

    def poll(self, timeout_s: float) -> Arrivals:
        time.sleep(0 if self.connected else timeout_s)
        delivered, self.keys = self.keys, []
        return Arrivals([], delivered, self.connected)

    def acknowledge(self, tokens: list[int]) -> None:
        raise AssertionError("a plant is sent nothing")

    def publish(self, key: int, topic: str, payload: bytes) -> bool:
        if len(self.sent) == self.interrupt_at:
            raise KeyboardInterrupt
        self.sent.append((topic, json.loads(payload)))
        self.keys.append(key)
        return True

    def close(self, timeout_s: float) -> None:
        self.closed = True


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Stands where the transport over MQTT does."""
    made = Recorder()

    def transport(broker: Broker, subscriptions: object, status_topic: str) -> Recorder:
        assert not subscriptions
        assert not status_topic
        made.broker = broker
        return made

    module = ModuleType("toolkit.edge.mqtt")
    module.MqttTransport = transport  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "toolkit.edge.mqtt", module)
    return made


def test_rows_are_played_without_the_extra_for_tables(
    cli: Cli, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play_plant, "LINE_EVERY_S", 0.0)
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    result = cli("simulate", *SHORT, "--assets", 2)
    assert result.status == 0, result
    assert result.out == f"played 56 messages to {URL}, 56 acknowledged\n"
    assert "playing 2 assets, rows to plant/ASSET, from 2026-01-05T00:00:00Z" in result.err
    assert {topic for topic, _ in recorder.sent} == {"plant/pump-001", "plant/pump-002"}
    assert set(recorder.sent[0][1]) >= {"time", "temperature.mean", "vibration.peak"}
    assert recorder.closed


def test_samples_go_to_a_topic_for_each_variable(cli: Cli, recorder: Recorder) -> None:
    assert cli("simulate", *SHORT[:2], "--days", 0.0007, "--speed", 1e6, "--assets", 1, "--samples").status == 0
    assert {topic for topic, _ in recorder.sent} == {
        f"plant/pump-001/{name}" for name in ("temperature", "pressure", "vibration")
    }
    assert set(recorder.sent[0][1]) == {"time", "value"}


def test_a_bundle_says_what_is_sent(cli: Cli, recorder: Recorder) -> None:
    assert cli("simulate", *SHORT, "--assets", 1, "--bundle", BUNDLE).status == 0
    manifest = json.loads((BUNDLE / "manifest.json").read_text())
    names = [channel["name"] for channel in manifest["signal"]["channels"]]
    assert list(recorder.sent[0][1]) == ["time", *names]


def test_times_end_now_where_that_is_asked_for(cli: Cli, recorder: Recorder) -> None:
    assert cli("simulate", *SHORT, "--time", "now").status == 0
    last = time.mktime(time.strptime(str(recorder.sent[-1][1]["time"]), "%Y-%m-%dT%H:%M:%S.000Z")) - time.timezone
    assert -60 <= time.time() - (last + 60) <= 180


def test_user_password_and_authorities_reach_the_broker(
    cli: Cli, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "s3cret")
    options = ("--mqtt", "mqtts://broker", *SHORT[2:], "--assets", 1, "--user", "plant", "--cafile", "ca.pem")
    result = cli("simulate", *options)
    assert result.status == 0
    assert "s3cret" not in result.out + result.err
    broker = recorder.broker
    assert (broker.host, broker.port, broker.username, broker.password) == ("broker", 8883, "plant", "s3cret")
    assert broker.tls is not None
    assert broker.tls.ca_file == "ca.pem"
    assert broker.client_id.startswith("lstm-edge-plant-")


def test_ctrl_c_closes_the_link_and_says_how_to_go_on(cli: Cli, recorder: Recorder) -> None:
    recorder.interrupt_at = 5
    result = cli("simulate", *SHORT, "--assets", 1)
    assert result.status == 130
    assert result.err.splitlines()[-1].startswith("stopped at ")
    assert "stopped at 2026-01-05T00:05:00Z; --start 2026-01-05T00:06:00Z goes on from there" in result.err
    assert recorder.closed


def test_no_broker_is_one_line(cli: Cli, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_plant, "CONNECT_S", 0.05)
    recorder.connected = False
    assert f"no broker took the plant at {URL}" in one_line(cli("simulate", *SHORT))
    assert recorder.closed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "got neither; allowed: one of them"),
        (("a.csv", "--mqtt", URL), "got both"),
        (("a.csv", "--speed", "2"), "--speed is of no use without --mqtt"),
        (("a.csv", "--samples"), "--rows/--samples is of no use without --mqtt"),
        (("--mqtt", URL, "--overwrite"), "--overwrite is of no use with --mqtt"),
        (("--mqtt", URL, "--speed", "0"), "speed is out of range; got 0"),
        (("--mqtt", URL, "--speed", "nan"), "speed is out of range"),
        (("--mqtt", URL, "--days", "nan", "--time", "now"), "days is out of range"),
        (("--mqtt", URL, "--days", "0"), "days is out of range"),
        (("--mqtt", URL, "--days", "0.0003", "--speed", "1e6"), "hold no interval of 60 s"),
        (("--mqtt", URL, "--interval", "7"), "must divide a day"),
        (("--mqtt", URL, "--assets", "0"), "assets; got 0"),
        (("--mqtt", URL, "--start", "2026-01-05", "--time", "now"), "exclude each other"),
        (("--mqtt", URL, "--start", "yesterday"), "--start is no time"),
        (("--mqtt", "127.0.0.1"), "the broker's URL; got '127.0.0.1'"),
        (("--mqtt", "mqtt://me:pw@h"), "the broker's URL holds a user"),
        (("--mqtt", URL, "--bundle", str(BUNDLE), "--interval", "60"), "--interval is the bundle's to say"),
        (("--mqtt", URL, "--bundle", str(BUNDLE), "--samples"), "--rows/--samples is the bundle's to say"),
        (("--mqtt", URL, "--bundle", "nowhere"), "there is no bundle nowhere"),
    ],
)
def test_a_wrong_request_is_one_line(cli: Cli, recorder: Recorder, options: tuple[str, ...], words: str) -> None:
    result = cli("simulate", *options)
    assert words in one_line(result)
    assert not recorder.sent


def test_a_plant_is_played_to_a_real_broker(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "pw")
    user = ("plant", "pw")
    with Mosquitto(tmp_path / "broker", users=dict([user])) as broker, Peer(broker.port, "plant/#", user=user) as peer:
        url = f"mqtt://127.0.0.1:{broker.port}"
        result = cli("simulate", "--mqtt", url, *SHORT[2:], "--assets", 1, "--user", "plant")
        assert result.status == 0, result
        assert "28 acknowledged" in result.out
        wait_until(lambda: len(peer.heard) == 28)


def test_a_port_where_nobody_listens_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_plant, "CONNECT_S", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{free.getsockname()[1]}"
        assert "no broker took the plant" in one_line(cli("simulate", "--mqtt", url, *SHORT[2:]))
