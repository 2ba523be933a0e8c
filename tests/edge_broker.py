"""A mosquitto of the tests' own, on a free port of the loopback, with TLS and passwords where they are asked for."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> str:
    """The path of a program; the test is skipped where there is none."""
    found = shutil.which(name) or shutil.which(name, path=SBIN)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {name.partition('_')[0]})")
    return found


def free_port() -> int:
    """A port of the loopback that nobody listens at, at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, the broker's certificate for localhost and 127.0.0.1, a client's, a stranger's CA."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def stranger(self) -> Path:
        return self.folder / "stranger.crt"

    @property
    def client(self) -> tuple[Path, Path]:
        return self.folder / "client.crt", self.folder / "client.key"

    @property
    def server(self) -> tuple[Path, Path]:
        return self.folder / "server.crt", self.folder / "server.key"


def make_certificates(folder: Path) -> Certificates:
    """Made by openssl, valid for two days."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ca", "stranger"):
        _openssl(folder, "req", "-x509", "-subj", f"/CN={name}", "-days", "2", *_new_key(name), "-out", f"{name}.crt")
    extensions = folder / "names.cnf"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        _openssl(folder, "req", "-subj", f"/CN={name}", *_new_key(name), "-out", f"{name}.csr")
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names.cnf")
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")
    return Certificates(folder)


def _new_key(name: str) -> tuple[str, ...]:
    return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run([program("openssl"), *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


class Mosquitto:
    """A broker that can be stopped, killed and started again on its port, its messages kept.

    Args:
        folder: for its files; made if needed.
        certificates: listens with TLS where given.
        require_certificate: of clients.
        users: names and passwords; anyone may come where there are none.
        durable: keep everything on disk at every change, as the gateway's documentation advises.
        settings: further lines of mosquitto.conf.
    """

    def __init__(
        self,
        folder: Path,
        *,
        certificates: Certificates | None = None,
        require_certificate: bool = False,
        users: dict[str, str] | None = None,
        durable: bool = True,
        settings: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        # Started by root, mosquitto would become a user that may not enter the tests' folders.
        lines = [f"listener {self.port} 127.0.0.1", "user root", "log_type none", *settings]
        lines += self._security(certificates, require_certificate, users or {})
        if durable:
            lines += ["persistence true", f"persistence_location {folder}/"]
            lines += ["autosave_interval 1", "autosave_on_changes true"]
        self._file = folder / "mosquitto.conf"
        self._file.write_text("\n".join(lines) + "\n")

    def _security(self, certificates: Certificates | None, require: bool, users: dict[str, str]) -> list[str]:
        lines = [f"allow_anonymous {'false' if users else 'true'}"]
        if users:
            passwords = self.folder / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                command = [program("mosquitto_passwd"), "-b", str(passwords), name, password]
                subprocess.run(command, check=True, capture_output=True, timeout=30)
            lines.append(f"password_file {passwords}")
        if certificates is not None:
            certificate, key = certificates.server
            lines += [f"cafile {certificates.authority}", f"certfile {certificate}", f"keyfile {key}"]
            lines.append(f"require_certificate {'true' if require else 'false'}")
        return lines

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        command = [program("mosquitto"), "-c", str(self._file)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        self.kill()
        raise AssertionError(f"mosquitto does not start; its settings: {self._file.read_text()}")

    def stop(self) -> None:
        """Ends it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once: what it has not written is lost."""
        self._end(signal.SIGKILL)

    def settle(self) -> None:
        """Waits until everything is on disk: mosquitto acknowledges a message some milliseconds before it is.

        A message that goes straight to a client that is connected counts as no change: 2.0.11 writes it with the next
        one that waits for somebody, or is retained.
        """
        kept, seen = self.folder / "mosquitto.db", [0, 1]

        def unchanged() -> bool:
            seen[:] = [seen[1], kept.stat().st_mtime_ns if kept.exists() else 0]
            time.sleep(0.15)
            return seen[0] == seen[1] != 0

        wait_until(unchanged)

    def suspend(self) -> None:
        """Its sockets stay open, and nobody reads them: to a client, a link that is cut."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=20)
            self._process = None


class Peer:
    """Another client of the broker: publishes, and notes what it hears. In clear, MQTT 5, its own thread.

    Args:
        port: of the broker.
        topics: that it listens to.
        client_id: "" for one that the broker chooses.
        user: name and password.
    """

    def __init__(self, port: int, *topics: str, client_id: str = "", user: tuple[str, str] | None = None) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        """Topic, payload, whether the broker had kept it."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.max_inflight_messages = 10_000
        if user is not None:
            self._client.username_pw_set(*user)
        self._client.on_message = self._note
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(self._client.is_connected)
        self._granted = 0
        self._client.on_subscribe = self._count
        for topic in topics:
            self._client.subscribe(topic, qos=1)
        wait_until(lambda: self._granted == len(topics))

    def _note(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload), message.retain))

    def _count(self, *_what: object) -> None:
        self._granted += 1

    def publish(self, topic: str, *payloads: bytes, qos: int = 1, retain: bool = False) -> None:
        """Publishes, and waits until the broker has them."""
        for sent in [self._client.publish(topic, payload, qos, retain) for payload in payloads]:
            sent.wait_for_publish(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def wait_until(condition: object, seconds: float = 10.0) -> None:
    """Looks again and again whether something has become true."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)
