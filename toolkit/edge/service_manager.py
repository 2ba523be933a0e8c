"""What systemd wants to hear of a service of `Type=notify`, and what it gives one: sd_notify(3), systemd.exec(5).

Without systemd everything here does nothing. The messages are a few lines of text in one datagram; a manager that does
not take them must not hold up the loop, so that no message waits longer than a moment.
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

NOTIFY_SOCKET = "NOTIFY_SOCKET"
_PATIENCE_S = 0.5
_LONGEST_STATUS = 500


class ServiceManager:
    """The service manager that started this process, if one did.

    Args:
        environment: where its socket stands.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.get(NOTIFY_SOCKET, ""))
        self.watchdog_interval_s = _watchdog_interval_s(environment) if self._address is not None else None
        """How often `watchdog` is to be called: twice in the time after which the service would be restarted. None
        where nobody waits for it."""

    def ready(self, status: str = "") -> bool:
        """The bundle is checked and the state loaded; also said at the end of a reload."""
        return self._notify(["READY=1", *_status_lines(status)], _PATIENCE_S)

    def reloading(self) -> bool:
        """SIGHUP is being obeyed; `ready` ends it."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._notify(["RELOADING=1", f"MONOTONIC_USEC={microseconds}"], _PATIENCE_S)

    def stopping(self) -> bool:
        """SIGTERM is being obeyed."""
        return self._notify(["STOPPING=1"], _PATIENCE_S)

    def watchdog(self) -> bool:
        """The loop turns."""
        return self._notify(["WATCHDOG=1"], 0.0)

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._notify(_status_lines(text), 0.0)

    def _notify(self, lines: list[str], patience_s: float) -> bool:
        """Sends them; whether they were taken. A failure is no error: the next message comes soon."""
        if self._address is None or not lines:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(patience_s)
                sender.connect(self._address)
                sender.send("\n".join(lines).encode("utf-8", "replace"))
        except OSError:
            return False
        return True


def credentials_folder(environment: Mapping[str, str] | None = None) -> Path | None:
    """Where systemd has put what `LoadCredential=` names; None where there is none."""
    environment = os.environ if environment is None else environment
    named = environment.get("CREDENTIALS_DIRECTORY", "")
    return Path(named) if named else None


def state_folder(environment: Mapping[str, str] | None = None) -> Path | None:
    """The first folder of `StateDirectory=`; None where there is none."""
    environment = os.environ if environment is None else environment
    named = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(named) if named else None


def _address(named: str) -> str | None:
    """A path, or after @ a name in the abstract namespace; other kinds of sockets are not spoken to."""
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else None


def _watchdog_interval_s(environment: Mapping[str, str]) -> float | None:
    process, microseconds = environment.get("WATCHDOG_PID", ""), environment.get("WATCHDOG_USEC", "")
    if process and process != str(os.getpid()):
        return None
    if not (microseconds.isascii() and microseconds.isdigit()) or int(microseconds) == 0:
        return None
    return int(microseconds) / 2e6


def _status_lines(text: str) -> list[str]:
    """A line break would begin another assignment."""
    line = "".join(mark if mark.isprintable() else " " for mark in text)[:_LONGEST_STATUS]
    return [f"STATUS={line}"] if line else []
