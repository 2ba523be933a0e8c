"""`lstm-edge parity`: torch against onnxruntime."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.cli.console import json_option, require_extra, say, write_report
from toolkit.errors import BundleError

if TYPE_CHECKING:
    from toolkit.runtime.bundle import Bundle


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
    from toolkit.parity.bundle import check_bundle, grid_of, policies_of, raise_if_failed
    from toolkit.runtime.bundle import load_bundle
    from toolkit.runtime.golden import check_golden
    from toolkit.runtime.provider_choice import running_providers

    loaded = load_bundle(bundle)
    if module is None:
        _check_whole(loaded)
    with users_code():
        own = None if module is None else load_module(module)
        policies = policies_of(running_providers(providers), quick=quick)
        report = check_bundle(loaded, grid_of(loaded, quick=quick), policies, module=own)
    say(parity_table(report), json_file)
    write_report(report, json_file)
    raise_if_failed(report)
    check_golden(loaded)
    say("Golden answers: equal on this machine, within their tolerances", json_file)


def _check_whole(bundle: "Bundle") -> None:
    """Of somebody's own module a bundle holds the weights and no code: the manifest knows what it was made from."""
    if bundle.manifest.model is None:
        known = str(bundle.manifest.provenance.get("module", ""))
        reference = known if ":" in known else "package.module:factory"
        raise BundleError(
            f"{bundle.folder} was made from a module of somebody's own, whose code is not in it",
            fix=f"lstm-edge parity {bundle.folder} --module {reference}, where that can be imported",
        )
