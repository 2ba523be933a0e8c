"""A command run on a terminal of its own, of 80 columns, and what it wrote there."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

COMMAND = (sys.executable, "-c", "from toolkit.cli.main import main; main()")


def on_a_terminal(arguments: Sequence[object], **changed: str) -> tuple[int, str]:
    """Runs `lstm-edge`: its status, and what came on the terminal, standard output and standard error together."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, pack("HHHH", 24, 80, 0, 0))
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(changed)) as process:
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b""))
        status = process.wait(60)
    os.close(ours)
    return status, written.decode()


def in_pipes(arguments: Sequence[object], **changed: str) -> "subprocess.CompletedProcess[str]":
    """Runs `lstm-edge` where nothing is a terminal."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(changed), timeout=60, check=False)


def environment(changed: Mapping[str, str]) -> dict[str, str]:
    """Of a usual terminal, whatever the tests themselves run in."""
    steering = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if name not in steering}
    return kept | {"TERM": "xterm-256color"} | dict(changed)


def _read(ours: int) -> bytes:
    """The next bytes; Linux says with an error that nobody holds the other end any more."""
    try:
        return os.read(ours, 65536)
    except OSError:
        return b""
