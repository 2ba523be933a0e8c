"""Whether a module repeats its own answers and leaves itself as it was, which a graph always does."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import ModelError

Run = Callable[[], tuple[Tensor, ...]]


def refuse_unrepeatable(module: nn.Module, run: Run) -> None:
    """Runs a module twice on the same inputs, and refuses what a graph would do otherwise.

    Told here because the export would bake the state that happens to be there, or end in torch's words on its own
    source.

    Args:
        module: in evaluation mode.
        run: calls it on the same inputs each time.

    Raises:
        ModelError: its weights or buffers change, or its answers do: names what keeps them.
    """
    tensors, attributes = dict(_tensors(module)), dict(_attributes(module))
    first, second = run(), run()
    changed = next((name for name, now in _tensors(module) if name in tensors and not _same(tensors[name], now)), None)
    if changed is not None:
        raise ModelError(
            f"the module changes itself when it is called: {changed!r} is another after it, which no graph can do",
            fix=f"change it in training alone (if self.training:), or take it as an input: {_state(changed)}",
        )
    if all(_same(a, b) for a, b in zip(first, second, strict=False)) and len(first) == len(second):
        return
    kept = next((name for name, now in _attributes(module) if not _same(attributes.get(name), now)), None)
    what = "the module does not repeat its own answers"
    if kept is not None:
        raise ModelError(
            f"{what}: it keeps a state between calls (attribute {kept!r} changes)",
            fix=f"take the state as an input and give the new one as an output: {_state(kept)}",
        )
    raise ModelError(
        f"{what}: chance, such as dropout that is always on",
        fix="leave chance out in evaluation mode: F.dropout(x, training=self.training)",
    )


def _state(name: str) -> str:
    short = name.rpartition(".")[2].strip("_") or "h"
    return f"--state {short}0={short}n"


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        yield name, tensor.detach().clone()


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What the code of a module may remember; torch keeps its own under names that begin with an underscore."""
    for path, layer in module.named_modules():
        blank = vars(nn.Module())
        for name, value in vars(layer).items():
            if name not in blank and not isinstance(value, nn.Module):
                yield f"{path}.{name}" if path else name, _copied(value)


def _copied(value: Any) -> Any:
    """As it is now: whoever remembers it may change it in place."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, (list, tuple, deque)):
        return tuple(map(_copied, value))
    return {key: _copied(each) for key, each in value.items()} if isinstance(value, dict) else value


def _same(before: Any, now: Any) -> bool:
    if isinstance(before, Tensor) and isinstance(now, Tensor):
        return before.shape == now.shape and torch.equal(_bits(before), _bits(now))
    if isinstance(before, tuple) and isinstance(now, tuple):
        return _same_items(before, now)
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and _same_items(list(before.values()), list(now.values()))
    plain = (bool, int, float, str, type(None))
    return before is now or (isinstance(before, plain) and isinstance(now, plain) and before == now)


def _same_items(before: Sequence[Any], now: Sequence[Any]) -> bool:
    return len(before) == len(now) and all(map(_same, before, now))


def _bits(tensor: Tensor) -> Tensor:
    """NaN is another number than itself, and a state may be NaN."""
    return tensor.contiguous().view(torch.uint8) if tensor.dim() else tensor.reshape(1).view(torch.uint8)
