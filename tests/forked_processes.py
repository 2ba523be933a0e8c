"""Work in a process of its own, without a fresh start of the interpreter."""

import os
import warnings
from collections.abc import Callable


def forked(work: Callable[[], object]) -> int:
    """The number of a process that does it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of threads at a fork; torch's have nothing to do
        child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # the parent asks for the status
        os._exit(1)
    os._exit(0)
