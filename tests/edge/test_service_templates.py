"""The unit and the broker's configuration, judged by systemd and mosquitto where they are installed."""

import contextlib
import ctypes.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.edge import service_templates
from toolkit.edge.service_templates import HIDDEN, MOSQUITTO_CONF, check_command, hidden_by_unit, service_unit
from toolkit.errors import ConfigError

# the systemd unit


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def unit_text(command: Path, config: Path = Path("/etc/lstm-edge/gateway.toml")) -> str:
    return service_unit(command, config, "50 %\nExecStart=/bin/evil")


def analysed(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [tool("systemd-analyze"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["bin", "a b", "50%n", "ü", "a;b", "a#b", "-", "@"])
def test_systemd_takes_the_unit_whatever_the_path(tmp_path: Path, name: str) -> None:
    command = tmp_path / name / "lstm-edge"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / service_templates.UNIT
    unit.write_text(unit_text(command, command.with_name("gateway.toml")), encoding="utf-8")
    result = analysed("verify", unit)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    command.unlink()
    assert analysed("verify", unit).returncode != 0


def test_the_exposure_is_at_most_1_5(tmp_path: Path) -> None:
    unit = tmp_path / service_templates.UNIT
    unit.write_text(unit_text(Path("/opt/lstm-edge/bin/lstm-edge")), encoding="utf-8")
    result = analysed("security", "--offline=true", "--no-pager", "--threshold=15", unit)
    assert result.returncode == 0, result.stdout
    exposure = re.search(r"exposure level for .*: ([0-9.]+)", result.stdout)
    assert exposure is not None
    assert float(exposure[1]) <= 1.5


def test_the_unit_says_what_a_gateway_needs() -> None:
    text = unit_text(Path("/opt/lstm-edge/bin/lstm-edge"))
    lines = text.splitlines()
    for line in (
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=30",
        "Restart=always",
        "DynamicUser=yes",
        "StateDirectory=lstm-edge-gateway",
        "LoadCredential=MQTT_PASSWORD:/etc/lstm-edge/mqtt-password",
        "MemoryMax=512M",
        "OOMPolicy=continue",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "NoNewPrivileges=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=~@privileged @resources",
        "ExecStart=/opt/lstm-edge/bin/lstm-edge gateway run /etc/lstm-edge/gateway.toml",
    ):
        assert line in lines
    assert not any(line.startswith("ProcSubset") for line in lines)
    assert [line for line in lines if line.startswith("ExecStart=/bin/evil")] == []
    assert "Description=Forecasts of 50 %%?ExecStart=/bin/evil from sensor messages" in lines


@pytest.mark.parametrize("path", ["/opt/$HOME/lstm-edge", "/opt/a\nb/lstm-edge", '/a"b', "/a'b", "/a\\b"])
def test_a_path_that_no_quoting_saves_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="a path in the unit"):
        unit_text(Path(path))
    with pytest.raises(ConfigError, match="a path in the unit"):
        unit_text(Path("/opt/lstm-edge"), Path(path))


@pytest.mark.parametrize("folder", HIDDEN)
def test_a_command_that_the_service_cannot_see_is_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match="--command /opt/lstm-edge/bin/lstm-edge"):
        check_command(Path(folder) / "me" / "venv" / "bin" / "lstm-edge", running=False)


def test_a_link_out_of_sight_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    link = Path("/dev/shm") / f"lstm-edge-{os.getpid()}"
    if not os.access(link.parent, os.W_OK):
        pytest.skip("/dev/shm cannot be written")
    link.symlink_to(tmp_path / "target")
    try:
        assert hidden_by_unit(link) == "/tmp" or not str(tmp_path).startswith("/tmp")
    finally:
        link.unlink()


def test_a_relative_command_is_refused() -> None:
    with pytest.raises(ConfigError, match="got bin/lstm-edge; allowed: an absolute path"):
        check_command(Path("bin/lstm-edge"), running=False)


def test_a_python_at_home_behind_a_command_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_command(Path("/opt/bin/lstm-edge"), running=False)
    monkeypatch.setattr(sys, "base_prefix", "/home/me/.pyenv/versions/3.11")
    check_command(Path("/opt/bin/lstm-edge"), running=False)
    with pytest.raises(ConfigError, match="its Python of the service lies where"):
        check_command(Path("/opt/bin/lstm-edge"), running=True)


FILTERED = """
import ctypes, os, subprocess, sys

allowed = sys.argv[1].split()
seccomp, libc = ctypes.CDLL(sys.argv[2]), ctypes.CDLL(None, use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p
refuse, allow = 0x00050001, 0x7FFF0000  # EPERM
context = ctypes.c_void_p(seccomp.seccomp_init(refuse))
for name in allowed:
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert seccomp.seccomp_rule_add(context, allow, number, 0) == 0
write_or_execute = libc.prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, since Linux 6.3; elsewhere the filter is tried alone
assert seccomp.seccomp_load(context) == 0

try:
    os.nice(1)
except PermissionError:
    pass
else:
    raise SystemExit("the filter filters nothing")

import resource, socket, sqlite3, ssl, threading
from pathlib import Path
import numpy as np
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.session import SessionPolicy

bundle = load_bundle(Path(sys.argv[3]))
x = np.zeros((2, bundle.manifest.window_length, len(bundle.manifest.signal.channels)), np.float32)
for policy in (None, SessionPolicy(threads=2)):
    bundle.windowed(policy).predict(x)
journal = sqlite3.connect(sys.argv[4])
for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)"):
    journal.execute(line)
journal.commit()
journal.close()
ssl.create_default_context()
socket.getaddrinfo("localhost", 1)
thread = threading.Thread(target=int)
thread.start()
thread.join()
child = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); print('tried')"
print(subprocess.run([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, check=True).stdout)
"""


def allowed_calls(unit: str) -> set[str]:
    """The system calls that the unit's filter lets through."""

    def group(name: str) -> set[str]:
        lines = [line.strip() for line in analysed("syscall-filter", name).stdout.splitlines()[1:]]
        names = [line for line in lines if line and not line.startswith("#")]
        return set().union(*(group(entry) if entry.startswith("@") else {entry} for entry in names))

    allow, deny = re.findall(r"^SystemCallFilter=(.*)$", unit, flags=re.MULTILINE)
    assert deny.startswith("~")
    denied = set().union(*map(group, deny[1:].split()))
    return set().union(*map(group, allow.split())) - denied | group("@default")


def test_the_filter_lets_the_gateways_parts_run(root: Path, tmp_path: Path) -> None:
    library = ctypes.util.find_library("seccomp")
    if library is None:
        pytest.skip("libseccomp is not installed")
    unit = unit_text(Path("/opt/lstm-edge/bin/lstm-edge"))
    calls = " ".join(sorted(allowed_calls(unit)))
    arguments = (calls, library, str(root / "exported" / "pump-station"), str(tmp_path / "journal"))
    done = subprocess.run([sys.executable, "-c", FILTERED, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "tried"), done.stderr


# mosquitto


def free_port() -> int:
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def example_here(folder: Path, port: int) -> str:
    """The example with a port and files of this test in place of those of a real broker."""
    (folder / "passwd").touch(mode=0o600)
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    out = ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")]
    subprocess.run([tool("openssl"), "req", *kind, *out], capture_output=True, check=True)
    changes = {
        "listener 8883": f"listener {port} 127.0.0.1",
        "/etc/mosquitto/certs/ca.crt": str(folder / "server.crt"),
        "/etc/mosquitto/certs": str(folder),
        "/etc/mosquitto/passwd": str(folder / "passwd"),
        "/var/lib/mosquitto/": f"{folder}/",
    }
    text = MOSQUITTO_CONF
    for theirs, ours in changes.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    return text + ("user root\n" if os.geteuid() == 0 else "")


@contextlib.contextmanager
def mosquitto(folder: Path, text: str) -> Iterator["subprocess.Popen[bytes]"]:
    (folder / "mosquitto.conf").write_text(text, encoding="utf-8")
    command = [tool("mosquitto"), "-c", str(folder / "mosquitto.conf")]
    broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield broker
    finally:
        broker.kill()
        broker.wait()


def answers(broker: "subprocess.Popen[bytes]", port: int) -> bool:
    for _ in range(200):
        if broker.poll() is not None:
            return False
        with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port))):
            return True
        time.sleep(0.05)
    return False


def test_mosquitto_takes_the_example(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, example_here(tmp_path, port)) as broker:
        assert answers(broker, port)


def test_mosquitto_would_refuse_a_key_that_it_does_not_know(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, example_here(tmp_path, port) + "autosave_on_change true\n") as broker:
        assert not answers(broker, port)


def test_the_example_loses_nothing_and_lets_nobody_in() -> None:
    lines = MOSQUITTO_CONF.splitlines()
    for line in (
        "allow_anonymous false",
        "persistence true",
        "autosave_interval 1",
        "autosave_on_changes true",
        "persistent_client_expiration 14d",
    ):
        assert line in lines
