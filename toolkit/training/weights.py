"""Weights and sample readings as safetensors files: nothing in them is executed."""

import safetensors
import safetensors.torch
import torch

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
    load_weights(model, content, where)
    return model


def _parameters(spec: ModelSpec) -> int:
    hidden = spec.hidden_size
    first = 4 * hidden * (spec.input_size + hidden + 2)
    others = (spec.num_layers - 1) * 4 * hidden * (2 * hidden + 2)
    return first + others + spec.output_size * (hidden + 1)


def load_weights(model: MultivariateLSTM, content: bytes, where: str) -> None:
    """Loads a safetensors file into a model and puts it into evaluation mode.

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
        if not torch.isfinite(got).all():
            raise ModelError(f"{where}: {name!r} holds NaN or infinity", fix="train again")
    model.load_state_dict(tensors)
    model.eval()


def load_samples(model: MultivariateLSTM, content: bytes, where: str) -> torch.Tensor:
    """Reads `samples.safetensors`: raw readings, float32 `[stretches, samples, channels]`.

    Raises:
        BundleError: the file is damaged or does not fit the model.
    """
    samples = _tensors(content, where).get("x")
    if samples is None or samples.dim() != 3 or samples.shape[2] != model.lstm.input_size or not samples.numel():
        raise BundleError(
            f"{where} does not fit the model",
            got=_shape_text(samples),
            allowed=f"float32[stretches, samples, {model.lstm.input_size}]",
        )
    if samples.dtype != torch.float32 or not torch.isfinite(samples).all():
        raise BundleError(f"{where}: readings must be finite float32 numbers", fix="train again")
    return samples


def samples_bytes(samples: torch.Tensor) -> bytes:
    """The contents of a safetensors file that `load_samples` reads."""
    return safetensors.torch.save({"x": samples.contiguous()})


def _tensors(content: bytes, where: str) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BundleError(f"{where} is damaged", got=str(error), fix="train again, or copy the file again") from error


def weights_bytes(model: MultivariateLSTM) -> bytes:
    """The contents of a safetensors file with all weights and buffers."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})


def _shape_text(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
