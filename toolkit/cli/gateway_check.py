"""`lstm-edge gateway check`: whether this machine may run a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.cli.console import json_option, say, write_report
from toolkit.cli.gap_notes import gap_notes
from toolkit.cli.text_table import table, wrapped

if TYPE_CHECKING:
    from toolkit.contract.readiness_reports import GatewayPlan, GraphLatency, ReadinessReport, TrialResult

_DIRECTORY = click.Path(path_type=Path)


@click.command(short_help="Try a bundle on this machine: ready or not, and why.")
@click.argument("bundle", type=_DIRECTORY)
@click.option("--budget", "budgets", multiple=True, metavar="KEY=NUMBER", help="p50_ms, p99_ms, rss_mb, peak_rss_mb.")
@click.option("--session-file", type=_DIRECTORY, metavar="FILE", help="What 'lstm-edge tune-session' wrote.")
@json_option
def check(bundle: Path, budgets: tuple[str, ...], session_file: Path | None, json_file: str | None) -> None:
    """Try BUNDLE on this machine: its golden vectors, its speed, its memory, and what a gateway will do with it.

    The bundle runs in a process of its own with limits on memory and time: one that aborts, loops or takes 8 GB does no
    harm. No configuration is needed. Exit status 0 where it is ready, 1 where it is not, 2 where it is no sound bundle.

    Example: lstm-edge gateway check exported/pump-station --budget p99_ms=2 --budget rss_mb=120
    """
    from toolkit.edge.readiness import check_readiness, parse_budgets
    from toolkit.errors import CheckFailedError

    report = check_readiness(bundle, parse_budgets(budgets), session_file=session_file)
    say(readiness_sheet(report), json_file)
    write_report(report, json_file)
    if not report.ready:
        raise CheckFailedError(f"{bundle} is not ready: {'; '.join(report.reasons)}")


def readiness_sheet(report: "ReadinessReport") -> str:
    """What a person reads of it."""
    parts = [
        _golden(report.trial),
        _latency(report),
        _memory(report.trial),
        _plan(report.plan),
        _machine(report.environment),
        "ready" if report.ready else wrapped("not ready: " + "; ".join(report.reasons)),
    ]
    return "\n\n".join(filter(None, parts))


def _golden(trial: "TrialResult") -> str:
    """The worst of each graph's outputs."""
    worst: dict[tuple[str, str, str], tuple[float, str]] = {}
    for part in trial.golden:
        key, value = (part.graph, part.precision, part.output), float("inf") if part.worst is None else part.worst
        worst[key] = max(worst.get(key, (-1.0, "")), (value, part.case))
    rows = [
        [graph, precision, output, f"{value:.3g}", case, "yes" if value <= 1 else "NO"]
        for (graph, precision, output), (value, case) in worst.items()
    ]
    header = ["golden vectors", "precision", "output", "error / tolerance", "worst case", "within"]
    return table(header, rows, left=3) if rows else ""


def _latency(report: "ReadinessReport") -> str:
    budgets = {budget.name: budget for budget in report.budgets}
    runs = report.plan.graph if report.plan is not None else None

    def limit(one: "GraphLatency", key: str) -> str:
        return f" ({budgets[key].limit:g} allowed)" if key in budgets and one.graph == runs else ""

    rows = [
        [
            one.graph,
            f"{'a window' if one.graph == 'windowed' else 'a step'} of {one.samples}",
            str(one.calls),
            f"{one.p50_ms:.4g}{limit(one, 'p50_ms')}",
            f"{one.p99_ms:.4g}{limit(one, 'p99_ms')}",
        ]
        for one in report.trial.latency
    ]
    return table(["latency", "one call", "calls", "p50 ms", "p99 ms"], rows, left=2) if rows else ""


def _memory(trial: "TrialResult") -> str:
    sizes = {"resident": trial.rss_mb, "at most": trial.peak_rss_mb, "address space of the bundle": trial.memory_mb}
    known = [f"{size:.1f} MB {name}" for name, size in sizes.items() if size is not None]
    return wrapped(f"Memory: {', '.join(known)}; the trial took {trial.seconds:.2f} s") if known else ""


def _plan(plan: "GatewayPlan | None") -> str:
    if plan is None:
        return ""
    rows = [[one.name, one.unit or "(not stated)", ", ".join(one.features) or "as it comes"] for one in plan.columns]
    takes = "warms a state up with" if plan.graph == "streaming" else "reads"
    ahead = "" if plan.horizon is None else f", forecasts {plan.horizon} ahead"
    samples = f", at least {plan.min_samples} samples of each variable" if plan.sampling == "samples" else ""
    clock = f"; its calendar follows {plan.timezone}" if plan.timezone else ""
    targets = ", ".join(f"{name} {unit}".rstrip() for name, unit in plan.targets.items())
    lines = (
        f"A gateway runs the {plan.graph} graph ({plan.precision}): {takes} {plan.window_length} rows of "
        f"{plan.interval_s:g} s each ({plan.sampling}{samples}){ahead}{clock}.",
        f"Forecast: {targets or 'no target'}",
    )
    shown = [*map(wrapped, lines), table(["to be sent", "unit", "features"], rows, left=3)]
    return "\n".join([*shown, *(wrapped(f"Note: {note}") for note in gap_notes(plan.interpolated))])


def _machine(about: "dict[str, object]") -> str:
    packages = about.get("packages")
    named = ("lstm-edge-toolkit", "onnxruntime", "numpy")
    versions = [f"{name} {packages[name]}" for name in named if isinstance(packages, dict) and name in packages]
    return wrapped(f"{about.get('cpu')}, {about.get('system')}; Python {about.get('python')}, {', '.join(versions)}")
