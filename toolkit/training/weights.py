"""Weights and sample readings as safetensors files: nothing in them is executed."""

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from toolkit.contract.model_spec import ModelSpec
from toolkit.errors import BundleError, ModelError
from toolkit.model.lstm import MultivariateLSTM, model_from_spec


def load_model(spec: ModelSpec, content: bytes, where: str) -> MultivariateLSTM:
    """A module of that shape with the weights of a safetensors file, in evaluation mode.

    Raises:
        BundleError: the file is damaged, or far too small for a model of that shape.
        ModelError: its tensors do not fit the model, or hold NaN or infinity.
    """
    # Before anything is allocated: a forged shape must not take the machine's memory.
    if 4 * _parameters(spec) > len(content):
        raise BundleError(
            f"{where} does not fit the model",
            got=f"{len(content)} bytes",
            allowed=f"weights of {_parameters(spec)} parameters",
            fix="train again, or copy the files again",
        )
    model = model_from_spec(spec)
    fill(model, content, where)
    return model


def _parameters(spec: ModelSpec) -> int:
    hidden, directions = spec.hidden_size, 2 if spec.bidirectional else 1
    rows = (4 if spec.cell == "lstm" else 3) * hidden * directions
    biases, width = 2 if spec.bias else 0, hidden * directions
    independent = spec.channel_mixing == "independent"
    features = (1 if independent else spec.input_size) * spec.patch_length
    embedding = (features + 1) * hidden if spec.patch_length > 1 else 0
    first = rows * ((hidden if embedding else features) + hidden + biases)
    others = (spec.num_layers - 1) * rows * (width + hidden + biases)
    outputs = spec.horizon if independent else spec.output_size
    return embedding + first + others + outputs * (width + 1)


def fill(model: nn.Module, content: bytes, where: str) -> None:
    """Loads a safetensors file into a module and puts it into evaluation mode.

    Raises:
        BundleError: the file is damaged.
        ModelError: its tensors do not fit the model, or hold NaN or infinity.
    """
    tensors = _tensors(content, where)
    expected = model.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        got, wanted = tensors.get(name), expected.get(name)
        if got is None or wanted is None or got.shape != wanted.shape or got.dtype != wanted.dtype:
            raise ModelError(
                f"{where} does not fit the model at {name!r}", got=_shape_text(got), allowed=_shape_text(wanted)
            )
        if got.is_floating_point() and not torch.isfinite(got).all():
            raise ModelError(f"{where}: {name!r} holds NaN or infinity", fix="train again")
    model.load_state_dict(tensors)
    model.eval()


def load_samples(channels: int, content: bytes, where: str) -> torch.Tensor:
    """Reads `samples.safetensors`: raw readings, float32 `[stretches, samples, channels]`.

    Raises:
        BundleError: the file is damaged or does not fit the model.
    """
    samples = _tensors(content, where).get("x")
    if samples is None or samples.dim() != 3 or samples.shape[2] != channels or not samples.numel():
        raise BundleError(
            f"{where} does not fit the model",
            got=_shape_text(samples),
            allowed=f"float32[stretches, samples, {channels}]",
        )
    if samples.dtype != torch.float32 or not torch.isfinite(samples).all():
        raise BundleError(f"{where}: readings must be finite float32 numbers", fix="train again")
    return samples


def samples_bytes(samples: torch.Tensor | NDArray[np.float32]) -> bytes:
    """The contents of a safetensors file that `load_samples` reads."""
    return safetensors.torch.save({"x": torch.as_tensor(samples).contiguous()})


def _tensors(content: bytes, where: str) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BundleError(f"{where} is damaged", got=str(error), fix="train again, or copy the file again") from error


def weights_bytes(model: nn.Module) -> bytes:
    """The contents of a safetensors file with all weights and buffers; one that stands under two names, twice."""
    return safetensors.torch.save({name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()})


def _shape_text(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
