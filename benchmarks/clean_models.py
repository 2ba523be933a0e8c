"""False alarms: clean models drawn at random go through the gate and parity, and none of them may be refused.

    python benchmarks/clean_models.py --count 100 --json benchmarks/results/clean-models.json

Half of them are the toolkit's own, of every shape it has, some trained a little; half are what others might write. A
model is drawn from its number alone, so that one which raises an alarm can be looked at by itself: `--first 37
--count 1`.
"""

# ruff: noqa: D102 # `forward` is told by the docstring of its class

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.contract.graph_io import TensorSpec
from toolkit.contract.parity_reports import ParityReport
from toolkit.errors import ToolkitError
from toolkit.export.foreign_graph import foreign_graph
from toolkit.export.graphs import example_sizes, export_torch_graph
from toolkit.export.lint import check_graph, check_same
from toolkit.export.turns import probed
from toolkit.model import MultivariateLSTM
from toolkit.model.torch_graph import TorchGraph, TorchGraphs, torch_graphs
from toolkit.parity import ParityGrid, check_parity
from toolkit.parity.grid import standard_grid
from toolkit.runtime.environment import environment

GRID = ParityGrid((1, 2, 7), (1, 2, 13, 40), (5, 0), hard=((2, 3), (3, 13)))
"""A few shapes, for the tests; the record rests on the grid that a bundle's verdict rests on, around this window."""
WINDOW = 20

PRESSURE = (101_325.0, 50.0)
STEPS = 100
"""Of Adam, for a model that is trained a little: trained weights amplify rounding more than fresh ones do."""


@dataclass(frozen=True)
class Model:
    """A clean model.

    Attributes:
        what: it is, in a few words.
        graphs: its torch side.
        samples: readings to check it on, float32 `[stretches, samples, channels]`, or None for made-up ones.
    """

    what: str
    graphs: TorchGraphs
    samples: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one model: `alarm` is the refusal, or "".

    `share` is the largest part of a tolerance that a case used.
    """

    number: int
    what: str
    alarm: str
    share: float
    cases: int


def judge(model: Model, grid: ParityGrid = GRID, number: int = 0) -> Outcome:
    """Exports each graph twice, lints it and compares it with torch, as a bundle is built."""
    share, cases, alarm = 0.0, 0, ""
    try:
        for graph in model.graphs.values():
            report = _report(graph, grid, model.samples)
            cases += len(report.cases)
            share = max(share, *(case.ort_error / case.tolerance for case in report.cases))
            failed = [case for case in report.cases if not case.passed]
            alarm = alarm or (f"parity fails at {failed[0]}: {report.parting}" if failed else "")
            lost = [check for check in report.weights if not check.passed]
            alarm = alarm or (f"weights: {lost[0]}" if lost else "")
    except ToolkitError as error:
        alarm = str(error)
    return Outcome(number, model.what, alarm, share, cases)


def _report(graph: TorchGraph, grid: ParityGrid, samples: NDArray[np.float32] | None) -> ParityReport:
    first, second = (export_torch_graph(graph, sizes=example_sizes(graph, which)) for which in (0, 1))
    check_graph(first, graph.tensors, graph.name)
    check_same(first, second, graph.name)
    return check_parity({graph.name: graph}, {graph.name: first.SerializeToString()}, grid, samples)


def draw(number: int, steps: int = STEPS) -> Model:
    """The clean model of that number; `steps` are those of training where it is trained."""
    torch.manual_seed(number)
    random = np.random.default_rng([3, number])
    return _own(random, steps) if number % 2 == 0 else _foreign(random, number // 2)


def _own(random: np.random.Generator, steps: int) -> Model:
    channels, targets = int(random.integers(1, 10)), 0
    options = {
        "cell": str(random.choice(["lstm", "gru"])),
        "bidirectional": bool(random.random() < 0.25),
        "bias": bool(random.random() < 0.8),
        "head": str(random.choice(["last", "every"])),
        "batch_first": bool(random.random() < 0.5),
        "dropout": float(random.choice([0.0, 0.2])),
    }
    if random.random() < 0.25:
        options["classes"] = int(random.integers(2, 6))
    else:
        targets = int(random.integers(1, channels + 1))
        options |= {"horizon": int(random.integers(1, 13)), "targets": targets}
    sizes = (channels, int(random.integers(2, 49)), int(random.integers(1, 5)))  # hidden_size, num_layers
    model = MultivariateLSTM(*sizes, **options)  # type: ignore[arg-type] # drawn by name
    mean, std = _scaling(random, channels)
    model.set_scaling(mean, std, [int(place) for place in random.permutation(channels)[:targets]])
    trained = bool(targets) and random.random() < 0.4
    samples = _train(model, mean, std, random, steps) if trained else None
    what = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    return Model(f"{'trained ' if trained else ''}own {sizes}: {what}", torch_graphs(model.eval()), samples)


def _scaling(random: np.random.Generator, channels: int) -> tuple[Tensor, Tensor]:
    """Means of any sign over six decades, deviations over five; one channel in three is an air pressure in Pa."""
    mean = random.normal(size=channels) * 10.0 ** random.uniform(-2, 4, channels)
    std = 10.0 ** random.uniform(-3, 2, channels)
    # No float32 reading can carry a deviation that is finer than its own steps.
    std = np.maximum(std, np.abs(mean) * 1e-5)
    pressure = random.random(channels) < 1 / 3
    mean[pressure], std[pressure] = PRESSURE
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def _train(
    model: MultivariateLSTM, mean: Tensor, std: Tensor, random: np.random.Generator, steps: int
) -> NDArray[np.float32]:
    """Some steps on noisy sines; what comes back are readings of the same kind."""
    channels, (horizon, targets) = len(mean), model.answer_axes
    period = random.uniform(8, 40, channels)
    phase = random.uniform(0, 2 * math.pi, (24, 1, channels))
    time_axis = np.arange(160)[None, :, None]
    waves = math.sqrt(2) * np.sin(2 * math.pi * time_axis / period + phase)
    waves += 0.1 * random.normal(size=waves.shape)
    readings = (torch.tensor(waves) * std + mean).float()  # [24, 160, channels]
    wanted = torch.tensor(waves[..., :targets]).float()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        start = int(random.integers(0, 120))
        x = readings[:16, start : start + WINDOW]
        answer = model.last_standardised(x if model.batch_first else x.transpose(0, 1))
        loss = (answer - wanted[:16, start + WINDOW : start + WINDOW + horizon]).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return readings[16:].numpy()


# Modules that somebody else might write. Each is called with x [batch, sequence, channels] unless it says otherwise.


class Embedded(nn.Module):
    """A linear layer in front, the last step behind."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU())
        self.lstm = nn.LSTM(hidden, hidden, 2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.lstm(self.front(x))[0][:, -1])
        return answer


class Convolved(nn.Module):
    """A convolution over time that keeps the length."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, hidden, 3, padding=1)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.convolution(x.transpose(1, 2))).transpose(1, 2)
        answer: Tensor = self.head(self.lstm(inner)[0])
        return answer


class Residual(nn.Module):
    """Separate layers, each added to what it was given."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.front = nn.Linear(channels, hidden)
        self.layers = nn.ModuleList(nn.LSTM(hidden, hidden, batch_first=True) for _ in range(3))
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        for layer in self.layers:
            x = x + layer(x)[0]
        answer: Tensor = self.head(self.norm(x)[:, -1])
        return answer


class Attentive(nn.Module):
    """Attention pooling over time."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, hidden, 2, batch_first=True)
        self.score, self.head = nn.Linear(hidden, 1), nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.gru(x)
        weights = torch.softmax(self.score(steps), dim=1)  # [batch, sequence, 1]
        answer: Tensor = self.head((weights * steps).sum(1))
        return answer


class SmoothHead(nn.Module):
    """Layer normalisation, a GELU head, time-major."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm, self.norm = nn.LSTM(channels, hidden, 2), nn.LayerNorm(hidden)
        self.head = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Dropout(0.2), nn.Linear(2 * hidden, 2))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.norm(self.lstm(x.transpose(0, 1))[0][-1]))
        return answer


class ZeroStates(nn.Module):
    """Zero states by hand, as tutorials have it."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.lstm = nn.LSTM(channels, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        h0, c0 = (torch.zeros(2, x.size(0), self.hidden) for _ in range(2))
        answer: Tensor = self.head(self.lstm(x, (h0, c0))[0][:, -1, :])
        return answer


class MeanPooled(nn.Module):
    """Both directions, the mean over time, probabilities."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.head(self.gru(x)[0].mean(1)), dim=-1)


class WithStatics(nn.Module):
    """Facts of each series beside its readings: x and static [batch, 4]."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.static = nn.Linear(4, hidden)
        self.head = nn.Linear(3 * hidden, 2)

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        _, (h, _) = self.lstm(x)
        answer: Tensor = self.head(torch.cat([h[0], h[1], torch.tanh(self.static(static))], dim=-1))
        return answer


class Seeded(nn.Module):
    """The first state computed from the facts of each series."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.start = nn.Linear(4, hidden)
        self.rnn = nn.RNN(channels, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        answer: Tensor = self.head(self.rnn(x, self.start(static).unsqueeze(0))[0])
        return answer


class StatefulLSTM(nn.Module):
    """States in and out, in a tuple as `nn.LSTM` has them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.front = nn.Linear(channels, hidden)
        self.lstm = nn.LSTM(hidden, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, 2)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        steps, last = self.lstm(torch.tanh(self.front(x)), state)
        return self.head(steps), last


class StatefulGRU(nn.Module):
    """One state in and out, and the answer in a dictionary."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(channels, hidden, 2, batch_first=True), nn.Linear(hidden, 1)

    def forward(self, x: Tensor, h0: Tensor) -> dict[str, Tensor]:
        steps, last = self.gru(x, h0)
        return {"y": self.head(steps), "hn": last}


STATIC = (TensorSpec("static", ("batch", 4)),)
ARCHITECTURES: tuple[tuple[type[nn.Module], tuple[TensorSpec, ...], dict[str, str]], ...] = (
    (Embedded, (), {}),
    (Convolved, (), {}),
    (Residual, (), {}),
    (Attentive, (), {}),
    (SmoothHead, (), {}),
    (ZeroStates, (), {}),
    (MeanPooled, (), {}),
    (WithStatics, STATIC, {}),
    (Seeded, STATIC, {}),
    (StatefulLSTM, (), {"h0": "hn", "c0": "cn"}),
    (StatefulGRU, (), {"h0": "hn"}),
)
"""Each with its further inputs and its states."""


def _foreign(random: np.random.Generator, number: int) -> Model:
    architecture, further, states = ARCHITECTURES[number % len(ARCHITECTURES)]
    channels, hidden = int(random.integers(1, 10)), int(random.integers(2, 49))
    inputs = [TensorSpec("x", ("batch", "sequence", channels)), *further]
    inputs += [TensorSpec(name, (2, "batch", hidden)) for name in states]
    make: Callable[[int, int], nn.Module] = architecture
    graph = probed(foreign_graph(make(channels, hidden), inputs, ("y", *states.values()), states))
    return Model(f"{architecture.__name__} of {channels} channels, {hidden} units", {graph.name: graph})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    start, outcomes = time.process_time(), []
    for number in range(options.first, options.first + options.count):
        outcomes.append(judge(draw(number), standard_grid(WINDOW), number))
        last = outcomes[-1]
        print(f"{number:4}  {last.share:6.1%}  {last.alarm or 'passed'}  {last.what}", flush=True)
    record = {
        "models": len(outcomes),
        "false_alarms": sum(bool(outcome.alarm) for outcome in outcomes),
        "cases": sum(outcome.cases for outcome in outcomes),
        "worst_share_of_tolerance": max(outcome.share for outcome in outcomes),
        "cpu_seconds": round(time.process_time() - start, 1),
        "environment": environment(),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    print(f"{record['false_alarms']} false alarms in {len(outcomes)} clean models, {record['cases']} cases;", end=" ")
    print(f"at most {record['worst_share_of_tolerance']:.0%} of a tolerance used")
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
