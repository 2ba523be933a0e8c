"""What is wrong with an installation: facts are gathered at the rim, judged by pure functions.

onnxruntime is never imported here but in processes of its own: a build that uses instructions which the processor
lacks kills its process on import, and the one command that explains this must outlive it.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from toolkit.runtime.environment import RUNTIMES, machine

PYTHON_FLOOR = "3.11"
RUNTIME_FLOOR = "1.32"
FLOORS = (
    ("torch", "2.10", "a crafted checkpoint corrupts memory even with weights_only=True (CVE-2026-24747)"),
    ("onnx", "1.22", "its shape inference reads out of bounds on a crafted model (CVE-2026-14647)"),
)

MAY_FAIL = {
    "AzureExecutionProvider": "it calls models on a remote service and is listed in every build",
    "TensorrtExecutionProvider": "it needs TensorRT, which onnxruntime-gpu lists and does not bring",
    "CoreMLExecutionProvider": "it has no LSTM operator",
    "XnnpackExecutionProvider": "it has no LSTM operator",
}
"""Providers that builds list where nobody asked for them: that one of these runs no LSTM is no fault, and why."""

SECONDS = 120
"""For one probe: onnxruntime takes up to 20 s to import on a slow card or under emulation."""

_DEATHS = {
    "SIGILL": "an illegal instruction: this build uses instructions that this processor lacks, as onnxruntime 1.21.0 "
    "does on a Raspberry Pi 4",
    "SIGSEGV": "a memory fault: a driver or library that does not fit this build, or qemu below 10",
    "SIGBUS": "a bus error: memory that is misaligned or gone, often a damaged file or card",
    "SIGABRT": "its own abort: a library that does not fit this build",
    "SIGKILL": "SIGKILL: most often the system had no memory left",
}


@dataclass(frozen=True)
class ProviderCheck:
    """One execution provider.

    Attributes:
        name: onnxruntime's name for it.
        available: compiled into the installed build.
        problem: why it does not run a small LSTM, or None where it really ran one.
    """

    name: str
    available: bool
    problem: str | None


@dataclass(frozen=True)
class Facts:
    """What is judged.

    Attributes:
        python: version of Python.
        bits: of the Python process, 32 or 64.
        machine: the kernel's architecture, such as `aarch64`.
        packages: version of each installed distribution by name.
        runtime: onnxruntime's own version, None where it cannot be imported.
        runtime_problem: why it cannot be imported, or None.
        providers: what each provider did with a small LSTM.
        missing: for each extra, those of its packages that are not installed.
    """

    python: str
    bits: int
    machine: str
    packages: Mapping[str, str]
    runtime: str | None
    runtime_problem: str | None
    providers: tuple[ProviderCheck, ...]
    missing: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Finding:
    """One thing worth saying: a `problem` makes `doctor` fail, a `note` does not; `fix` is a command or a step."""

    level: Literal["problem", "note"]
    what: str
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor --json` writes."""

    healthy: bool
    findings: tuple[Finding, ...]
    providers: tuple[ProviderCheck, ...]
    environment: dict[str, Any]
    schema: str = "doctor/1"


def examine(extras: Mapping[str, Sequence[str]]) -> Diagnosis:
    """Gathers the facts of this machine and judges them.

    Args:
        extras: for each extra of the distribution, the packages (import names) that it brings.
    """
    facts = gather(extras)
    findings = tuple(diagnose(facts))
    healthy = all(finding.level != "problem" for finding in findings)
    providers = [check.name for check in facts.providers if check.available]
    return Diagnosis(healthy, findings, facts.providers, {**machine(), "providers": providers})


def gather(extras: Mapping[str, Sequence[str]]) -> Facts:
    """The facts of this machine; imports and tries onnxruntime in processes of its own."""
    described = machine()
    answer, problem = probe()
    return Facts(
        python=described["python"],
        bits=described["bits"],
        machine=described["machine"],
        packages=described["packages"],
        runtime=answer.get("version"),
        runtime_problem=problem,
        providers=_checks(answer.get("providers", ())),
        missing={extra: _missing(packages) for extra, packages in extras.items()},
    )


def diagnose(facts: Facts) -> Iterator[Finding]:
    """Everything worth saying about the facts, the most basic first."""
    yield from _python_findings(facts)
    yield from _runtime_findings(facts)
    yield from _provider_findings(facts)
    yield from _floor_findings(facts)
    yield from _extra_findings(facts)


def probe(*arguments: str) -> tuple[dict[str, Any], str | None]:
    """Asks `toolkit.runtime.providers` in a process of its own.

    Args:
        arguments: a provider's name, or nothing for the version and the list of providers.

    Returns:
        Its answer, and None; or an empty answer and why there is none, in one line.
    """
    command = [sys.executable, "-P", "-m", "toolkit.runtime.providers", *arguments]
    # The child must see the packages that this process sees, and not a folder `toolkit` that happens to lie about.
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, env=variables, check=False
        )
    except subprocess.TimeoutExpired:
        return {}, f"no answer within {SECONDS} s"
    return _outcome(done.returncode, done.stdout, done.stderr)


def explain_exit(status: int, stderr: str) -> str:
    """Why a process ended: the signal in words, otherwise the last line that it wrote.

    Args:
        status: as `subprocess` gives it, negative for a signal.
        stderr: what the process wrote to standard error.
    """
    if status < 0:
        names = {int(number): number.name for number in signal.Signals}
        name = names.get(-status, f"signal {-status}")
        return f"the process died of {_DEATHS.get(name, name)}"
    lines = stderr.strip().splitlines()
    return " ".join(lines[-1].split()) if lines else f"the process ended with status {status}"


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.13.0+cpu` is (2, 13, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _outcome(status: int, stdout: str, stderr: str) -> tuple[dict[str, Any], str | None]:
    if status != 0:
        return {}, explain_exit(status, stderr)
    try:
        answer = json.loads(stdout.splitlines()[-1])  # a provider's library may print before us
    except (ValueError, IndexError):
        return {}, "the process gave no answer"
    if answer.get("problem"):
        answer["problem"] += _loader_complaint(stderr)
    return answer, None


def _loader_complaint(stderr: str) -> str:
    """The library that a provider lacks: onnxruntime logs it and raises nothing."""
    found = re.search(r"lib[\w.+-]+: cannot open shared object file", stderr)
    return f" ({found.group()})" if found else ""


def _checks(available: Sequence[str]) -> tuple[ProviderCheck, ...]:
    """The providers of the build, and CUDA in any case: people ask why it is not there."""
    names = dict.fromkeys((*available, "CUDAExecutionProvider")) if available else {}
    return tuple(_check(name, name in available) for name in names)


def _check(name: str, available: bool) -> ProviderCheck:
    answer, death = probe(name)
    return ProviderCheck(name, available, death or answer.get("problem"))


def _missing(packages: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in packages if importlib.util.find_spec(name) is None)


def _python_findings(facts: Facts) -> Iterator[Finding]:
    if release(facts.python) < release(PYTHON_FLOOR):
        yield Finding("problem", f"Python {facts.python}; {PYTHON_FLOOR} or newer is needed", "install a newer Python")
    if facts.bits != 64:
        on = " on a 64-bit kernel" if facts.machine in ("aarch64", "arm64", "x86_64", "AMD64") else ""
        yield Finding(
            "problem",
            f"{facts.bits}-bit Python{on} ({facts.machine}); onnxruntime has no {facts.bits}-bit package",
            "install the 64-bit edition of the operating system",
        )


def _runtime_findings(facts: Facts) -> Iterator[Finding]:
    installed = [name for name in RUNTIMES if name in facts.packages]
    if len(installed) > 1:
        yield Finding(
            "problem",
            f"{' and '.join(installed)} are both installed and overwrite each other's files",
            f"pip uninstall -y {' '.join(installed)}, then pip install the one you need",
        )
    if facts.runtime_problem is not None:
        yield Finding("problem", f"onnxruntime cannot be imported: {facts.runtime_problem}", _import_fix(facts))
    yield from _runtime_version_findings(facts, installed)


def _runtime_version_findings(facts: Facts, installed: Sequence[str]) -> Iterator[Finding]:
    version = facts.runtime or next((facts.packages[name] for name in installed), None)
    if version is None or release(version) >= release(RUNTIME_FLOOR):
        return
    name = installed[0] if installed else "onnxruntime"
    reason = f"below {RUNTIME_FLOOR} an LSTM with wrong-shaped weights reads out of bounds"
    if release(version) == (1, 21, 0):
        reason = f"it dies with an illegal instruction on a Raspberry Pi 4, and {reason}"
    fix = f"pip install '{name}>={RUNTIME_FLOOR}'"
    if name != "onnxruntime":  # the variants are released later, and not every release has each
        fix += f"; where there is none, pip uninstall {name} and pip install 'onnxruntime>={RUNTIME_FLOOR}'"
    yield Finding("problem", f"{name} {version} is blocked: {reason}", fix)


def _import_fix(facts: Facts) -> str:
    problem = facts.runtime_problem or ""
    if "No module named 'onnxruntime'" in problem:
        return f"pip install 'onnxruntime>={RUNTIME_FLOOR}'"
    library = re.search(r"(lib[\w.+-]+): cannot open shared object", problem)
    if library is not None:
        package = "libgomp1" if "libgomp" in library.group(1) else f"the package with {library.group(1)}"
        return f"apt install {package}" if package == "libgomp1" else f"install {package}"
    return f"pip install --force-reinstall 'onnxruntime>={RUNTIME_FLOOR}'"


def _provider_findings(facts: Facts) -> Iterator[Finding]:
    for check in facts.providers:
        if check.available and check.problem is not None and check.name not in MAY_FAIL:
            yield Finding("problem", f"{check.name} runs no LSTM: {check.problem}", _provider_fix(check.name))


def _provider_fix(name: str) -> str:
    if name == "CPUExecutionProvider":
        return f"pip install --force-reinstall 'onnxruntime>={RUNTIME_FLOOR}'"
    if name == "CUDAExecutionProvider":
        return "install the CUDA and cuDNN versions that this onnxruntime-gpu names, and a driver that fits them"
    return f"install what {name} needs, or use CPUExecutionProvider"


def _floor_findings(facts: Facts) -> Iterator[Finding]:
    for name, floor, reason in FLOORS:
        version = facts.packages.get(name)
        if version is not None and release(version) < release(floor):
            yield Finding("problem", f"{name} {version}: {reason}", f"pip install '{name}>={floor}'")


def _extra_findings(facts: Facts) -> Iterator[Finding]:
    for extra, missing in facts.missing.items():
        if missing:
            yield Finding(
                "note",
                f"the extra [{extra}] is not installed: {', '.join(missing)}",
                f"pip install 'lstm-edge-toolkit[{extra}]'",
            )
