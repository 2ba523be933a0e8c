"""Which opsets can be written, and what has to read them."""

import onnx

from toolkit.contract.manifest import OPSET
from toolkit.errors import ConfigError, ModelError
from toolkit.runtime.inspection import installed_onnxruntime
from toolkit.runtime.onnx_compatibility import minimum_onnxruntime, reads

OLDEST = OPSET
"""torch 2.13 writes 18 for some graphs whatever older opset it is asked for, with only a warning."""


def opsets() -> tuple[int, ...]:
    """From 18 to the newest that the onnx package writes and the installed onnxruntime reads."""
    return tuple(filter(_readable, range(OLDEST, onnx.defs.onnx_opset_version() + 1)))


def check_opset(opset: int) -> None:
    """Refuses an opset that cannot be written or read here.

    Raises:
        ConfigError: names those that can.
    """
    allowed = opsets()
    if opset not in allowed:
        raise ConfigError("--opset", got=opset, allowed=f"{allowed[0]} to {allowed[-1]}")


def lowest_ir_version(opset: int) -> int:
    """The oldest file format that may hold the opset: torch writes 10 always, which older gateways refuse."""
    return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]))


def oldest_onnxruntime(proto: onnx.ModelProto) -> str:
    """The oldest release of onnxruntime that reads the file.

    Raises:
        ModelError: no known release does.
    """
    opset = max(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    release = minimum_onnxruntime(opset, proto.ir_version)
    if release is None:
        raise ModelError(f"no known onnxruntime reads opset {opset}, IR {proto.ir_version}")
    return release


def _readable(opset: int) -> bool:
    release = minimum_onnxruntime(opset, lowest_ir_version(opset))
    installed = installed_onnxruntime()
    return release is not None and installed is not None and reads(installed, release)
