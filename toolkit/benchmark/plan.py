"""What a benchmark measures: scenarios, sizes, providers, time; refused at once where it makes no sense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.contract.graph_entry import Precision
from toolkit.contract.graph_io import GraphName, SizeLimits
from toolkit.contract.model_spec import LARGEST
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import usable_cores
from toolkit.runtime.session import CPU, SessionPolicy

IN_TURNS = ("single", "bulk", "stream")
"""Scenarios whose contenders take turns within one process; measured where none is asked for."""
SCENARIOS = (*IN_TURNS, "paced", "assets", "cold")

LONGEST_S = 3600.0
"""For one scenario."""
FASTEST_HZ = 100_000.0
"""A request every 10 us: below what any contender needs for one."""
MOST_RUNS = 1000


Tuned = tuple[SessionPolicy, Precision]
"""How a graph is run."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """What to measure.

    Attributes:
        batches: series in a call.
        sequences: samples in a windowed call; empty means the model's window.
        providers: execution providers that really run.
        threads: within one operator.
        seconds: for each scenario, warm-up included.
        scenarios: of `SCENARIOS`. `single` is batch 1 and `bulk` every other; empty means `IN_TURNS` with the batches
            as they are.
        chunks: samples in a streaming call; one that the graph does not take is raised to the least that it does.
        rate_hz: requests per second in `paced`.
        asset_rates: ticks per second in `assets`.
        cold_runs: processes of each contender in `cold`.
        tuned: for a graph the policy and precision that `tune-session` found for this machine.
    """

    batches: tuple[int, ...] = (1, 64)
    sequences: tuple[int, ...] = ()
    providers: tuple[str, ...] = (CPU,)
    threads: int = 1
    seconds: float = 2.0
    scenarios: tuple[str, ...] = ()
    chunks: tuple[int, ...] = (1,)
    rate_hz: float = 50.0
    asset_rates: tuple[float, ...] = (1.0, 10.0, 100.0)
    cold_runs: int = 7
    tuned: Mapping[GraphName, Tuned] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = (("--batch", self.batches), ("--sequence", self.sequences), ("--chunk", self.chunks))
        for name, values in (*sizes, ("--threads", (self.threads,))):
            wrong = [value for value in values if not 1 <= value <= LARGEST]
            if wrong:
                raise ConfigError(name, got=wrong[0], allowed=f"1 or more, at most {LARGEST}")
        if self.threads > usable_cores():
            raise ConfigError("--threads", got=self.threads, allowed=f"1 to {usable_cores()}, this machine's cores")
        if not 0 < self.seconds <= LONGEST_S:
            raise ConfigError("--seconds", got=self.seconds, allowed=f"more than 0, up to {LONGEST_S}")
        for rate in (self.rate_hz, *self.asset_rates):
            if not 0 < rate <= FASTEST_HZ:
                raise ConfigError("--rate", got=rate, allowed=f"more than 0, up to {FASTEST_HZ:g} per second")
        if not 1 <= self.cold_runs <= MOST_RUNS:
            raise ConfigError("--runs", got=self.cold_runs, allowed=f"1 to {MOST_RUNS}")
        unknown = [name for name in self.scenarios if name not in SCENARIOS]
        if unknown:
            raise ConfigError("--scenario", got=unknown[0], allowed=", ".join(SCENARIOS))

    def includes(self, scenario: str) -> bool:
        """Whether it is measured."""
        return scenario in (self.scenarios or IN_TURNS)


@dataclass(frozen=True)
class Request:
    """One size of call: `batch` series of `sequence` samples of a graph."""

    scenario: str
    graph: GraphName
    batch: int
    sequence: int

    @property
    def name(self) -> str:
        """For people: scenario and size."""
        return f"{self.scenario} {self.batch} x {self.sequence}"


def requests_of(bundle: Bundle, plan: BenchmarkPlan) -> list[Request]:
    """What contenders within one process are asked, in the order of the bundle's graphs.

    Raises:
        ConfigError: a size that the graph does not take, or a scenario that nothing in the bundle or plan fits.
    """
    requests: list[Request] = []
    for name in bundle.manifest.names:
        entry = bundle.manifest.graph(name)
        batch_axis, sequence_axis = entry.signature.batch_axis, entry.signature.sequence_axis
        sequences = plan.sequences or (entry.limits.clipped(sequence_axis, bundle.manifest.window_length),)
        _check_sizes("--sequence", sequences, entry.limits, sequence_axis)
        _check_sizes("--batch", plan.batches, entry.limits, batch_axis)
        if name == "streaming":
            _check_sizes("--chunk", plan.chunks, SizeLimits(most=entry.limits.most), sequence_axis)
            least = entry.limits.at_least(sequence_axis)
            sequences = tuple(dict.fromkeys(max(chunk, least) for chunk in plan.chunks))
        lengths = sequences if sequence_axis is not None else (1,)
        batches = _batches(name, plan) if batch_axis is not None else (1,)
        requests += [Request(_scenario(name, batch), name, batch, length) for length in lengths for batch in batches]
    wanted = [request for request in requests if plan.includes(request.scenario)]
    _check_scenarios(bundle, plan, wanted)
    return wanted


def every_scenario(bundle: Bundle, batches: Sequence[int]) -> tuple[str, ...]:
    """Those that the bundle's graphs and the batches allow."""
    names = bundle.manifest.names
    absent = {
        "single": "windowed" not in names,
        "bulk": "windowed" not in names or max(batches, default=1) == 1,
        "stream": "streaming" not in names,
    }
    return tuple(scenario for scenario in SCENARIOS if not absent.get(scenario, False))


def _batches(graph: GraphName, plan: BenchmarkPlan) -> tuple[int, ...]:
    """`single` is asked for by its name: the batch that it means need not be given too."""
    needs_one = graph == "windowed" and "single" in plan.scenarios and 1 not in plan.batches
    return (1, *plan.batches) if needs_one else plan.batches


def _check_scenarios(bundle: Bundle, plan: BenchmarkPlan, wanted: Sequence[Request]) -> None:
    found = {request.scenario for request in wanted}
    for name in plan.scenarios:
        if name in IN_TURNS and name not in found:
            graph = "streaming" if name == "stream" else "windowed"
            if graph not in bundle.manifest.names:
                raise ConfigError(f"--scenario {name}", got=f"a bundle without a {graph} graph")
            raise ConfigError(f"--scenario {name}", got="batch 1 alone", allowed="a --batch above 1")


def _check_sizes(option: str, sizes: Sequence[int], limits: SizeLimits, axis: str | None) -> None:
    for size in sizes:
        if axis is not None and limits.clipped(axis, size) != size:
            most = f", at most {limits.most[axis]}" if axis in limits.most else ""
            raise ConfigError(option, got=size, allowed=f"{limits.at_least(axis)} or more{most} for this model")


def _scenario(graph: GraphName, batch: int) -> str:
    if graph == "streaming":
        return "stream"
    return "single" if batch == 1 else "bulk"
