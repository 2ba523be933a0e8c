"""Divides the time of a call among Python, onnxruntime and the nodes, layers and gates of its graph.

onnxruntime's profiler makes every kernel's record longer than the kernel: it formats shapes while its clock runs, 2 to
4 us where the smallest kernels take 0.1. So the plain call rules, and the profile only says how it is divided:

- what onnxruntime needs besides kernels is measured without the profiler, on a graph of as many nodes that do nothing;
- the rest of the plain call is the kernels';
- it is shared among the nodes by their records, less what the profiler adds to the record of a node that does nothing,
  which depends on how many sizes of its tensors are written down.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolkit.benchmark.machine_peak import capped_columns
from toolkit.benchmark.profile_events import NodeRun
from toolkit.benchmark.profile_work import Recurrence
from toolkit.contract.profile_reports import GateWork, LayerWork, MachinePeak, NodeTime, OperatorTime

US = 1e3
"""Nanoseconds."""


@dataclass(frozen=True)
class CallTimes:
    """Medians of calls that took turns, in microseconds; named as in `Profile`."""

    predict_us: float
    bound_us: float
    profiled_us: float
    empty_us: float

    @property
    def python_us(self) -> float:
        """Never below 0, which noise alone could bring about."""
        return max(self.predict_us - self.bound_us, 0.0)

    @property
    def overhead_us(self) -> float:
        """No more than the whole call."""
        return min(self.empty_us, self.bound_us)

    @property
    def kernels_us(self) -> float:
        """What is left of the bound call."""
        return self.bound_us - self.overhead_us

    @property
    def whole_us(self) -> float:
        """What shares are of: the three parts together."""
        return self.python_us + self.bound_us


@dataclass(frozen=True)
class Inflation:
    """What profiling adds to the record of one kernel.

    Attributes:
        base_us: to any.
        per_figure_us: for each figure that it formats, see `figures`.
    """

    base_us: float
    per_figure_us: float

    def of(self, run: NodeRun) -> float:
        """In a call."""
        return run.runs * (self.base_us + self.per_figure_us * figures(run))


def figures(run: NodeRun) -> int:
    """What the profiler writes down of the shapes: each size, and one for each tensor's type."""
    return sum(len(shape) + 1 for shape in (*run.inputs, *run.outputs))


def inflation_of(short: Sequence[NodeRun], long: Sequence[NodeRun]) -> Inflation:
    """From the middle records of nodes that do nothing, with short shapes and with long ones.

    Args:
        short: with few figures each.
        long: the same nodes with more figures each.
    """
    if not short or not long:
        return Inflation(0.0, 0.0)
    low, high = (statistics.median(run.recorded_us for run in runs) for runs in (short, long))
    more = figures(long[0]) - figures(short[0])
    slope = max(high - low, 0.0) / more if more > 0 else 0.0
    return Inflation(low - slope * figures(short[0]), slope)


def corrected(runs: Iterable[NodeRun], inflation: Inflation) -> list[float]:
    """The records with the inflation of each run taken out, none below 0."""
    return [max(run.recorded_us - inflation.of(run), 0.0) for run in runs]


def node_times(
    runs: Sequence[NodeRun], times: CallTimes, inflation: Inflation, layers: Mapping[str, int], flops: Mapping[str, int]
) -> tuple[NodeTime, ...]:
    """Each node's part of the kernels' time.

    Args:
        runs: from the profile.
        times: of the calls.
        inflation: of their records.
        layers: numbers of the recurrent nodes.
        flops: of the nodes that have products.
    """
    weights = corrected(runs, inflation)
    if not sum(weights) > 0:
        weights = [float(run.runs) for run in runs]  # all of them vanish in the inflation: none is told from another
    unit = times.kernels_us / sum(weights) if sum(weights) > 0 else 0.0
    return tuple(
        NodeTime(
            node=run.name,
            operator=run.operator,
            provider=run.provider,
            runs=run.runs,
            layer=layers.get(run.name),
            flops=flops.get(run.name, 0),
            recorded_us=run.recorded_us,
            time_us=weight * unit,
            share=weight * unit / times.whole_us,
        )
        for run, weight in zip(runs, weights, strict=True)
    )


def operator_times(nodes: Iterable[NodeTime]) -> tuple[OperatorTime, ...]:
    """By operator, the slowest first."""
    groups: dict[str, list[NodeTime]] = {}
    for node in nodes:
        groups.setdefault(node.operator, []).append(node)
    sums = (
        OperatorTime(name, len(own), sum(node.time_us for node in own), sum(node.share for node in own))
        for name, own in groups.items()
    )
    return tuple(sorted(sums, key=lambda operator: -operator.time_us))


def layer_work(
    layers: Sequence[Recurrence], nodes: Sequence[NodeTime], peaks: Iterable[MachinePeak]
) -> tuple[LayerWork, ...]:
    """What each recurrent layer computes, and the parts of its time."""
    rates = {peak.columns: peak.gflops for peak in peaks}
    times = {node.layer: node for node in nodes if node.layer is not None}
    return tuple(
        LayerWork(
            layer=number,
            node=layer.run.name,
            operator=layer.run.operator,
            directions=layer.directions,
            steps=layer.steps,
            batch=layer.batch,
            input_size=layer.input_size,
            hidden_size=layer.hidden_size,
            weight_bytes=layer.weight_count * layer.number_bytes,
            time_us=times[number].time_us,
            share=times[number].share,
            gates=_gates(layer, times[number].time_us, rates),
        )
        for number, layer in enumerate(layers, start=1)
    )


def _gates(layer: Recurrence, time_us: float, rates: Mapping[int, float]) -> tuple[GateWork, ...]:
    """Every gate has the same part in both products; activations are charged at the rate of the recurrent one."""
    count = len(layer.gates)
    at_once, stepwise = (rates[capped_columns(part.columns)] for part in (layer.inputs, layer.recurrent))
    products = layer.inputs.flops // count, layer.recurrent.flops // count
    works = {gate: (*products, layer.elementwise_flops(gate)) for gate in layer.gates}
    charges = {gate: (a / at_once, b / stepwise, c / stepwise) for gate, (a, b, c) in works.items()}
    whole = sum(map(sum, charges.values()))
    unit = time_us / whole if whole > 0 else 0.0
    return tuple(GateWork(gate, *works[gate], *(charge * unit for charge in charges[gate])) for gate in layer.gates)
