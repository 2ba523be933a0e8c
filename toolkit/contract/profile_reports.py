"""What `benchmark --profile` writes with `--json`: where the time of one call goes.

Keys are added to, never renamed; the schema's number rises when a meaning changes. Times are microseconds of one call,
medians. A share is of `predict_us`, so that the shares of Python, onnxruntime's overhead and kernels add up to 1.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GateWork:
    """What one gate of a recurrent layer has to compute in a call, both directions together.

    onnxruntime times a layer as a whole. The layer's time is shared among the gates and their parts by their work, each
    part at the rate that this machine was measured to reach for such products.

    Attributes:
        gate: `input`, `output`, `forget`, `cell` of an LSTM; `update`, `reset`, `hidden` of a GRU; `hidden` of an RNN.
        input_flops: additions and multiplications of the product of weights and inputs.
        recurrent_flops: of the product of weights and the state before.
        elementwise_flops: of sums, activations and the gate's part in the new state.
        input_us: share of the layer's time.
        recurrent_us: share of the layer's time.
        elementwise_us: share of the layer's time.
    """

    gate: str
    input_flops: int
    recurrent_flops: int
    elementwise_flops: int
    input_us: float
    recurrent_us: float
    elementwise_us: float

    @property
    def time_us(self) -> float:
        """All of the gate."""
        return self.input_us + self.recurrent_us + self.elementwise_us


@dataclass(frozen=True)
class LayerWork:
    """One recurrent operator.

    Attributes:
        layer: its number in the graph, from 1.
        node: its name in the graph.
        operator: `LSTM`, `GRU`, `RNN` or `DynamicQuantizeLSTM`.
        directions: 2 where the sequence is read both ways.
        steps: samples in the call.
        batch: series in the call.
        input_size: numbers in a sample, as the layer sees it.
        hidden_size: units.
        weight_bytes: of both matrices, as they are stored.
        time_us: of the operator.
        share: of the call.
        gates: the work, by gate.
    """

    layer: int
    node: str
    operator: str
    directions: int
    steps: int
    batch: int
    input_size: int
    hidden_size: int
    weight_bytes: int
    time_us: float
    share: float
    gates: tuple[GateWork, ...]


@dataclass(frozen=True)
class NodeTime:
    """One node of the graph as onnxruntime runs it, fused and renamed by its optimisation.

    Attributes:
        node: its name.
        operator: its type.
        provider: that ran it.
        runs: in a call; more than 1 within a loop.
        layer: number of the recurrent layer, None of another operator.
        flops: of its matrix products; 0 where it has none or where they are not counted.
        recorded_us: in onnxruntime's own profile, which makes each node slower.
        time_us: with that taken out.
        share: of the call.
    """

    node: str
    operator: str
    provider: str
    runs: int
    layer: int | None
    flops: int
    recorded_us: float
    time_us: float
    share: float


@dataclass(frozen=True)
class OperatorTime:
    """All nodes of one operator: how many, and their `time_us` and `share` together."""

    operator: str
    nodes: int
    time_us: float
    share: float


@dataclass(frozen=True)
class MachinePeak:
    """The best block of a matrix product on one core, its weights warm in the cache.

    Attributes:
        columns: 1 is the matrix-vector product of a single series; more is a product whose weights are read once for
            several samples or series.
        rows: of the weights with which the peak was reached.
        inner: their columns.
        gflops: 1e9 additions and multiplications per second.
        gb_per_s: 1e9 bytes of float32 weights per second.
        cores_used: processor time over wall time; 1 says that numpy's BLAS ran on one thread.
    """

    columns: int
    rows: int
    inner: int
    gflops: float
    gb_per_s: float
    cores_used: float


@dataclass(frozen=True)
class Profile:
    """Where the time of one call goes, and how far it is from what the machine could do.

    Attributes:
        bundle: its name.
        graph: `windowed` or `streaming`.
        precision: of the weights.
        batch: series in a call.
        sequence: samples in a call.
        calls: plain calls that were timed.
        profiled_calls: calls with onnxruntime's profiler on.
        predict_us: the predictor's own call, as a user makes it.
        bound_us: `run` on bound buffers alone, without guards and copies.
        profiled_us: that with the profiler on: what profiling costs.
        empty_us: `run` on bound buffers of a graph of as many nodes that do nothing.
        python_us: guards, copies and Python: `predict_us` less `bound_us`.
        overhead_us: onnxruntime's way to its kernels and back: `empty_us`.
        kernels_us: `bound_us` less `overhead_us`; the nodes' times add up to it.
        recorded_us: sum of the kernels in the profile, inflation included.
        inflation_us: what profiling adds to a kernel's record on average, measured on nodes that do nothing.
        scale: `kernels_us` over what the profile says of the kernels after the inflation was taken from each.
        flops: of the matrix products of a call.
        weight_bytes: of the matrices of these products in float32.
        floor_us: the time of these products at the measured peaks; None where there is no product.
        distance: `predict_us` over `floor_us`.
        variation: standard deviation over mean of the rounds' medians of `bound_us`.
        python_share: of `predict_us`.
        overhead_share: of `predict_us`.
        kernels_share: of `predict_us`.
        floor_share: of `predict_us`: arithmetic at its best.
        operators: the slowest first.
        nodes: in the order in which they run.
        layers: recurrent ones, in their order.
        peaks: by columns.
        notes: what has to be known to read the figures.
        environment: machine and versions.
    """

    bundle: str
    graph: str
    precision: str
    batch: int
    sequence: int
    calls: int
    profiled_calls: int
    predict_us: float
    bound_us: float
    profiled_us: float
    empty_us: float
    python_us: float
    overhead_us: float
    kernels_us: float
    recorded_us: float
    inflation_us: float
    scale: float
    flops: int
    weight_bytes: int
    floor_us: float | None
    distance: float | None
    variation: float
    python_share: float
    overhead_share: float
    kernels_share: float
    floor_share: float | None
    operators: tuple[OperatorTime, ...]
    nodes: tuple[NodeTime, ...]
    layers: tuple[LayerWork, ...]
    peaks: tuple[MachinePeak, ...]
    notes: tuple[str, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    schema: str = "profile/1"
