"""Our exported graph beside torch's default export of the same module, in onnxruntime, under one session policy.

    python benchmarks/export_speed.py --json benchmarks/results/export-speed.json

torch's graph is made in a process of its own each time, because the second LSTM that a process exports is baked to
the example's sequence length. A time-major `nn.LSTM`, such as the forecaster's, is baked even by the first export and
its graph runs at no other length: torch is given the same forecaster with a batch-first layer instead, of the same
weights. Both graphs must agree before anything is timed.

Two comparisons. In one process and under the toolkit's session policy, in turns: both graphs by `session.run`, which
compares the graphs and nothing else; both with buffers bound once, into which each call copies its readings; and ours
through its predictor. Then what a user gets: torch's graph in a session with onnxruntime's own options, ours through
its predictor, each in a process of its own (see `own_processes`).
"""

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from own_processes import OwnProcesses, Work, call_of
from torch import Tensor, nn

from toolkit.atomic_files import write_text
from toolkit.benchmark.statistics import median_ratio
from toolkit.benchmark.timing import SystemClock, measure_in_turns, warm_up
from toolkit.contract.graph_io import GraphName, GraphSignature, TensorSpec
from toolkit.export.graphs import export_torch_graph
from toolkit.model.lstm import MultivariateLSTM
from toolkit.model.torch_graph import TorchGraph, torch_graphs
from toolkit.runtime.environment import environment
from toolkit.runtime.session import Session, create_session

CHANNELS, HORIZON, TARGETS = 9, 12, 3
EXAMPLE = {"batch": 3, "sequence": 29}
"""Sizes of the example that torch traces."""
ONCE, AHEAD = 1.0, 1.3
"""How many times as fast our graph has to be: anywhere, and at batch 1 for a window of 20 and for one step."""
TOLERANCE = 1e-5

SHAPES = {"windowed": ((1, 20), (1, 60), (64, 60)), "streaming": ((1, 1),)}
"""(batch, sequence) of each measurement, by graph."""


class HandWritten(nn.Module):
    """As most people write it: states of zeros made in `forward`, the last step picked from all of them."""

    def __init__(self, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.lstm = nn.LSTM(CHANNELS, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, TARGETS)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, TARGETS]` from `[batch, sequence, CHANNELS]`."""
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size)
        c0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size)
        out, _ = self.lstm(x, (h0, c0))
        answer: Tensor = self.fc(out[:, -1, :])
        return answer


class PlainGru(nn.Module):
    """A GRU and a linear layer on its last step."""

    def __init__(self, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(CHANNELS, hidden_size, num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, TARGETS)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, TARGETS]` from `[batch, sequence, CHANNELS]`."""
        answer: Tensor = self.head(self.gru(x)[0][:, -1])
        return answer


class PlainStep(nn.Module):
    """An LSTM and a linear layer, state in and out."""

    def __init__(self, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(CHANNELS, hidden_size, num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, TARGETS)

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[batch, sequence, TARGETS]` and the new state."""
        out, (hn, cn) = self.lstm(x, (h0, c0))
        return self.head(out), hn, cn


class BatchFirst(nn.Module):
    """A forecaster as torch's exporter takes it: a batch-first layer of the same weights, states under names."""

    def __init__(self, model: MultivariateLSTM) -> None:
        super().__init__()
        self.model = model
        layer = model.recurrent
        self.lstm = nn.LSTM(layer.input_size, layer.hidden_size, layer.num_layers, batch_first=True)
        self.lstm.load_state_dict(layer.state_dict())

    def steps(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Hidden states `[batch, sequence, hidden_size]` and the last state."""
        hidden, last = self.lstm((x - self.model.input_offset) * self.model.input_scale, state)
        return hidden, last

    def answer(self, hidden: Tensor) -> Tensor:
        """Raw forecasts. Not by `nn.Unflatten`, which torch bakes as well."""
        return self.model.unscale(self.model.head(hidden).reshape(*hidden.shape[:-1], HORIZON, TARGETS))


class BatchFirstWindow(BatchFirst):
    """The windowed one."""

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, horizon, targets]` from `[batch, sequence, CHANNELS]`."""
        return self.answer(self.steps(x, None)[0][:, -1])


class BatchFirstStep(BatchFirst):
    """The streaming one."""

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[batch, sequence, horizon, targets]` and the new state."""
        hidden, (hn, cn) = self.steps(x, (h0, c0))
        return self.answer(hidden), hn, cn


@dataclass(frozen=True)
class Subject:
    """A module to be exported.

    Attributes:
        kind: `forecaster` (the toolkit's own, scaling inside), or one of the modules above.
        graph: which graph.
        hidden_size: units of each layer.
        num_layers: layers.
    """

    kind: str
    graph: GraphName
    hidden_size: int
    num_layers: int

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.kind} {self.num_layers} x {self.hidden_size}, {self.graph}"


KINDS: tuple[tuple[str, GraphName], ...] = (
    ("forecaster", "windowed"),
    ("forecaster", "streaming"),
    ("hand-written", "windowed"),
    ("plain GRU", "windowed"),
    ("plain step", "streaming"),
)
SUBJECTS = tuple(
    Subject(kind, graph, hidden_size, num_layers)
    for kind, graph in KINDS
    for hidden_size, num_layers in ((64, 2), (32, 1))
)
FOREIGN: dict[str, Callable[[int, int], nn.Module]] = {
    "hand-written": HandWritten,
    "plain GRU": PlainGru,
    "plain step": PlainStep,
}


def forecaster(subject: Subject) -> MultivariateLSTM:
    """The toolkit's own module; the same weights in every process."""
    torch.manual_seed(0)
    sizes = (CHANNELS, subject.hidden_size, subject.num_layers)
    model = MultivariateLSTM(*sizes, horizon=HORIZON, targets=TARGETS, batch_first=True).eval()
    model.set_scaling(torch.linspace(-3, 3, CHANNELS), torch.linspace(0.5, 2, CHANNELS), range(TARGETS))
    return model


def torch_graph(subject: Subject) -> TorchGraph:
    """The subject's module with its names and axes; the same weights in every process."""
    if subject.kind == "forecaster":
        return torch_graphs(forecaster(subject))[subject.graph]
    torch.manual_seed(0)
    module = FOREIGN[subject.kind](subject.hidden_size, subject.num_layers).eval()
    x = TensorSpec("x", ("batch", "sequence", CHANNELS))
    if subject.graph == "windowed":
        return TorchGraph("windowed", module, GraphSignature((x,), (TensorSpec("y", ("batch", TARGETS)),)))
    state = (subject.num_layers, "batch", subject.hidden_size)
    outputs = (TensorSpec("y", ("batch", "sequence", TARGETS)), TensorSpec("hn", state), TensorSpec("cn", state))
    inputs = (x, TensorSpec("h0", state), TensorSpec("c0", state))
    return TorchGraph("streaming", module, GraphSignature(inputs, outputs, {"h0": "hn", "c0": "cn"}))


def for_torch(subject: Subject, graph: TorchGraph) -> nn.Module:
    """The module that torch is given: a forecaster's batch-first twin, or the subject's own."""
    if subject.kind != "forecaster":
        return graph.module
    return (BatchFirstWindow if subject.graph == "windowed" else BatchFirstStep)(forecaster(subject)).eval()


def export_by_torch(subject: Subject) -> bytes:
    """torch's default export, both axes dynamic."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    graph = torch_graph(subject)
    dims = {axis: torch.export.Dim(axis, min=1) for axis in EXAMPLE}
    axes = [tensor.axes for tensor in graph.tensors.inputs]
    with torch.no_grad():
        program = torch.onnx.export(
            for_torch(subject, graph),
            tuple(torch.randn([EXAMPLE[axis] if isinstance(axis, str) else axis for axis in of]) for of in axes),
            dynamic_shapes=tuple({n: dims[str(axis)] for n, axis in enumerate(of) if axis in dims} for of in axes),
            input_names=[tensor.name for tensor in graph.tensors.inputs],
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def in_a_fresh_process(subject: Subject) -> bytes:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(export_by_torch, subject).result()


def feed_of(graph: TorchGraph, batch: int, sequence: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    sizes = {"batch": batch, "sequence": sequence}
    shapes = {t.name: [sizes[axis] if isinstance(axis, str) else axis for axis in t.axes] for t in graph.tensors.inputs}
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def check_agreement(ours: bytes, theirs: bytes, feed: dict[str, np.ndarray]) -> None:
    """Ends the program where the graphs give different answers: there is nothing to compare then."""
    exact, got = (create_session(content).run(None, feed) for content in (ours, theirs))
    for mine, other in zip(exact, got, strict=True):
        if mine.shape != other.shape or np.abs(mine - other).max() > TOLERANCE:
            raise SystemExit("the two graphs give different answers: nothing to compare")


def measurements(subjects: tuple[Subject, ...], seconds: float, rounds: int) -> Iterator[dict[str, Any]]:
    """One record for each subject and shape."""
    processes = OwnProcesses()
    for subject in subjects:
        graph = torch_graph(subject)
        ours = export_torch_graph(graph).SerializeToString()
        theirs = in_a_fresh_process(subject)
        for batch, sequence in SHAPES[subject.graph]:
            feed = feed_of(graph, batch, sequence)
            check_agreement(ours, theirs, feed)
            calls = contenders(ours, theirs, graph.tensors, feed)
            plan = warm_up([*calls.values()], SystemClock(), seconds)
            timed = measure_in_turns([*calls.values()], SystemClock(), plan)
            users = processes.measure(works(ours, theirs, graph.tensors, feed), rounds)
            yield {
                "subject": subject.name,
                "batch": batch,
                "sequence": sequence,
                "nodes": {"ours": node_count(ours), "torch": node_count(theirs)},
                **figures({n: m.block_medians_ns for n, m in zip(calls, timed, strict=True)} | users),
                "required": AHEAD if (batch, sequence) in ((1, 20), (1, 1)) else ONCE,
            }
    processes.close()


def works(ours: bytes, theirs: bytes, tensors: GraphSignature, feed: dict[str, np.ndarray]) -> list[Work]:
    """What users of either exporter get; of a stream also with its state kept in place, of many windows in bulk."""
    ways = ["ours_predictor", "ours_live"] if tensors.states else ["ours_predictor"]
    ways += ["ours_bulk"] if len(feed["x"]) > 1 else []
    return [Work("torch_default", theirs, tensors, feed), *(Work(way, ours, tensors, feed) for way in ways)]


def contenders(
    ours: bytes, theirs: bytes, tensors: GraphSignature, feed: dict[str, np.ndarray]
) -> dict[str, Callable[[], object]]:
    sessions = {"ours": create_session(ours), "torch": create_session(theirs)}
    calls: dict[str, Callable[[], object]] = {
        name: partial(session.run, None, feed) for name, session in sessions.items()
    }
    calls |= {f"{name}_bound": bound(session, feed) for name, session in sessions.items()}
    try:
        calls["torch_bound"]()
    except RuntimeError:  # a graph that names its example's length as that of an output runs, but cannot be bound
        del calls["torch_bound"]
    return calls | {"ours_guarded": call_of(works(ours, theirs, tensors, feed)[2 if tensors.states else 1])}


def bound(session: Session, feed: dict[str, np.ndarray]) -> Callable[[], object]:
    """A call that copies new readings into a bound buffer; states and answers stay in theirs, as two in turns do."""
    binding = session.io_binding()
    buffers = {name: array.copy() for name, array in feed.items()}
    answers = session.run(None, feed)
    for name, array in buffers.items():
        binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    for output, array in zip(session.get_outputs(), answers, strict=True):
        binding.bind_output(output.name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def call() -> object:
        np.copyto(buffers["x"], feed["x"])
        session.run_with_iobinding(binding)
        return answers

    return call


RATIOS = {
    "ratio": ("torch", "ours"),
    "ratio_ours_bound": ("torch", "ours_bound"),
    "ratio_both_bound": ("torch_bound", "ours_bound"),
    "ratio_product": ("torch_default", "ours_predictor"),
    "ratio_product_live": ("torch_default", "ours_live"),
    "ratio_product_bulk": ("torch_default", "ours_bulk"),
}
"""How many times as fast the second is. `ratio` compares the graphs alone, `ratio_product` what users get."""


def figures(blocks: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Ratios, the guards' cost beside bound buffers, medians, and the raw block medians that they come from."""
    known = {name: pair for name, pair in RATIOS.items() if set(pair) <= set(blocks)}
    guards = np.median(np.subtract(blocks["ours_guarded"], blocks["ours_bound"])) / 1000
    return {
        **{name: round(median_ratio(blocks[theirs], blocks[ours]), 3) for name, (theirs, ours) in known.items()},
        "guards_us": round(float(guards), 2),
        "p50_us": {name: round(float(np.median(values)) / 1000, 2) for name, values in blocks.items()},
        "block_medians_ns": {name: [round(value) for value in values] for name, values in blocks.items()},
    }


def node_count(graph: bytes) -> int:
    return len(onnx.load_from_string(graph).graph.node)


def line(record: dict[str, Any]) -> str:
    told = "  ".join(f"{name.removeprefix('ratio_')} {record[name]:.2f}" for name in RATIOS if name in record)
    return (
        f"{record['subject']:30} {record['batch']:3} x {record['sequence']:2}  {told}"
        f"  guards {record['guards_us']:.1f} us  (required {record['required']})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=25, help="of the processes, for each measurement (default 25)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    options = parser.parse_args()
    records = []
    for record in measurements(SUBJECTS, options.seconds, options.rounds):
        print(line(record), flush=True)
        records.append(record)
    if options.json is not None:
        report = {
            "environment": environment(),
            "seconds": options.seconds,
            "rounds": options.rounds,
            "measurements": records,
        }
        write_text(options.json, json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
