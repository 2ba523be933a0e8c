"""Which execution providers a command uses: those that were asked for, or those that really run."""

from collections.abc import Sequence

from toolkit.errors import RequestError
from toolkit.runtime.provider_setup import CUDA
from toolkit.runtime.providers import BRING, available_providers, provider_problem
from toolkit.runtime.session import CPU


def running_providers(requested: Sequence[str] = ()) -> tuple[str, ...]:
    """The requested providers, or all that run an LSTM on this machine.

    Raises:
        RequestError: a requested provider does not run one; the message says why and names those that do.
    """
    requested = [_whole_name(name) for name in requested]
    working = tuple(name for name in available_providers() if provider_problem(name) is None)
    for name in requested:
        problem = provider_problem(name)
        if problem is not None:
            raise RequestError(f"--provider {name} cannot be used", got=problem, allowed=", ".join(working))
    return tuple(dict.fromkeys(requested)) or working


def _whole_name(name: str) -> str:
    """`cpu` is `CPUExecutionProvider`; so is `cuda` of one that is not there, so that its absence is what is told."""
    known = (*available_providers(), *BRING)
    found = (whole for whole in known if whole.lower() == f"{name.lower()}executionprovider")
    return next(found, name)


def cpu_and_cuda(requested: Sequence[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The requested providers, or the CPU and, where it runs, CUDA; and why CUDA is left out where it is.

    Raises:
        RequestError: as `running_providers`.
    """
    if requested:
        return running_providers(requested), ()
    problem = provider_problem(CUDA)
    return ((CPU, CUDA), ()) if problem is None else ((CPU,), (f"{CUDA} not measured: {problem}",))
