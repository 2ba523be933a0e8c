"""`lstm-edge benchmark`: latency of a bundle, beside torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit import atomic_files
from toolkit.cli.benchmark_options import benchmark_options, check_places, other_runtimes, profiled, work_of
from toolkit.cli.console import json_option, quiet_option, say, write_report

if TYPE_CHECKING:
    from toolkit.runtime.bundle import Bundle


@click.command(short_help="Measure a bundle's latency beside torch.")
@click.argument("bundle", type=click.Path(path_type=Path))
@benchmark_options
@json_option
@quiet_option
def benchmark(bundle: Path, json_file: str | None, **options: Any) -> None:
    """Measure the latency of BUNDLE's graphs on onnxruntime and of the torch module, in turns within one run.

    Ratios are what counts on a shared machine: milliseconds move, the ratio of two contenders that take turns does
    not. CUDA is measured where it runs; otherwise one line says why not. Scenarios: single (one request after
    another), bulk (--batch above 1), stream (steps), paced (requests at a rate, and the processor time that they
    cost), assets (how many fit on a core), cold (fresh processes, and their memory). Exit status 1 where a --budget
    is broken; it is judged on the windowed graph in single unless it names a scenario.

    \b
    Example: lstm-edge benchmark exported/pump-station --batch 1 --batch 256
    Or: lstm-edge benchmark exported/pump-station --budget p99_ms=2 --budget stream.p99_ms=0.1 --budget rss_mb=120
    """  # noqa: D301 (click's mark for lines that are not to be joined)
    from toolkit.runtime.bundle import load_bundle
    from toolkit.runtime.golden import check_golden

    check_places(options)
    loaded = load_bundle(bundle)
    work = None if options["profile"] else work_of(loaded, options)
    check_golden(loaded)  # the time of a graph that answers otherwise says nothing
    if work is None:
        _profile(loaded, options, json_file)
        return
    from toolkit.benchmark.budget import judge, raise_if_broken
    from toolkit.benchmark.run import run_benchmark, stages_of, write_samples
    from toolkit.cli.latency_tables import budget_lines, latency_table
    from toolkit.cli.work_progress import MeasuringProgress

    others, workers, absent = other_runtimes(loaded, work.plan, options["contenders"])
    notes = (*work.notes, *absent)
    with MeasuringProgress(len(stages_of(loaded, work.plan))) as progress:
        found = run_benchmark(loaded, work.plan, others, workers=workers, notes=notes, on_stage=progress.on_stage)
    judged = judge(found.report, work.budgets, loaded)
    say(latency_table(found.report) + budget_lines(judged), json_file)
    write_report(found.report, json_file)
    if options["samples"] is not None:
        write_samples(found, options["samples"])
    raise_if_broken(judged)


def _profile(bundle: "Bundle", options: dict[str, Any], json_file: str | None) -> None:
    from toolkit.cli.profile_picture import profile_svg
    from toolkit.cli.profile_tables import profile_table

    profile = profiled(bundle, options)
    say(profile_table(profile), json_file)
    write_report(profile, json_file)
    if options["picture"] is not None:
        atomic_files.write_text(options["picture"], profile_svg(profile))
