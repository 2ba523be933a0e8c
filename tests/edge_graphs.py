"""Small recurrent graphs in numpy, whose faults are chosen, for tests of what runs graphs for many assets."""

import numpy as np

from toolkit.contract.graph_io import ANY_SIZE, GraphSignature, TensorSpec
from toolkit.errors import BundleError, InputError

BATCH_FIRST = ("batch", "sequence")
TIME_FIRST = ("sequence", "batch")
WEIGHTS = np.float32([[0.3, -0.2, 0.5], [0.1, 0.4, -0.6]])


def clean(answers, places):
    """No fault."""
    return answers


def by_size(answers, places):
    """Rounds otherwise in a batch of another size."""
    return answers + np.float32(1e-6) * len(places)


def by_place(answers, places):
    """Rounds otherwise at each place of a batch."""
    return answers + np.float32(1e-6) * places[:, None, None, None]


class RecurrentGraph:
    """h = f(h / 2 + x W), f(z) = z / (1 + |z|), in which all processors agree; the answer is two sums of h.

    The state `g` is the sum of all rows so far.

    Args:
        fault: what the answers depend on.
        order: of the first two axes of readings and answers.
        limits: of sizes.
        state_axes: of `h`, which has 3 numbers for each series.
        streams: whether the state goes in and out.
    """

    def __init__(self, fault=clean, order=BATCH_FIRST, limits=ANY_SIZE, state_axes=(1, "batch", 3), streams=True):
        self.fault, self.order, self.limits = fault, order, limits
        self.calls = []
        self.broken = False
        answer = TensorSpec("y", (*order, 2, 1)) if streams else TensorSpec("y", ("batch", 2, 1))
        states = (TensorSpec("h", state_axes), TensorSpec("g", ("batch", 2))) if streams else ()
        new = (TensorSpec("hn", state_axes), TensorSpec("gn", ("batch", 2))) if streams else ()
        pairs = {"h": "hn", "g": "gn"} if streams else {}
        self.tensors = GraphSignature((TensorSpec("x", (*order, 2)), *states), (answer, *new), pairs)

    def run(self, feed):
        if self.broken:
            raise BundleError("onnxruntime cannot run the graph")
        for name, array in feed.items():
            assert array.flags.c_contiguous
            if not np.isfinite(array).all():
                raise InputError(f"{name} holds a value that is not finite")
        x = feed["x"] if self.order == BATCH_FIRST else feed["x"].swapaxes(0, 1)
        self.calls.append(x.shape)
        assert self.limits.at_least("batch") <= len(x) <= self.limits.clipped("batch", len(x))
        assert x.shape[1] == self.limits.clipped("sequence", x.shape[1])
        axes = self.tensors.input("h").axes if self.tensors.states else (1, "batch", 3)
        place = axes.index("batch") if "batch" in axes else None
        h = feed.get("h", np.zeros((1, len(x), 3), np.float32))
        h = (h if place is None else np.moveaxis(h, place, 0)).reshape(len(x), 3)
        g = feed.get("g", np.zeros((len(x), 2), np.float32))
        answers = []
        for step in range(x.shape[1]):
            with np.errstate(over="ignore", invalid="ignore"):
                g = g + x[:, step]
                pushed = x[:, step, :1] * WEIGHTS[0] + x[:, step, 1:] * WEIGHTS[1]
                h = np.float32(0.5) * h + pushed
                h = h / (1 + np.abs(h))
            answers.append(np.stack([h[:, 0] + h[:, 1], h[:, 1] + h[:, 2]], axis=1)[:, :, None])
        whole = self.fault(np.stack(answers, axis=1), np.arange(len(x), dtype=np.float32))
        if not self.tensors.states:
            return {"y": whole[:, -1]}
        inner = tuple(axis for axis in axes if axis != "batch")
        back = h.reshape(len(x), *inner)
        back = back[0] if place is None else np.moveaxis(back, 0, place)
        return {"y": whole if self.order == BATCH_FIRST else whole.swapaxes(0, 1), "hn": back, "gn": g}
