"""Why somebody's module does not run on the inputs that were declared, and what to mend: its code, or `--input`."""

import re
from collections.abc import Sequence

from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import ModelError
from toolkit.export.code_places import place_of_error

BUGS = (NameError, AttributeError, KeyError, IndexError, ImportError, ZeroDivisionError, NotImplementedError)
"""What no other --input would mend; IndexError has a place for each, for it may be either."""

_PRODUCT = re.compile(r"mat1 and mat2 shapes cannot be multiplied \(\d+x(?P<got>\d+) and (?P<wanted>\d+)x\d+\)")
_FEATURES = re.compile(r"Expected (?P<wanted>\d+), got (?P<got>\d+)")
_CHANNELS = re.compile(r"to have (?P<wanted>\d+) channels, but got (?P<got>\d+) channels")
_LONGER = (
    re.compile(r"maximum size for tensor at dimension \d+ is \d+ but size is (?P<wanted>\d+)"),
    re.compile(r"input size per channel: \([^)]*\)\. Kernel size: \((?:1 x )?(?P<wanted>\d+)\)"),
)


def run_failure(error: BaseException, inputs: Sequence[TensorSpec], shapes: Sequence[Sequence[int]]) -> ModelError:
    """The refusal of a module that raised.

    Args:
        error: what it raised.
        inputs: as they were declared.
        shapes: as they were fed.
    """
    shown = ", ".join(f"{tensor.name} {list(shape)}" for tensor, shape in zip(inputs, shapes, strict=True))
    text, place = " ".join(str(error).split()), place_of_error(error)
    return ModelError(
        f"the module does not run on {shown}",
        got=f"{type(error).__name__}: {text[:160]}" + (f" ({place})" if place is not None else ""),
        fix=_advice(error, text, inputs) if not isinstance(error, BUGS) or place is None else f"mend {place}",
    )


def _advice(error: BaseException, text: str, inputs: Sequence[TensorSpec]) -> str:
    if isinstance(error, TypeError):
        return "give an --input for each argument of its forward, in their order"
    for pattern in (_PRODUCT, _FEATURES, _CHANNELS):
        found = pattern.search(text)
        own = found and next((t for t in inputs if t.axes[-1] == int(found["got"])), None)
        if found and own:
            axes = ", ".join(map(str, (*own.axes[:-1], found["wanted"])))
            return f'the last axis must be {found["wanted"]}: --input "{own.name}: float32[{axes}]"'
    for pattern in _LONGER:
        found = pattern.search(text)
        if found:
            return f"it takes {found['wanted']} samples or more: write a size of that length in --input"
    return "an axis with a name must take any size: write it as a number in --input where it does not"
