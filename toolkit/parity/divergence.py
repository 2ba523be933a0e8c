"""The first place at which two tensors part."""

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import BATCH, FORECAST, SEQUENCE
from toolkit.contract.reports import Divergence
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.reference import axis_of


def locate(
    name: str, got: NDArray[np.float64], exact: NDArray[np.float64], tolerance: float, model: MultivariateLSTM
) -> Divergence | None:
    """The earliest step, then the lowest series and channel, that differs by more than `tolerance`.

    Args:
        name: of the tensor in the graph.
        got: onnxruntime's values.
        exact: the truth.
        tolerance: in the tensors' unit.
        model: tells the layout of a streaming forecast.

    Returns:
        None where nothing differs that much.
    """
    if got.shape != exact.shape:
        return Divergence(name, None, None, None)
    wrong = ~(np.abs(got - exact) <= tolerance)  # NaN counts as different
    places = np.argwhere(wrong)
    if not places.size:
        return None
    if name != FORECAST:  # [num_layers, batch, hidden_size]
        layer, batch, unit = (int(place) for place in places[0])
        return Divergence(name, None, batch, f"layer {layer}, unit {unit}")
    if got.ndim == 2 + len(model.forecast_shape):  # a forecast after every step
        places = places[np.argsort(places[:, axis_of(model, SEQUENCE)], kind="stable")]
        first = places[0]
        return Divergence(
            name, int(first[axis_of(model, SEQUENCE)]), int(first[axis_of(model, BATCH)]), _entry(first[2:])
        )
    return Divergence(name, None, int(places[0][0]), _entry(places[0][1:]))


def _entry(place: NDArray[np.intp]) -> str:
    """Horizon step and target, or the plain output, that an entry of a forecast belongs to."""
    if len(place) == 2:
        return f"horizon step {int(place[0])}, target {int(place[1])}"
    return f"output {int(place[0])}"
