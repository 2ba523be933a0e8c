"""The golden vectors of a bundle: a few inputs and the float64 module's answers to them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.contract.graph_io import FORECAST, INPUT, STATE_PAIRS, GraphName
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.reports import ParityReport
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.inputs import Feed, InputSource
from toolkit.parity.reference import references
from toolkit.runtime.golden import GoldenCase

OTHER_CPU = 4.0
"""How much further than parity's tolerance another processor's rounding may lead."""

FINAL_ULPS = 4.0
STATE_ULPS = 16.0


def golden_cases(source: InputSource, spec: ModelSpec) -> list[GoldenCase]:
    """Windows and streams of ordinary inputs, with and without a state to start from."""
    plain, rough = source.families
    window = spec.window_length
    shapes = (("window", plain, 3, window), ("rough", rough, 2, window + 1), ("short", rough, 1, 2))
    cases: list[GoldenCase] = []
    for name, family, batch, sequence in shapes:
        cases.append(_case(source, "windowed", name, source.feed("windowed", family, batch, sequence)))
        feed = source.feed("streaming", family, batch, sequence)
        cases.append(_case(source, "streaming", name, _from_zero(feed) if name == "window" else feed))
    return cases


def golden_tolerances(
    graph: GraphName, cases: list[GoldenCase], model: MultivariateLSTM, parity: ParityReport
) -> dict[str, tuple[float, ...]]:
    """For each output the largest allowed difference: by target in raw units, or one figure for a state.

    Args:
        graph: whose outputs.
        cases: the golden cases, for the size of the states.
        model: for the scale of the targets.
        parity: its tolerances are where these start from.
    """
    standardised = OTHER_CPU * max(case.tolerance for case in parity.cases if case.graph == graph)
    scale, offset = model.output_scale.double().numpy(), model.output_offset.double().numpy()
    raw = standardised * scale + FINAL_ULPS * _ulp(np.abs(offset) + 10.0 * scale)
    tolerances = {FORECAST: tuple(float(value) for value in raw)}
    for case in cases:
        for name in STATE_PAIRS.values() if case.graph == graph else ():
            if name in case.outputs:
                largest = float(_ulp(np.abs(case.outputs[name]).max()))
                tolerances[name] = (max(standardised, OTHER_CPU * STATE_ULPS * largest, *tolerances.get(name, ())),)
    return tolerances


def _ulp(size: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.asarray(np.spacing(np.asarray(size, np.float32)), np.float64)


def _from_zero(feed: Feed) -> Feed:
    return {name: np.zeros_like(array) if name in STATE_PAIRS else array for name, array in feed.items()}


def _case(source: InputSource, graph: GraphName, name: str, feed: Feed) -> GoldenCase:
    truth = references(source.model)[0].model
    tensors = [torch.from_numpy(feed[key]).double() for key in (INPUT, *STATE_PAIRS) if key in feed]
    with torch.inference_mode():
        results = (truth(*tensors),) if graph == "windowed" else truth.stream(*tensors)
    names = (FORECAST, *STATE_PAIRS.values())
    outputs = {key: tensor.float().numpy() for key, tensor in zip(names, results, strict=False)}
    return GoldenCase(graph, name, dict(feed), outputs)
