"""The process itself, with a real broker: from the command line to the forecast, killed, stopped and reloaded."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import edge_gateway
import pytest
from edge_broker import Mosquitto, Peer, free_port, wait_until
from edge_gateway import VARIABLES, plant

WARM_UP = 60


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return edge_gateway.samples_bundle(tmp_path_factory.mktemp("run") / "samples")


class Process:
    """`lstm-edge gateway run` in a process of its own, as a service manager starts it."""

    def __init__(self, folder, bundle, broker_port, **watch):
        self.folder, self.port = folder, free_port()
        folder.mkdir(exist_ok=True)
        inputs = "".join(
            f'[[input]]\ntopic = "plant/{{asset}}/{name}"\ntime_format = "microseconds"\n'
            f'[input.columns]\n{name} = "value"\n'
            for name in VARIABLES
        )
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'bundle = "{bundle}"\n{inputs}\n[broker]\nport = {broker_port}\nclient_id = "gateway"\n'
            f'reconnect_min_s = 0.1\nreconnect_max_s = 0.5\n[output]\nstatus_topic = "gateway/status"\n'
            f'[signal]\nsilence_s = 3600.0\n[journal]\nfolder = "state"\ncommit_interval_s = 0.2\n'
            f"[watch]\nport = {self.port}\n"
        )
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.settimeout(60)
        self.address = str(folder / "notify")
        self.manager.bind(self.address)
        self.process = None

    def start(self):
        command = [
            sys.executable,
            "-c",
            "from toolkit.cli.main import main; main()",
            "gateway",
            "run",
            str(self.config),
        ]
        environment = {**os.environ, "NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": "400000"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        return self

    def wait_for(self, word):
        """The next message of the service that holds that word."""
        while word not in (text := self.manager.recv(4096).decode()):
            pass
        return text

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def logged(self):
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture
def gateway(tmp_path, bundle):
    with Mosquitto(tmp_path / "broker") as broker:
        gateway = Process(tmp_path / "gateway", bundle, broker.port)
        gateway.broker = broker
        yield gateway
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.end(signal.SIGKILL)
        gateway.manager.close()


def test_it_is_ready_without_a_broker_and_forecasts_once_there_is_one(gateway):
    gateway.broker.stop()
    gateway.start().wait_for("READY=1")
    assert gateway.get("/v2/health/ready") == ""
    gateway.wait_for("WATCHDOG=1")
    gateway.broker.start()
    messages = plant(2, WARM_UP + 2)
    with Peer(gateway.broker.port, "forecast/#", "gateway/status") as peer:
        wait_until(lambda: b"online" in [payload for _, payload, _ in peer.heard], 30)
        for topic, payload in messages:
            peer.publish(topic, payload)
        wait_until(lambda: sum(topic.startswith("forecast/") for topic, _, _ in peer.heard) == 6, 30)
        assert 'outcome="accepted"} ' + str(len(messages)) in gateway.get("/metrics")
        assert gateway.end() == 0
        wait_until(lambda: peer.heard[-1][1] == b"offline", 30)
    assert [line["level"] for line in gateway.logged() if line["level"] not in ("info", "warning")] == []


def test_killed_and_started_again_it_loses_nothing(gateway):
    gateway.start().wait_for("READY=1")
    messages = plant(2, WARM_UP + 8)
    with Peer(gateway.broker.port, "forecast/#", "gateway/status") as peer:
        # A broker keeps nothing for a session that it has never seen.
        wait_until(lambda: b"online" in [payload for _, payload, _ in peer.heard], 30)
        third = len(messages) // 3
        for part in range(3):
            for topic, payload in messages[part * third : (part + 1) * third]:
                peer.publish(topic, payload)
            if part < 2:
                gateway.end(signal.SIGKILL)
                gateway.start().wait_for("READY=1")
        wait_until(lambda: len(edge_gateway.by_key(p for topic, p, _ in peer.heard if "forecast" in topic)) == 18, 60)
    assert any("nothing is lost" in line["message"] for line in gateway.logged())


def test_a_reload_takes_limits_and_the_log_level_alone(gateway):
    gateway.start().wait_for("READY=1")
    gateway.config.write_text(gateway.config.read_text() + 'log_level = "debug"\n[limits.pressure]\nmaximum = 1.0\n')
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for("RELOADING=1")
    gateway.wait_for("READY=1")
    with Peer(gateway.broker.port, "gateway/status") as peer:
        wait_until(lambda: b"online" in [payload for _, payload, _ in peer.heard], 30)
        for topic, payload in plant(1, 2):
            peer.publish(topic, payload)
        wait_until(lambda: 'outcome="out_of_limits"} 5' in gateway.get("/metrics"), 30)
    gateway.config.write_text("nonsense = 1\n")
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("not taken" in line["message"] for line in gateway.logged()), 30)
    assert gateway.process.poll() is None


def test_a_bundle_that_fails_its_trial_is_never_run(gateway, tmp_path, bundle):
    other = edge_gateway.samples_bundle(tmp_path / "other")
    edge_gateway.spoil_golden(other)
    gateway.config.write_text(gateway.config.read_text().replace(str(bundle), str(other)))
    gateway.start()
    assert gateway.process.wait(60) == 1
    log = (gateway.folder / "log").read_text()
    assert "Traceback" not in log
    assert "did not pass" in log


@pytest.mark.parametrize(
    ("change", "told", "status"),
    [
        (("bundle =", "bundel ="), "did you mean 'bundle'?", 2),
        (('temperature = "value"', 'temprature = "value"'), "did you mean 'temperature'?", 2),
        (("[broker]", '[broker]\npassword = "${NOT_THERE}"'), "NOT_THERE", 2),
        (('folder = "state"', 'folder = "/proc/nothing"'), "/proc/nothing", 2),
    ],
)
def test_a_wrong_configuration_is_one_line(gateway, change, told, status):
    text = gateway.config.read_text()
    assert change[0] in text
    gateway.config.write_text(text.replace(*change))
    gateway.start()
    assert gateway.process.wait(60) == status
    lines = (gateway.folder / "log").read_text().splitlines()
    assert lines[-1].startswith("Error: ")
    assert told in lines[-1]
    assert "Traceback" not in "".join(lines)


def test_a_second_gateway_on_one_journal_is_refused(gateway):
    gateway.start().wait_for("READY=1")
    first = gateway.process
    gateway.config.write_text(gateway.config.read_text().replace(f"port = {gateway.port}", "port = 0"))
    gateway.start()
    assert gateway.process.wait(60) == 2
    assert "another gateway" in (gateway.folder / "log").read_text()
    first.terminate()
    first.wait(60)
