"""The systemd unit and the mosquitto configuration that `gateway init` writes.

Nothing in the unit keeps the gateway from what it needs: onnxruntime, SQLite and TLS run behind this filter of system
calls and without memory that is both writable and executable. `ProcSubset=pid` is missing on purpose: it hides
`/proc/cpuinfo`, by which onnxruntime chooses its kernels. `sched_setaffinity` and `nice` are refused, and who
calls them goes on without.
"""

import os
import sys
import sysconfig
from pathlib import Path

import toolkit
from toolkit.edge.templates import PASSWORD
from toolkit.errors import ConfigError

UNIT = "lstm-edge-gateway.service"
STATE = "lstm-edge-gateway"
PASSWORD_FILE = "/etc/lstm-edge/mqtt-password"
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What `ProtectHome` and `PrivateTmp` take from the service's sight."""

_UNIT = """\
[Unit]
Description=Forecasts of {name} from sensor messages
After=network-online.target time-sync.target
Wants=network-online.target
# A gateway has nobody on site who could start it again: it is never given up.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} gateway run {config}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5
# The first start tries the bundle in a child process.
TimeoutStartSec=180
TimeoutStopSec=15
# Fed by the loop itself, idle turns included.
WatchdogSec=30
# Python's own output is lines of JSON for the journal.
Environment=PYTHONUNBUFFERED=1

# The journal's place, /var/lib/{state}, kept over restarts and updates.
DynamicUser=yes
StateDirectory={state}
StateDirectoryMode=0700
UMask=0077

# Where gateway.toml says ${{{password}}}. Without the file the service starts, with a password that no broker takes.
LoadCredential={password}:{password_file}
SetCredential={password}:missing

# A bundle that takes more in its trial ends its child, not the gateway.
MemoryMax=512M
OOMPolicy=continue
TasksMax=64
LimitCORE=0

ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
# No ProcSubset=pid: it hides the processor's features from onnxruntime.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
DevicePolicy=closed
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# Where the broker's address never changes, nothing else need be reached:
# IPAddressDeny=any
# IPAddressAllow=localhost 192.0.2.10

[Install]
WantedBy=multi-user.target
"""

MOSQUITTO_CONF = """\
# An example of a broker that loses nothing, for mosquitto 2.0 and later: the whole of /etc/mosquitto/mosquitto.conf.
# Written by lstm-edge gateway init.

# Certificates: the gateway trusts the authority in cafile (broker.tls.ca_file), and the name or address that the
# gateway connects to must stand in the subjectAltName of certfile.
listener 8883
cafile /etc/mosquitto/certs/ca.crt
certfile /etc/mosquitto/certs/server.crt
keyfile /etc/mosquitto/certs/server.key
tls_version tlsv1.2
# For clients that show a certificate of their own instead of a password:
#require_certificate true
#use_identity_as_username true

# mosquitto_passwd -c /etc/mosquitto/passwd gateway
allow_anonymous false
password_file /etc/mosquitto/passwd

# Without the two lines on autosave a broker that is killed loses what it has acknowledged since it last saved.
persistence true
persistence_location /var/lib/mosquitto/
autosave_interval 1
autosave_on_changes true

# What is kept for a gateway that is away: for how long, and how many messages; more are dropped.
persistent_client_expiration 14d
max_queued_messages 1000000
# Messages that may be under way to one client at a time; 20, the default, is slow.
max_inflight_messages 1000
"""


def service_unit(command: Path, config: Path, name: str) -> str:
    """The text of the unit.

    Args:
        command: the absolute path of `lstm-edge` on the gateway; see `check_command`.
        config: the absolute path of `gateway.toml`.
        name: the bundle's.

    Raises:
        ConfigError: a path that a unit cannot hold.
    """
    return _UNIT.format(
        name=_described(name),
        command=_quoted(command),
        config=_quoted(config),
        state=STATE,
        password=PASSWORD,
        password_file=PASSWORD_FILE,
    )


def running_command() -> Path:
    """The `lstm-edge` of the environment that this process runs in.

    Raises:
        ConfigError: there is none, as where the package is run from its sources.
    """
    called = Path(os.path.abspath(sys.argv[0]))
    installed = Path(sysconfig.get_path("scripts")) / "lstm-edge"
    for path in (called, installed):
        if path.name == "lstm-edge" and os.access(path, os.X_OK):
            return path
    raise ConfigError("the lstm-edge that the service is to run is not found", fix="name it with --command")


def check_command(command: Path, *, running: bool) -> None:
    """Refuses a program that the service could not see.

    Args:
        command: the absolute path of `lstm-edge`.
        running: whether it is this process's own, so that its Python and its packages are known too.

    Raises:
        ConfigError: a relative path, or one under a folder that the unit hides.
    """
    places = {"the command": command}
    if running:
        places |= {"its Python": Path(sys.base_prefix), "the toolkit": Path(toolkit.__file__).parent}
    for what, place in places.items():
        if not place.is_absolute():
            raise ConfigError(f"{what} of the service", got=place, allowed="an absolute path")
        hidden = hidden_by_unit(place)
        if hidden is not None:
            raise ConfigError(
                f"{what} of the service lies where ProtectHome or PrivateTmp hides it",
                got=place,
                allowed=f"a place outside {', '.join(HIDDEN)}",
                fix="name the installed one, e.g. --command /opt/lstm-edge/bin/lstm-edge, or add --no-service",
            )


def hidden_by_unit(path: Path) -> str | None:
    """The folder that hides a path from the service, links followed; None where it sees it."""
    whole = [Path(os.path.abspath(path)), Path(os.path.realpath(path))]
    return next((folder for folder in HIDDEN for each in whole if each.is_relative_to(folder)), None)


def _quoted(path: Path) -> str:
    """One word of ExecStart=: systemd splits at blanks and expands % and $; see systemd.service(5).

    Raises:
        ConfigError: a mark that systemd takes in no path of a program, however it is quoted.
    """
    text = str(path)
    if not text.isprintable() or any(mark in text for mark in "\"'\\$"):
        raise ConfigError("a path in the unit", got=repr(text), allowed="printable characters, no quotes, \\ or $")
    text = text.replace("%", "%%")
    return text if all(mark.isalnum() or mark in "/._-+@:,=%~" for mark in text) else f'"{text}"'


def _described(name: str) -> str:
    """A name from a manifest must not begin another line, nor be expanded."""
    return "".join(mark if mark.isprintable() else "?" for mark in name).replace("%", "%%").replace("\\", "/")[:80]
