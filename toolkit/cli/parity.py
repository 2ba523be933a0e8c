"""`lstm-edge parity`: torch against onnxruntime."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit import atomic_files
from toolkit.cli.console import json_option, quiet_option, require_extra, say, write_report
from toolkit.cli.output_places import check_output
from toolkit.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from toolkit.contract.parity_reports import ParityReport
    from toolkit.parity.grid import ParityGrid
    from toolkit.parity.verdict import Allowed
    from toolkit.runtime.bundle import Bundle

OF_A_FILE = {"weights": "--weights", "inputs": "--input", "states": "--state", "window": "--window"}
"""Options that go with `--onnx` alone, by the names of their arguments."""


@click.command(short_help="Compare a bundle, or any ONNX file, with torch in every shape.")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="A few shapes instead of the whole grid.")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME",
    help="Execution provider; repeatable; default: all that run.",
)
@click.option("--module", metavar="PACKAGE.MODULE:FACTORY", help="What builds the module of a file, or of a bundle.")
@click.option("--onnx", "file", type=click.Path(path_type=Path), metavar="FILE", help="In place of BUNDLE: any file.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="The module's: .safetensors or .pt.")
@click.option("--input", "inputs", multiple=True, metavar="SPEC", help="Of FILE, if it does not say so; repeatable.")
@click.option("--state", "states", multiple=True, metavar="INPUT=OUTPUT", help="A state that is fed back; repeatable.")
@click.option("--window", type=int, metavar="N", help="Samples of an ordinary input of FILE; default 60.")
@click.option("--batch", "batches", type=int, multiple=True, metavar="N", help="Series in a call; repeatable.")
@click.option("--sequence", "sequences", type=int, multiple=True, metavar="N", help="Samples of each; repeatable.")
@click.option(
    "--atol", type=float, metavar="X", help="Allow this much, in the answers' unit; default: by torch's error."
)
@click.option("--rtol", type=float, metavar="X", help="And this part of each number, as in numpy.allclose.")
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw where the error lies.")
@json_option
@quiet_option
def parity(bundle: Path | None, *, picture: Path | None, json_file: str | None, **options: Any) -> None:
    """Compare the graphs of BUNDLE with the torch module whose weights lie in it, or FILE with a module.

    The truth is the module in float64; onnxruntime must be as near to it as torch's float32 is, within a factor of 4.
    Exit status 1 where a case fails.

    \b
    Example: lstm-edge parity exported/pump-station
    Or: lstm-edge parity --onnx net.onnx --module nets:make --weights net.pt
    """  # noqa: D301 (click's mark for lines that are not to be joined)
    require_extra("train", "parity")
    from toolkit.cli.parity_picture import parity_picture
    from toolkit.cli.parity_tables import parity_table
    from toolkit.cli.work_progress import CountedProgress
    from toolkit.parity.told import raise_if_failed
    from toolkit.runtime.bundle import load_bundle
    from toolkit.runtime.golden import check_golden

    _check_source(bundle, options)
    if picture is not None:
        check_output(picture)
    loaded = None if bundle is None else load_bundle(bundle)
    with CountedProgress("comparing", "comparisons") as progress:
        options["on_case"] = progress.on_case
        report = _of_file(options) if loaded is None else _of_bundle(loaded, options)
    say(parity_table(report), json_file)
    write_report(report, json_file)
    if picture is not None:
        atomic_files.write_text(picture, parity_picture(report))
    raise_if_failed(report)
    if loaded is not None:
        check_golden(loaded)
        say("Golden answers: equal on this machine, within their tolerances", json_file)


def _check_source(bundle: Path | None, options: dict[str, Any]) -> None:
    if (bundle is None) == (options["file"] is None):
        got = "neither" if bundle is None else "both"
        raise ConfigError("what is to be compared", got=got, allowed="a bundle folder, or --onnx FILE")
    if bundle is None and options["module"] is None:
        raise ConfigError("--onnx needs --module", fix="--module package.module:factory builds what FILE was made from")
    stray = next((option for name, option in OF_A_FILE.items() if bundle is not None and options[name]), None)
    if stray is not None:
        raise ConfigError(f"{stray} goes with --onnx", fix="leave it out for a bundle, which says so itself")
    for option, sizes in (("--batch", options["batches"]), ("--sequence", options["sequences"])):
        if any(not 1 <= size <= 100_000 for size in sizes):
            raise ConfigError(option, got=", ".join(map(str, sizes)), allowed="1 to 100000")


def _of_bundle(bundle: "Bundle", options: dict[str, Any]) -> "ParityReport":
    from toolkit.export.foreign import load_module, users_code
    from toolkit.parity.bundle import check_bundle, grid_of, policies_of
    from toolkit.runtime.provider_choice import running_providers

    quick, module = options["quick"], options["module"]
    if module is None:
        _check_whole(bundle)
    policies = policies_of(running_providers(options["providers"]), quick=quick)
    with users_code():
        return check_bundle(
            bundle,
            _with_sizes(grid_of(bundle, quick=quick), options),
            policies,
            options["on_case"],
            module=None if module is None else load_module(module),
            allowed=_allowed(options),
            profiled=not quick,
        )


def _of_file(options: dict[str, Any]) -> "ParityReport":
    from toolkit.contract.graph_io import GraphSignature
    from toolkit.contract.model_spec import LARGEST
    from toolkit.export.foreign import load_module, users_code
    from toolkit.export.input_spec import parse_states, parse_tensor
    from toolkit.parity.bundle import policies_of
    from toolkit.parity.grid import quick_grid, standard_grid
    from toolkit.parity.own_file import OwnFile, check_file, file_inputs
    from toolkit.runtime.provider_choice import running_providers

    window = 60 if options["window"] is None else options["window"]
    if not 1 <= window <= LARGEST:
        raise ConfigError("--window", got=window, allowed=f"1 or more, at most {LARGEST}")
    inputs = tuple(parse_tensor(text) for text in options["inputs"]) or file_inputs(options["file"])
    file = OwnFile(options["file"], inputs, parse_states(options["states"], inputs), window)
    tensors = GraphSignature(inputs, (), dict(file.states))
    for option, axis in (("batches", tensors.batch_axis), ("sequences", tensors.sequence_axis)):
        if options[option] and axis is None:
            name = {"batches": "--batch", "sequences": "--sequence"}[option]
            raise ConfigError(name, got=options[option][0], allowed=f"none: {options['file']} has fixed that axis")
    grid = _with_sizes(quick_grid(window) if options["quick"] else standard_grid(window), options)
    policies = policies_of(running_providers(options["providers"]), quick=options["quick"])
    with users_code():
        module = load_module(options["module"], options["weights"])
        return check_file(module, file, grid, policies, allowed=_allowed(options), on_case=options["on_case"])


def _with_sizes(grid: "ParityGrid", options: dict[str, Any]) -> "ParityGrid":
    """The grid with the sizes that were asked for."""
    batches, sequences = options["batches"] or grid.batches, options["sequences"] or grid.sequences
    return dataclasses.replace(grid, batches=tuple(batches), sequences=tuple(sequences))


def _allowed(options: dict[str, Any]) -> "Allowed | None":
    from toolkit.parity.verdict import Allowed

    atol, rtol = options["atol"], options["rtol"]
    for option, value in (("--atol", atol), ("--rtol", rtol)):
        if value is not None and not 0.0 <= value < float("inf"):
            raise ConfigError(option, got=value, allowed="0 or more")
    return None if atol is None and rtol is None else Allowed(atol or 0.0, rtol or 0.0)


def _check_whole(bundle: "Bundle") -> None:
    """Of somebody's own module a bundle holds the weights and no code: the manifest knows what it was made from."""
    if bundle.manifest.model is None:
        known = str(bundle.manifest.provenance.get("module", ""))
        reference = known if ":" in known else "package.module:factory"
        raise BundleError(
            f"{bundle.folder} was made from a module of somebody's own, whose code is not in it",
            fix=f"lstm-edge parity {bundle.folder} --module {reference}, where that can be imported",
        )
