"""What a bundle answers to a window, and how many windows are answered at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import QUANTILES, horizon_of
from toolkit.contract.signals import SignalSpec
from toolkit.errors import BundleError
from toolkit.runtime.bulk import BulkPredictor
from toolkit.runtime.bundle import Bundle
from toolkit.scoring.origins import Origins

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AnswerForm:
    """What an answer to one window holds.

    Attributes:
        targets: names; none of a classifier.
        horizon: samples of forecast; 0 of a classifier.
        levels: the quantiles beside a forecast, rising; none where it has none.
        class_names: of a classifier.
        interval_us: between two samples.
    """

    targets: tuple[str, ...]
    horizon: int
    levels: tuple[float, ...]
    class_names: tuple[str, ...]
    interval_us: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an answer: `(classes,)`, `(horizon, targets)` or `(horizon, targets, quantiles)`."""
        if self.class_names:
            return (len(self.class_names),)
        return (self.horizon, len(self.targets), *([len(self.levels)] if self.levels else []))


def signal_of(bundle: Bundle) -> SignalSpec:
    """The bundle's channels.

    Raises:
        BundleError: nothing says what they are, or it has no windowed graph.
    """
    manifest = bundle.manifest
    if manifest.signal is None or "windowed" not in manifest.names:
        raise BundleError(
            f"{bundle.folder} cannot be run over a table",
            got="no signal" if manifest.signal is None else "no windowed graph",
            fix="export it with --signal, and without --state",
        )
    return manifest.signal


def answer_form(bundle: Bundle) -> AnswerForm:
    """How the answers of the windowed graph are to be read.

    Raises:
        BundleError: as `signal_of`, or an answer that is no forecast of the targets.
    """
    signal, model = signal_of(bundle), bundle.manifest.model
    interval_us = signal.interval_s * 1e6
    if model is not None and model.classes:
        return AnswerForm((), 0, (), model.class_names or tuple(map(str, range(model.classes))), interval_us)
    answer = bundle.signature("windowed").answers[0]
    horizon = horizon_of(answer.axes, len(signal.targets))
    if horizon is None:
        raise BundleError(f"{bundle.folder}: its answer is no forecast of {', '.join(signal.targets)}")
    return AnswerForm(signal.targets, horizon, () if model is None else model.quantiles, (), interval_us)


class Answers:
    """A bundle's windowed graph, in the precision that is run, as a function of windows of a table.

    Args:
        bundle: whose graph.
        form: of its answers.
        predictor: what runs it.
    """

    def __init__(self, bundle: Bundle, form: AnswerForm, predictor: BulkPredictor) -> None:
        self._tensors, self._form, self._predictor = bundle.signature("windowed"), form, predictor
        self._window = bundle.manifest.window_length
        names = [tensor.name for tensor in self._tensors.answers]
        self._answer = self._tensors.output(QUANTILES if form.levels and QUANTILES in names else names[0])

    def of(self, origins: Origins) -> Floats:
        """The answers to all windows, `[windows, *form.shape]`."""
        found = self._predictor.run_windows(origins.rows, origins.starts, self._window)[self._answer.name]
        if self._tensors.sequence_axis in self._answer.axes:  # one after every step: the last counts
            found = np.take(found, -1, axis=self._answer.axes.index(self._tensors.sequence_axis))
        return found.reshape(len(origins.starts), *self._form.shape)
