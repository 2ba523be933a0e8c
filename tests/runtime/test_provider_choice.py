import pytest

from toolkit.errors import RequestError
from toolkit.runtime import provider_choice as room
from toolkit.runtime.provider_choice import CUDA, cpu_and_cuda, running_providers
from toolkit.runtime.session import CPU

TENSORRT = "TensorrtExecutionProvider"


@pytest.fixture
def machine(monkeypatch):
    """Sets which providers there are and what is wrong with those that do not run."""

    def pretend(**problems):
        named = {CPU: None, CUDA: problems.get("cuda"), TENSORRT: problems.get("tensorrt")}
        monkeypatch.setattr(room, "available_providers", lambda: tuple(named))
        monkeypatch.setattr(room, "provider_problem", lambda name: named.get(name, f"{name} is not there"))

    return pretend


def test_without_a_wish_all_that_run_are_taken(machine):
    machine(cuda=None, tensorrt="no driver")
    assert running_providers() == (CPU, CUDA)


def test_wishes_are_taken_in_their_order_and_once(machine):
    machine()
    assert running_providers((CUDA, CPU, CUDA)) == (CUDA, CPU)


def test_a_wish_that_cannot_be_met_says_why_and_what_can(machine):
    machine(cuda="it fell back to the CPU", tensorrt="no driver")
    with pytest.raises(RequestError) as refused:
        running_providers((CPU, CUDA))
    assert str(refused.value) == (f"--provider {CUDA} cannot be used; got it fell back to the CPU; allowed: {CPU}")


def test_a_provider_that_does_not_exist(machine):
    machine()
    with pytest.raises(RequestError, match="--provider Abacus cannot be used; got Abacus is not there"):
        running_providers(("Abacus",))


def test_cuda_is_measured_where_it_runs(machine):
    machine(cuda=None)
    assert cpu_and_cuda() == ((CPU, CUDA), ())


def test_one_line_says_why_cuda_is_not_measured(machine):
    machine(cuda="no GPU")
    assert cpu_and_cuda() == ((CPU,), (f"{CUDA} not measured: no GPU",))


def test_nothing_is_said_of_cuda_where_something_else_was_asked_for(machine):
    machine(cuda="no GPU")
    assert cpu_and_cuda((TENSORRT,)) == ((TENSORRT,), ())
    with pytest.raises(RequestError, match="no GPU"):
        cpu_and_cuda((CUDA,))


def test_on_this_machine_the_cpu_runs():
    assert CPU in running_providers()
