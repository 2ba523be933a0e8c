"""Somebody else's module: found by name, built by its factory, filled with its weights."""

import importlib
import inspect
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from toolkit.contract.records import nearest
from toolkit.errors import ModelError

EXAMPLE = "--module mypackage.models:make_model"


def load_module(reference: str, weights: Path | None = None) -> nn.Module:
    """Builds a module and puts it into evaluation mode, in float32.

    Args:
        reference: `package.module:factory`; the factory takes no argument and returns an `nn.Module`. The working
            directory is importable.
        weights: a state dict, `.safetensors` or what `torch.save` wrote. The latter is read with
            `weights_only=True` and never otherwise: a file that needs more could run any code.

    Raises:
        ModelError: no such module or factory, one that raises or returns something else, or weights that do not fit.
    """
    module = _build(_factory(reference), reference)
    if weights is not None:
        _fill(module, _state_dict(weights), weights)
    return module.float().eval()


def _factory(reference: str) -> Callable[..., Any]:
    path, colon, name = reference.partition(":")
    if not (colon and path and name):
        raise ModelError("--module", got=repr(reference), allowed="package.module:factory", fix=EXAMPLE)
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found = importlib.import_module(path)
    except Exception as error:  # whatever the user's own code raises while it is imported
        raise ModelError(f"--module: cannot import {path}", got=_told(error)) from error
    finally:
        sys.path.remove(here)
    factory = getattr(found, name, None)
    if not callable(factory):
        near = nearest(name, [n for n in vars(found) if not n.startswith("_")])
        raise ModelError(f"--module: {path} has no factory {name!r}", fix=f"did you mean {near!r}?" if near else None)
    found_factory: Callable[..., Any] = factory
    return found_factory


def _build(factory: Callable[..., Any], reference: str) -> nn.Module:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        fix = "a function without arguments that returns the module"
        raise ModelError(f"--module {reference}: the factory needs arguments", got=str(error), fix=fix) from error
    except ValueError:  # a factory written in C has no signature to look at
        pass
    try:
        module = factory()
    except Exception as error:  # the user's own code
        raise ModelError(f"--module {reference}: the factory raised", got=_told(error)) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"--module {reference}", got=type(module).__name__, allowed="a factory that returns an nn.Module"
        )
    return module


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(path.read_bytes())
        with warnings.catch_warnings():  # torch warns of pickle protocols that it then refuses anyway
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"cannot read {path}", got=error.strerror or str(error)) from error
    except pickle.UnpicklingError as error:
        fix = "save a state dict: safetensors.torch.save_file(module.state_dict(), 'weights.safetensors')"
        raise ModelError(f"{path} is no plain state dict and is not loaded, as it could run code", fix=fix) from error
    except (safetensors.SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ModelError(
            f"{path} holds no weights", got=_told(error), allowed=".safetensors, or .pt of a state dict"
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise ModelError(f"{path} holds no state dict", got=type(loaded).__name__, allowed="tensors by name")
    return loaded


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    expected = module.state_dict()
    for name in [*expected, *tensors]:
        got, wanted = tensors.get(name), expected.get(name)
        if got is None or wanted is None or got.shape != wanted.shape:
            raise ModelError(f"{path} does not fit the module at {name!r}", got=_shape(got), allowed=_shape(wanted))
        if got.is_floating_point() and not torch.isfinite(got).all():
            raise ModelError(f"{path}: {name!r} holds NaN or infinity")
    module.load_state_dict(tensors)


def _shape(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else str(list(tensor.shape))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
