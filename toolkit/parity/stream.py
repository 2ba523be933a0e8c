"""A streaming graph fed piece by piece, its state carried over."""

from collections.abc import Sequence

import numpy as np

from toolkit.contract.graph_io import FORECAST, INPUT, SEQUENCE, STATE_PAIRS
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.inputs import Feed
from toolkit.parity.reference import axis_of
from toolkit.parity.subject import Answer, Subject


def run_in_pieces(subject: Subject, model: MultivariateLSTM, feed: Feed, cuts: Sequence[int]) -> Answer:
    """Runs a whole sequence in pieces of the sizes `cuts` and joins the forecasts.

    Raises:
        BundleError: onnxruntime cannot run the graph on these inputs.
    """
    axis = axis_of(model, SEQUENCE)
    pieces = np.split(feed[INPUT], np.cumsum(cuts)[:-1], axis=axis)
    states = {name: feed[name] for name in STATE_PAIRS}
    answers: list[Answer] = []
    for piece in pieces:
        answers.append(subject.run({INPUT: np.ascontiguousarray(piece), **states}))
        last = answers[-1].standardised
        states = {given: last[new].astype(np.float32) for given, new in STATE_PAIRS.items()}
    forecast = np.concatenate([answer.standardised[FORECAST] for answer in answers], axis=axis)
    raw = np.concatenate([answer.raw for answer in answers], axis=axis)
    return Answer({**answers[-1].standardised, FORECAST: forecast}, raw)
