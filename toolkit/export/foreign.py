"""Somebody else's module: found by name, built by its factory, filled with its weights."""

import contextlib
import copy
import importlib
import inspect
import os
import pickle
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from toolkit.contract.records import nearest
from toolkit.errors import ModelError
from toolkit.runtime.bundle import MAX_FILE_BYTES

EXAMPLE = "--module mypackage.models:make_model"


def load_module(reference: str, weights: Path | None = None) -> nn.Module:
    """Builds a module and puts it into evaluation mode, in float32 and on the CPU.

    Args:
        reference: `package.module:factory`; the factory takes no argument and returns an `nn.Module`, or is one, which
            is copied. The working directory is importable while it runs.
        weights: a state dict, `.safetensors` or what `torch.save` wrote, no larger than a bundle's file may be. The
            latter is read with `weights_only=True` and never otherwise: a file that needs more could run any code.

    Raises:
        ModelError: no such module or factory, one that raises or returns something else, or weights that do not fit.
    """
    with _working_directory():
        module = _build(_factory(reference), reference)
    refuse_unstorable(module)
    if weights is not None:
        _fill(module, _state_dict(weights), weights)
    if not any(tensor.is_meta for tensor in _tensors(module)):
        module = module.cpu()
    return module.float().eval()


def split_reference(reference: str) -> tuple[str, str]:
    """The module's path and the factory's name.

    Raises:
        ModelError: not of the form `package.module:factory`.
    """
    path, colon, name = reference.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in path.split("."))):
        raise ModelError("--module", got=repr(reference), allowed="package.module:factory", fix=EXAMPLE)
    return path, name


def refuse_unstorable(module: nn.Module) -> None:
    """Refuses a module that is no torch code, or whose weights are not tensors of a known size.

    Raises:
        ModelError: names what it is.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            "a TorchScript module cannot be exported", fix="give the nn.Module that it was scripted or traced from"
        )
    lazy = next((name for name, tensor in module.named_parameters() if is_lazy(tensor)), None)
    if lazy is not None:
        fix = "call the module once where it is made, on zeros"
        raise ModelError(f"the size of the module's {lazy!r} is not known yet", fix=fix)
    extra = next((name for name, value in module.state_dict().items() if not isinstance(value, Tensor)), None)
    if extra is not None:
        raise ModelError(f"the module's state dict holds more than tensors, at {extra!r}", fix="keep it in a buffer")


@contextlib.contextmanager
def users_code() -> Iterator[None]:
    """Somebody else's module is run within: it may print, and must not end the process.

    What it prints goes to standard error, for standard output may carry a report.

    Raises:
        ModelError: it called `sys.exit`.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SystemExit as error:
        raise ModelError("the module ends the process", got=f"sys.exit({error.code!r})") from error


@contextlib.contextmanager
def _working_directory() -> Iterator[None]:
    """The working directory is importable within, before anything installed; nothing is written into it.

    torch's default type is put back: a module that sets it would change every tensor that is made later.
    """
    here, caches, kind = str(Path.cwd()), sys.dont_write_bytecode, torch.get_default_dtype()
    sys.path.insert(0, here)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = caches
        torch.set_default_dtype(kind)
        with contextlib.suppress(ValueError):  # the user's code may have taken it out
            sys.path.remove(here)


def _factory(reference: str) -> Callable[..., Any]:
    path, name = split_reference(reference)
    try:
        found = importlib.import_module(path)
    except (Exception, SystemExit) as error:  # whatever the user's own code raises while it is imported
        raise ModelError(f"--module: cannot import {path}", got=_told(error)) from error
    factory = getattr(found, name, None)
    if isinstance(factory, nn.Module):
        made = factory
        return lambda: copy.deepcopy(made)  # who else imports it must not find it changed
    if factory is not None and not callable(factory):
        fix = "a function without arguments that returns the module, or the nn.Module itself"
        raise ModelError(f"--module: {reference} cannot be called", got=type(factory).__name__, fix=fix)
    if factory is None:
        near = nearest(name, [n for n in vars(found) if not n.startswith("_")])
        raise ModelError(
            f"--module: {path} has no factory {name!r}",
            got=getattr(found, "__file__", None),  # it may be another module of that name
            fix=f"did you mean {near!r}?" if near else None,
        )
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
    except (Exception, SystemExit) as error:  # the user's own code
        raise ModelError(f"--module {reference}: the factory raised", got=_told(error)) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"--module {reference}", got=type(module).__name__, allowed="a factory that returns an nn.Module"
        )
    return module


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        _check_file(path)
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
    return _only_tensors(loaded, path)


def _check_file(path: Path) -> None:
    """Before a byte is read: a pipe would wait for a writer, and a file of any size would fill the memory."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is no plain file", allowed=".safetensors, or .pt of a state dict")
    if status.st_size > MAX_FILE_BYTES:
        raise ModelError(f"{path} is too large", got=f"{status.st_size} bytes", allowed=f"{MAX_FILE_BYTES} bytes")


def _only_tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    fix = "torch.save(module.state_dict(), FILE)"
    if not isinstance(loaded, dict):
        raise ModelError(f"{path} holds no state dict", got=type(loaded).__name__, allowed="tensors by name", fix=fix)
    for name, tensor in loaded.items():
        if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
            got = f"{type(tensor).__name__} at {name!r}"
            raise ModelError(f"{path} holds more than a state dict", got=got, allowed="dense tensors by name", fix=fix)
    return loaded


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    expected = module.state_dict()
    for name in [*expected, *tensors]:
        got, wanted = tensors.get(name), expected.get(name)
        if got is None or wanted is None or got.shape != wanted.shape:
            raise ModelError(f"{path} does not fit the module at {name!r}", got=_shape(got), allowed=_shape(wanted))
        if got.is_floating_point() and not torch.isfinite(got).all():
            raise ModelError(f"{path}: {name!r} holds NaN or infinity")
    # A module on the device `meta` has shapes alone: nothing can be copied into it.
    module.load_state_dict(tensors, assign=any(tensor.is_meta for tensor in expected.values()))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _shape(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else str(list(tensor.shape))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
