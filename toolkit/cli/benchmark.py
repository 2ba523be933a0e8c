"""`lstm-edge benchmark`: latency of a bundle, beside torch."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli.console import extra_is_installed, json_option, say, write_report


@click.command(short_help="Measure a bundle's latency beside torch.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--batch", "batches", type=int, multiple=True, default=(1, 64), show_default=True, help="Repeatable.")
@click.option("--sequence", "sequences", type=int, multiple=True, help="Repeatable; default: the model's window.")
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Repeatable; default: CPU and CUDA.")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads within one operator.")
@click.option("--seconds", type=float, default=2.0, show_default=True, help="For each scenario.")
@json_option
def benchmark(bundle: Path, json_file: str | None, **options: Any) -> None:
    """Measure the latency of BUNDLE's graphs on onnxruntime and of the torch module, in turns within one run.

    Ratios are what counts on a shared machine: milliseconds move, the ratio of two contenders that take turns does
    not. CUDA is measured where it runs; otherwise one line says why not.

    Example: lstm-edge benchmark exported/pump-station --batch 1 --batch 256
    """
    from toolkit.benchmark.bundle import BenchmarkPlan, benchmark_bundle
    from toolkit.cli.tables import latency_table
    from toolkit.runtime.bundle import load_bundle
    from toolkit.runtime.golden import check_golden
    from toolkit.runtime.provider_choice import cpu_and_cuda

    loaded = load_bundle(bundle)
    check_golden(loaded)  # the time of a graph that answers otherwise says nothing
    providers, notes = cpu_and_cuda(options.pop("providers"))
    plan = BenchmarkPlan(providers=providers, **options)
    if extra_is_installed("train"):
        from toolkit.parity.contender import benchmark_beside_torch

        report = benchmark_beside_torch(loaded, plan, notes)
    else:
        report = benchmark_bundle(loaded, plan, (), (*notes, "torch not measured: the extra [train] is not installed"))
    say(latency_table(report), json_file)
    write_report(report, json_file)
