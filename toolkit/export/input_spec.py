"""Tensors as people write them on a command line: `x: float32[batch, sequence, 9]`, and state pairs: `h0=hn`."""

import math
import re
from collections.abc import Sequence

from toolkit.contract.graph_io import Axis, TensorSpec
from toolkit.contract.model_spec import LARGEST
from toolkit.errors import ConfigError

MOST_NUMBERS = 1 << 28
"""In the fixed axes of one input: a gigabyte."""

EXAMPLE = "x: float32[batch, sequence, 9]"
_SPEC = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*:\s*(?P<dtype>\w+)\s*\[(?P<axes>[^\[\]]*)\]\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")


def parse_tensor(text: str) -> TensorSpec:
    """One input: its name, its type, and for each axis a symbolic name or a size.

    Raises:
        ConfigError: not of that form, a type other than float32, a size below 1, or no axis at all.
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise ConfigError("--input", got=repr(text), allowed="NAME: float32[AXIS, ...]", fix=f'--input "{EXAMPLE}"')
    if match["dtype"] != "float32":
        raise ConfigError(f"--input {match['name']}: type", got=match["dtype"], allowed="float32")
    if not match["axes"].strip():
        raise ConfigError(
            f"--input {match['name']}: no axis",
            got=repr(text),
            allowed="one axis or more",
            fix=f'--input "{match["name"]}: float32[1]", and {match["name"]}[0] in the module',
        )
    axes = tuple(_axis(part.strip(), text) for part in match["axes"].split(","))
    _check_axes(axes, text)
    return TensorSpec(match["name"], axes)


def _check_axes(axes: tuple[Axis, ...], text: str) -> None:
    names = [axis for axis in axes if isinstance(axis, str)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        fix = "two names where the sizes may differ, or numbers"
        raise ConfigError(f"--input: the axis {twice} stands twice", got=repr(text), fix=fix)
    fixed = [axis for axis in axes if isinstance(axis, int)]
    if max(fixed, default=1) > LARGEST or math.prod(fixed) > MOST_NUMBERS:
        allowed = f"sizes of {LARGEST} at most, {MOST_NUMBERS} numbers in all"
        raise ConfigError("--input: too large", got=repr(text), allowed=allowed)


def parse_states(texts: Sequence[str], inputs: Sequence[TensorSpec]) -> dict[str, str]:
    """State pairs: which output is to be fed back into which input.

    Raises:
        ConfigError: not of the form `INPUT=OUTPUT`, an input that is not there, or one that stands twice.
    """
    pairs: dict[str, str] = {}
    names = [tensor.name for tensor in inputs]
    for text in texts:
        given, equals, new = (part.strip() for part in text.partition("="))
        if not equals or not _NAME.fullmatch(given) or not _NAME.fullmatch(new):
            raise ConfigError("--state", got=repr(text), allowed="INPUT=OUTPUT", fix="--state h0=hn")
        if given not in names or given in pairs:
            raise ConfigError("--state", got=repr(text), allowed=f"each of the inputs {', '.join(names)} once")
        pairs[given] = new
    return pairs


def _axis(text: str, whole: str) -> Axis:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    if _NAME.fullmatch(text):
        return text
    raise ConfigError(f"--input {whole!r}: axis", got=repr(text), allowed="a name, or a size of 1 or more")
