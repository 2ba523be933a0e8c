"""Which release of onnxruntime reads which ONNX file.

A release reads every opset and IR version up to those of the ONNX that it was built with. From 1.15 on the rows were
measured, by loading a graph of each opset, IR version and `ai.onnx.ml` version; older ones are those of
https://onnxruntime.ai/docs/reference/compatibility.html.
"""

import re
from collections.abc import Iterable

from toolkit.contract.frozen import dataclass
from toolkit.runtime.onnx_file import OnnxFile

ONNX = ("", "ai.onnx")
"""The two spellings of ONNX's own domain."""
ONNX_ML = "ai.onnx.ml"
QUANTISED_LSTM = "DynamicQuantizeLSTM"
"""onnxruntime's own."""


@dataclass(frozen=True)
class Release:
    """A release of onnxruntime that reads more than the one before it, and the newest that it reads of each kind."""

    version: str
    opset: int
    ir_version: int
    ml_opset: int


RELEASES = (
    Release("1.0", 11, 6, 2),
    Release("1.3", 12, 7, 2),
    Release("1.6", 13, 7, 2),
    Release("1.8", 14, 7, 2),
    Release("1.9", 15, 8, 2),
    Release("1.11", 16, 8, 2),
    Release("1.12", 17, 8, 3),
    Release("1.14", 18, 8, 3),
    Release("1.15", 19, 9, 3),
    Release("1.17", 20, 9, 4),
    Release("1.18", 21, 10, 5),
    Release("1.21", 22, 10, 5),
    Release("1.23", 23, 11, 5),
    Release("1.24", 25, 13, 5),
    Release("1.25", 26, 13, 5),
    Release("1.32", 28, 14, 5),
)


def minimum_onnxruntime(opset: int, ir_version: int, ml_opset: int = 0) -> str | None:
    """The oldest release that reads a file, None where no release of the table does.

    Args:
        opset: of ONNX's own domain, 0 where it is not imported.
        ir_version: of the file.
        ml_opset: of `ai.onnx.ml`, 0 where it is not imported.
    """
    for release in RELEASES:
        if opset <= release.opset and ir_version <= release.ir_version and ml_opset <= release.ml_opset:
            return release.version
    return None


def oldest_reader(file: OnnxFile) -> str | None:
    """The same of a file that has been read, its functions included."""
    opsets = (*file.opsets, *(opset for function in file.functions for opset in function.opsets))
    onnx = newest_of(opset.version for opset in opsets if opset.domain in ONNX)
    return minimum_onnxruntime(onnx, file.ir_version, newest_of(o.version for o in opsets if o.domain == ONNX_ML))


def newest_of(versions: Iterable[int]) -> int:
    """The highest, 0 where there is none."""
    return max(versions, default=0)


def reads(installed: str, minimum: str) -> bool:
    """Whether the installed version is the minimum or newer."""
    return _numbers(installed) >= _numbers(minimum)


def blocked(version: str, machine: str | None = None) -> str | None:
    """Why that release of onnxruntime must not run here, or None where it may.

    Args:
        version: of onnxruntime.
        machine: the kernel's architecture; None means this machine's.
    """
    if re.match(r"1\.21\.0(\D|$)", version) is None:
        return None
    if machine is None:
        import platform  # noqa: PLC0415 - of one release alone is it asked

        machine = platform.machine()
    arm = machine.lower() in ("aarch64", "arm64")
    return "it dies of an illegal instruction on 64-bit ARM, a Raspberry Pi 4 for one" if arm else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
