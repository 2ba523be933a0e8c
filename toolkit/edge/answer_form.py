"""What the numbers of a bundle's answer mean, whichever of its graphs gives them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_io import QUANTILES, GraphName, horizon_of
from toolkit.contract.manifest import BundleManifest
from toolkit.errors import BundleError

Array = NDArray[np.float32]


@dataclass(frozen=True)
class AnswerForm:
    """How to read the outputs of one graph for one asset.

    Attributes:
        answer: the output that holds the forecast or the logits; "" of a foreign module whose answer is neither.
        targets: names of the channels that are forecast; none where there is no forecast.
        units: of each target.
        horizon: intervals of forecast; 0 where there is none.
        levels: the quantiles beside a forecast, rising; none where it has none.
        class_names: of a classifier, in the order of its logits.
        further: the outputs of a foreign module whose meaning nobody stated.
    """

    answer: str
    targets: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    horizon: int = 0
    levels: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()
    further: tuple[str, ...] = ()

    def forecasts(self, outputs: Mapping[str, Array]) -> Array:
        """The forecasts among the outputs of some assets, float32 `[assets, horizon, targets]`.

        Only where there is a horizon.
        """
        return outputs[self.answer].reshape(-1, self.horizon, len(self.targets))


def answer_form(manifest: BundleManifest, graph: GraphName) -> AnswerForm:
    """The form of a graph's answers.

    Raises:
        BundleError: nothing says what the channels are.
    """
    signal, model = manifest.signal, manifest.model
    if signal is None:
        raise BundleError(f"the bundle {manifest.name} has no signal", fix="export it with --signal")
    answers = manifest.graph(graph).signature.answers
    first, names = answers[0], tuple(tensor.name for tensor in answers)
    if model is not None and model.classes:
        return AnswerForm(first.name, class_names=model.class_names or tuple(map(str, range(model.classes))))
    horizon = horizon_of(first.axes, len(signal.targets))
    if horizon is None:
        return AnswerForm("", further=names)
    levels = () if model is None else model.quantiles
    further = tuple(name for name in names[1:] if not (levels and name == QUANTILES))
    return AnswerForm(first.name, signal.targets, signal.target_units, horizon, levels, further=further)
