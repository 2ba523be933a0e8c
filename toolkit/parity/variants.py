"""Graphs of a bundle in half precision or int8: their weights against fp32's, and what they cost the forecast."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import horizon_of
from toolkit.contract.parity_reports import VariantCheck
from toolkit.export.quantised_lint import fp16_problems, quantisation_problems
from toolkit.parity.forecast_errors import growth, mean_errors, scored_windows
from toolkit.parity.held_out import HeldOut, held_out_of
from toolkit.runtime.bundle import Bundle

DEFAULT_LOSS = 0.01
"""Where the manifest does not say what was allowed."""


def check_variants(bundle: Bundle, samples: NDArray[np.float32] | None) -> tuple[VariantCheck, ...]:
    """Judges every graph of a bundle that is not in fp32 against the fp32 graph beside it.

    Rounded weights give other answers than the module's by more than any rounding of arithmetic, so that parity's rule
    does not apply: what counts is how much the error of the forecast grows, in the target's own unit.

    Args:
        bundle: with an fp32 graph for each of its variants.
        samples: readings that the model was not trained on, float32 `[stretches, samples, channels]`, or None.
    """
    return tuple(
        _checked(_Pair(bundle, bundle.manifest.graph(entry.name, "fp32"), entry), samples)
        for entry in bundle.manifest.graphs
        if entry.precision != "fp32"
    )


@dataclass(frozen=True)
class _Pair:
    bundle: Bundle
    fp32: GraphEntry
    entry: GraphEntry

    @property
    def allowed(self) -> float:
        decision = self.bundle.manifest.precision
        return DEFAULT_LOSS if decision is None else decision.max_accuracy_loss

    def held_out(self, samples: NDArray[np.float32] | None) -> HeldOut | None:
        signal = self.bundle.manifest.signal
        if samples is None or signal is None:
            return None
        horizon = horizon_of(self.entry.signature.answers[0].axes, len(signal.targets))
        if horizon is None:
            return None
        return held_out_of(samples, self.bundle.manifest.window_length, horizon, signal)


def _checked(pair: _Pair, samples: NDArray[np.float32] | None) -> VariantCheck:
    before, after = (onnx.load_model_from_string(pair.bundle.read(e.file)) for e in (pair.fp32, pair.entry))
    problems = {"fp16": fp16_problems, "int8": quantisation_problems}[pair.entry.precision](before, after)
    held_out = pair.held_out(samples)
    name, precision = pair.entry.name, pair.entry.precision
    if held_out is None:
        return VariantCheck(name, precision, tuple(problems), None, pair.allowed, 0, (), (), ())
    fp32, variant = (pair.bundle.guarded(entry) for entry in (pair.fp32, pair.entry))
    windows = scored_windows(fp32, held_out)
    reference, errors = mean_errors(fp32, windows), mean_errors(variant, windows)
    loss = growth(errors, reference, windows.targets).target
    return VariantCheck(
        name,
        precision,
        tuple(problems),
        loss,
        pair.allowed,
        len(windows.x),
        windows.targets,
        tuple(map(float, errors.mean(axis=0))),
        tuple(map(float, reference.mean(axis=0))),
    )
