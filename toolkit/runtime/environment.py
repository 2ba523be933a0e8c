"""The machine and the packages that a figure was taken on: every report carries this.

A latency without its processor, governor and versions cannot be compared with anything. Nothing that names a
person, a host or a folder is read: reports are passed on. Packages are looked up, not imported, so that a gateway
pays no start-up time and a package that crashes on import can still be described.
"""

import importlib.metadata
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolkit import __version__

FEATURES = (
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "neon",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)
"""Instruction sets for which onnxruntime's and torch's matrix kernels have code of their own, as Linux names them."""

RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-qnn",
    "onnxruntime-migraphx",
    "onnxruntime-rocm",
    "onnxruntime-training",
)
"""Distributions that all install the one import package `onnxruntime`."""

PACKAGES = (
    "numpy",
    *RUNTIMES,
    "click",
    "paho-mqtt",
    "polars",
    "torch",
    "onnx",
    "onnxscript",
    "safetensors",
)
"""Distributions whose version can change a figure or a result."""

_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def environment() -> dict[str, Any]:
    """What `machine()` says and the providers of the installed onnxruntime; imports onnxruntime.

    Returns:
        JSON values only: `machine()` and `providers`, a list of names, empty where onnxruntime cannot be imported.
    """
    return {**machine(), "providers": _providers()}


def machine() -> dict[str, Any]:
    """Processor, system and package versions, in a few milliseconds and without importing any package.

    Returns:
        JSON values only: `cpu`, `cpu_features`, `cores` (those this process may use), `governor` (None where the
        kernel does not say), `system`, `machine`, `bits` of the Python process, `python`, and `packages`, the
        version of each installed distribution by name.
    """
    cpuinfo = _read(_CPUINFO)
    return {
        "cpu": cpu_model(cpuinfo),
        "cpu_features": list(cpu_features(cpuinfo)),
        "cores": usable_cores(),
        "governor": _read(_GOVERNOR).strip() or None,
        "system": _system(),
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "python": platform.python_version(),
        "packages": {"lstm-edge-toolkit": __version__, **package_versions(PACKAGES)},
    }


def cpu_model(cpuinfo: str) -> str:
    """The processor's name from the text of `/proc/cpuinfo`.

    `Model` comes first: on ARM boards it names the board ("Raspberry Pi 4 Model B Rev 1.4"), which says more than
    "ARMv8 Processor"; x86 has only `model name`.
    """
    fields = _fields(cpuinfo)
    names = (fields.get(key) for key in ("Model", "model name", "Hardware"))
    return next((name for name in names if name), platform.processor() or platform.machine() or "unknown")


def cpu_features(cpuinfo: str) -> tuple[str, ...]:
    """Those of `FEATURES` that the processor has, in that order; none where `/proc/cpuinfo` is not there."""
    fields = _fields(cpuinfo)
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    return tuple(feature for feature in FEATURES if feature in present)


def usable_cores() -> int:
    """Cores that this process may run on: in a container or under `taskset` fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Version of each distribution that is installed; the others are left out."""
    versions = {name: _version(name) for name in names}
    return {name: version for name, version in versions.items() if version is not None}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _providers() -> list[str]:
    try:
        from toolkit.runtime.providers import available_providers  # noqa: PLC0415 - only here is onnxruntime needed
    except ImportError:
        return []
    return list(available_providers())


def _system() -> str:
    kernel = f"{platform.system()} {platform.release()}".strip()
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:  # not Linux, or a container without /etc/os-release
        return kernel
    return f"{name}, {kernel}" if name else kernel


def _fields(cpuinfo: str) -> dict[str, str]:
    """The first value of each key: the cores repeat them."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
