"""The options of `benchmark`, and what they come to: a plan, budgets and contenders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from toolkit.cli.console import extra_is_installed
from toolkit.cli.output_places import check_output
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.benchmark.budget import Budget
    from toolkit.benchmark.bundle import OtherContender
    from toolkit.benchmark.plan import BenchmarkPlan, Tuned
    from toolkit.benchmark.worker_protocol import Worker
    from toolkit.contract.graph_io import GraphName
    from toolkit.contract.profile_reports import Profile
    from toolkit.runtime.bundle import Bundle

Command = TypeVar("Command", bound=Callable[..., Any])

SCENARIOS = ("single", "bulk", "stream", "paced", "assets", "cold", "all")
CONTENDERS = ("torch", "torchscript", "compile", "aotinductor", "openvino", "tract")

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--scenario",
        "scenarios",
        type=click.Choice(SCENARIOS),
        multiple=True,
        help="Repeatable; default: single, bulk, stream.",
    ),
    click.option("--batch", "batches", type=int, multiple=True, default=(1, 64), show_default=True, help="Repeatable."),
    click.option("--sequence", "sequences", type=int, multiple=True, help="Repeatable; default: the model's window."),
    click.option("--chunk", "chunks", type=int, multiple=True, default=(1,), help="Samples of a step; repeatable."),
    click.option("--rate", "rate_hz", type=float, default=50.0, show_default=True, help="Requests a second, in paced."),
    click.option("--runs", "cold_runs", type=int, default=7, show_default=True, help="Processes of each, in cold."),
    click.option("--provider", "providers", multiple=True, metavar="NAME", help="Repeatable; default: CPU and CUDA."),
    click.option(
        "--contender",
        "contenders",
        type=click.Choice(CONTENDERS),
        multiple=True,
        default=("torch",),
        help="Other runtimes; repeatable; default: torch.",
    ),
    click.option("--threads", type=int, default=1, show_default=True, help="Threads within one operator."),
    click.option("--seconds", type=float, default=2.0, show_default=True, help="For each scenario."),
    click.option(
        "--budget",
        "budgets",
        multiple=True,
        metavar="[SCENARIO.]KEY=N",
        help="Exit 1 where a figure is beyond it, such as p99_ms=2 or stream.p99_ms=0.1; repeatable.",
    ),
    click.option(
        "--samples", type=click.Path(path_type=Path), metavar="FILE.npz", help="Write the time of every call."
    ),
    click.option(
        "--session",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="What tune-session wrote; default: its own place.",
    ),
    click.option("--profile", is_flag=True, help="Instead: where the time of one call goes."),
    click.option("--graph", type=click.Choice(["windowed", "streaming"]), help="That is profiled; default: windowed."),
    click.option("--picture", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw the profile."),
)


@dataclass(frozen=True)
class Work:
    """What the options come to.

    Attributes:
        plan: what is measured.
        budgets: what is judged.
        notes: what is not measured and why.
    """

    plan: "BenchmarkPlan"
    budgets: tuple["Budget", ...]
    notes: tuple[str, ...]


def benchmark_options(command: Command) -> Command:
    """Adds the options; the functions below take what the command has in `**options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_places(options: Mapping[str, Any]) -> None:
    """Refuses files that could not be written, and options that do not go together, before any work is done.

    Raises:
        OutputError: a place that cannot be written.
        ConfigError: options of the profile without it, or the other way round.
    """
    profile = options["profile"]
    for name, of_profile in (("picture", True), ("graph", True), ("samples", False), ("budgets", False)):
        if options[name] and profile != of_profile:
            option = "--budget" if name == "budgets" else f"--{name}"
            fix = "leave one of them out" if profile else "add --profile"
            raise ConfigError(f"{option} goes {'without' if profile else 'with'} --profile", fix=fix)
    if profile:
        _check_profiled(options)
    for place in (options["samples"], options["picture"]):
        if place is not None:
            check_output(place)


def _check_profiled(options: Mapping[str, Any]) -> None:
    """A profile is of one session of the CPU with one thread: what asks for another must not be passed over."""
    plain = {"scenarios": (), "chunks": (1,), "providers": (), "contenders": ("torch",), "threads": 1, "session": None}
    for name, usual in plain.items():
        if options[name] != usual:
            raise ConfigError(
                f"--{name.removesuffix('s') if name != 'threads' else name} goes without --profile",
                fix="leave one of them out",
            )
    if options["graph"] == "streaming" and options["sequences"]:
        raise ConfigError("--sequence goes without --graph streaming", got="a profile of one step", fix="leave it out")


def work_of(bundle: "Bundle", options: Mapping[str, Any]) -> Work:
    """Plan, budgets and what providers are left out.

    Raises:
        ConfigError: an option beyond reason.
        RequestError: a provider that does not run; the message names those that do.
    """
    from toolkit.benchmark.budget import parse_budgets, plan_for
    from toolkit.benchmark.plan import BenchmarkPlan, every_scenario, requests_of
    from toolkit.runtime.provider_choice import cpu_and_cuda

    budgets = parse_budgets(options["budgets"])
    providers, notes = cpu_and_cuda(options["providers"])
    scenarios = options["scenarios"]
    if "all" in scenarios:
        scenarios = every_scenario(bundle, options["batches"])
    names = ("batches", "sequences", "chunks", "rate_hz", "cold_runs", "threads", "seconds")
    settings = {name: options[name] for name in names} | {"tuned": _tuned(bundle, options["session"])}
    plan = plan_for(bundle, BenchmarkPlan(providers=providers, scenarios=tuple(scenarios), **settings), budgets)
    requests_of(bundle, plan)
    return Work(plan, budgets, notes)


def _tuned(bundle: "Bundle", file: Path | None) -> "dict[GraphName, Tuned]":
    """What `tune-session` found for this machine, where it is another session than the default."""
    from toolkit.runtime.session import CPU, SessionPolicy
    from toolkit.runtime.session_file import session_policy, tuned_policies

    found = {graph: (session_policy(own), own.precision) for graph, own in tuned_policies(bundle, file).items()}
    plain = SessionPolicy(provider=CPU)
    return {
        graph: (policy, precision)
        for graph, (policy, precision) in found.items()
        if (policy, precision) != (plain, bundle.manifest.graph(graph).precision)
    }


def other_runtimes(
    bundle: "Bundle", plan: "BenchmarkPlan", names: Sequence[str]
) -> "tuple[tuple[OtherContender, ...], tuple[Worker, ...], tuple[str, ...]]":
    """Contenders within this process, those in one of their own, and which are not there and why."""
    wanted = tuple(dict.fromkeys(names))
    if not extra_is_installed("train"):
        from toolkit.benchmark.peers import PEERS, peer_contenders

        peers, notes = peer_contenders(bundle, [name for name in wanted if name in PEERS], plan.threads)
        of_torch = [name for name in wanted if name not in PEERS]
        absent = (f"{name} not measured: the extra [train] is not installed" for name in of_torch)
        return tuple(peers), (), (*absent, *notes)
    from toolkit.parity.contender import other_contenders
    from toolkit.parity.torch_worker import torch_worker_spec

    contenders, notes = other_contenders(bundle, wanted, plan.threads)
    needed = "torch" in wanted and (plan.includes("paced") or plan.includes("cold"))
    worker = torch_worker_spec(bundle.folder, plan.threads) if needed else None
    return tuple(contenders), () if worker is None else (worker,), tuple(notes)


def profiled(bundle: "Bundle", options: Mapping[str, Any]) -> "Profile":
    """The profile of one graph in its preferred precision, in the first of the sizes.

    Raises:
        ConfigError: sizes that the graph does not take.
        BundleError: no such graph.
    """
    from toolkit.benchmark.profile import profile_graph

    graph: GraphName = options["graph"] or ("windowed" if "windowed" in bundle.manifest.names else "streaming")
    sequence = options["sequences"][0] if options["sequences"] and graph == "windowed" else None
    return profile_graph(bundle, graph, batch=options["batches"][0], sequence=sequence, seconds=options["seconds"])
