"""`lstm-edge parity`: torch against onnxruntime."""

from pathlib import Path

import click

from toolkit.cli.console import json_option, require_extra, say, write_report


@click.command(short_help="Compare a bundle's graphs with torch, in every shape.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="A few shapes instead of the whole grid.")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME",
    help="Execution provider; repeatable; default: all that run.",
)
@click.option("--module", metavar="PACKAGE.MODULE:FACTORY", help="What built a bundle of somebody's own module.")
@json_option
def parity(bundle: Path, *, quick: bool, providers: tuple[str, ...], module: str | None, json_file: str | None) -> None:
    """Compare the graphs of BUNDLE with the torch module whose weights lie in it.

    The truth is the module in float64; onnxruntime must be as near to it as torch's float32 is, within a factor of 4.
    Exit status 1 where a case fails.

    Example: lstm-edge parity exported/pump-station
    """
    require_extra("train", "parity")
    from toolkit.cli.tables import parity_table
    from toolkit.export.foreign import load_module, users_code
    from toolkit.parity.bundle import check_bundle, grid_of, raise_if_failed
    from toolkit.runtime.bundle import load_bundle
    from toolkit.runtime.golden import check_golden
    from toolkit.runtime.provider_choice import running_providers

    loaded = load_bundle(bundle)
    with users_code():
        own = None if module is None else load_module(module)
        report = check_bundle(loaded, grid_of(loaded, quick=quick), running_providers(providers), module=own)
    say(parity_table(report), json_file)
    write_report(report, json_file)
    raise_if_failed(report)
    check_golden(loaded)
    say("Golden answers: equal on this machine, within their tolerances", json_file)
