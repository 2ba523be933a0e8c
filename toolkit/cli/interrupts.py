"""Ctrl-C, and what a service manager sends: one KeyboardInterrupt, raised where nothing swallows it.

Packages such as torch catch whatever is raised while they are imported: an interrupt in a command's first seconds would
be lost there, or end in a traceback. It waits until the import is done; a second one does not wait.
"""

import signal
import threading
from types import FrameType

AGAIN_S = 0.05
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


def raise_interrupts() -> None:
    """Lets signals that ask for an end unwind a command, so that temporary files are removed.

    A signal that is ignored (by nohup, or by a shell for what runs behind) stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _wait_or_raise)


def _wait_or_raise(number: int, frame: FrameType | None) -> None:
    if hasattr(signal, "setitimer") and _imports(frame) and signal.getsignal(signal.SIGALRM) != _look_again:
        signal.signal(signal.SIGALRM, _look_again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
        return
    _raise()


def _look_again(number: int, frame: FrameType | None) -> None:
    if not _imports(frame):
        _raise()


def stop_waiting() -> None:
    """Forgets an interrupt that waits: the command is over, and the end of the process must not be disturbed."""
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) == _look_again:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, _too_late)


def _too_late(number: int, frame: FrameType | None) -> None:
    """One was on its way: Python complains where it finds no function for it."""


def _raise() -> None:
    stop_waiting()
    raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
