"""`lstm-edge export`: a run or a module in, a bundle that proves itself out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.console import json_option, quiet_option, require_extra, say, tell, write_report
from toolkit.cli.data_options import reading_settings
from toolkit.cli.text_table import wrapped
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.release import BuiltBundle, Material, Options

FOREIGN = {
    "weights": "--weights",
    "inputs": "--input",
    "outputs": "--output",
    "states": "--state",
    "signal": "--signal",
    "data": "--data",
    "timestamp": "--timestamp",
    "asset": "--asset",
    "settings": "--set",
    "window": "--window",
}
"""Options that go with `--module` alone, by the names of their arguments."""


@click.command(short_help="Export a run, or any module, to a verified ONNX bundle.")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--module", metavar="PACKAGE.MODULE:FACTORY", help="In place of RUN: a function that returns an nn.Module."
)
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Its weights: .safetensors or .pt.")
@click.option("--input", "inputs", multiple=True, metavar="SPEC", help='"x: float32[batch, sequence, 9]"; repeatable.')
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="Name of an output; repeatable.")
@click.option("--state", "states", multiple=True, metavar="INPUT=OUTPUT", help="A state that is fed back; repeatable.")
@click.option(
    "--signal", type=click.Path(path_type=Path), metavar="FILE", help="Channels, units, interval: for a gateway."
)
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="Held-out readings, to check and measure on."
)
@click.option("--timestamp", metavar="COLUMN", help="The time column of --data.")
@click.option("--asset", metavar="COLUMN", help="The column of --data that tells machines apart.")
@click.option("--set", "settings", metavar="data.KEY=VALUE", multiple=True, help="How --data is read; repeatable.")
@click.option("--window", type=int, metavar="N", help="Samples of an ordinary input; default 60.")
@click.option("--out", type=click.Path(path_type=Path), help="Bundle folder to write; default exported/NAME.")
@click.option(
    "--layout",
    type=click.Choice(["batch-major", "time-major"]),
    default="batch-major",
    show_default=True,
    help="Order of the first two axes of a run's input x.",
)
@click.option("--opset", type=int, default=18, show_default=True, help="Of the graphs; older gateways need older ones.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "auto"]),
    default="fp32",
    show_default=True,
    help="auto keeps what is faster here and stays accurate.",
)
@click.option("--max-accuracy-loss", type=float, default=0.01, show_default=True, help="As a part of fp32's error.")
@click.option("--with", "servers", type=click.Choice(["triton", "ort"]), multiple=True, help="Also for; repeatable.")
@click.option("--without-weights", is_flag=True, help="Leave torch's weights out of the bundle.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@json_option
@quiet_option
def export(
    run: Path | None, *, module: str | None, out: Path | None, layout: str, json_file: str | None, **options: Any
) -> None:
    """Export the trained model in the run folder RUN, or any module, to a bundle of ONNX graphs.

    No bundle is left behind unless its graphs keep the graph contract and equal torch on every case of the parity
    check. --json writes the parity report.

    \b
    Example: lstm-edge export runs/plant --out exported/plant --precision auto
    Or: lstm-edge export --module mypackage.nets:make --weights net.safetensors
            --input "x: float32[batch, sequence, 9]" --output forecast
    """  # noqa: D301 (click's mark for lines that are not to be joined)
    require_extra("train", "export")
    from toolkit.cli.parity_tables import parity_line
    from toolkit.cli.tables import limit_lines, precision_lines

    foreign = {name: options.pop(name) for name in FOREIGN}
    _check_source(run, module, foreign, layout)
    how = _how(options)
    if module is not None:
        built = _of_module(module, out, foreign, how)
    else:
        assert run is not None  # one of the two was given
        built = _of_run(run, out, layout, how)
    say(wrapped(parity_line(built.parity)), json_file)
    for line in (*built.parity.notes, *limit_lines(built.manifest), *precision_lines(built.manifest)):
        say(wrapped(line), json_file)
    follow = "benchmark" if built.manifest.model is not None else "inspect"
    say(f"Bundle: {built.folder}\nNext: lstm-edge {follow} {built.folder}", json_file)
    write_report(built.parity, json_file)


def _check_source(run: Path | None, module: str | None, foreign: dict[str, Any], layout: str) -> None:
    if (run is None) == (module is None):
        got = "neither" if run is None else "both"
        raise ConfigError("what is to be exported", got=got, allowed="a run folder, or --module PACKAGE.MODULE:FACTORY")
    stray = next((name for name, value in foreign.items() if value not in (None, ())), None)
    if module is None and stray is not None:
        raise ConfigError(f"{FOREIGN[stray]} goes with --module", fix="leave it out for a run")
    if module is not None and not foreign["inputs"]:
        raise ConfigError("--module needs --input", fix='--input "x: float32[batch, sequence, 9]"')
    if module is not None and layout != "batch-major":
        raise ConfigError("--layout goes with a run", fix="write the axes of a module in their order in --input")
    _check_data(foreign)


def _check_data(foreign: dict[str, Any]) -> None:
    needed = {"timestamp": "it names the column of time", "signal": "it says which columns are the module's channels"}
    for name, reason in needed.items():
        if foreign["data"] is not None and not foreign[name]:
            raise ConfigError(f"--data needs --{name}", fix=reason)
    for name in ("timestamp", "asset", "settings"):
        if foreign["data"] is None and foreign[name] not in (None, ()):
            raise ConfigError(f"{FOREIGN[name]} goes with --data", fix="add --data FILE, or leave it out")


def _how(options: dict[str, Any]) -> "Options":
    from toolkit.release import Options

    if not 0.0 <= options["max_accuracy_loss"] < float("inf"):
        raise ConfigError("--max-accuracy-loss", got=options["max_accuracy_loss"], allowed="0 or more")
    return Options(
        weights=not options.pop("without_weights"),
        servers=tuple(dict.fromkeys(options.pop("servers"))),
        on_stage=lambda name, seconds: tell(f"{name:<14}{seconds:6.1f} s"),
        **options,
    )


def _of_run(run: Path, out: Path | None, layout: str, how: "Options") -> "BuiltBundle":
    from toolkit.release import build_bundle
    from toolkit.training import load_run

    place = out or Path("exported") / run.absolute().name
    return build_bundle(load_run(run), place, how, layout="time-major" if layout == "time-major" else "batch-major")


def _of_module(module: str, out: Path | None, foreign: dict[str, Any], how: "Options") -> "BuiltBundle":
    from toolkit.export.foreign import split_reference, users_code
    from toolkit.release import build_material

    place = out or Path("exported") / split_reference(module)[1]
    if how.precision == "auto" and foreign["data"] is None:
        raise ConfigError(
            "--precision auto needs --data for a module: an error is measured on held-out readings",
            fix="add --data FILE --timestamp COLUMN --signal FILE, or ask for one precision",
        )
    with users_code():
        return build_material(lambda: _foreign(module, foreign), place, how)


def _foreign(reference: str, given: dict[str, Any]) -> "Material":
    from toolkit.contract.model_spec import LARGEST
    from toolkit.export.foreign import load_module
    from toolkit.export.input_spec import parse_states, parse_tensor
    from toolkit.release.held_out import read_readings
    from toolkit.release.material import material_of_module
    from toolkit.release.signal_file import read_signal

    window = 60 if given["window"] is None else given["window"]
    if not 1 <= window <= LARGEST:
        raise ConfigError("--window", got=window, allowed=f"1 or more, at most {LARGEST}")
    inputs = [parse_tensor(text) for text in given["inputs"]]
    states = parse_states(given["states"], inputs)
    signal = None if given["signal"] is None else read_signal(given["signal"])
    readings = None
    if given["data"] is not None and signal is not None:
        reading = reading_settings(given["settings"])
        readings = read_readings(given["data"], given["timestamp"], signal, given["asset"], reading)
    return material_of_module(
        load_module(reference, given["weights"]),
        inputs,
        given["outputs"],
        states,
        signal=signal,
        readings=readings,
        window_length=window,
        made_from=reference,
    )
