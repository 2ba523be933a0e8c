"""`lstm-edge inspect`: what an ONNX file is, and what may be wrong with it."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.cli.console import json_option, say, write_report
from toolkit.cli.text_table import WIDTH

if TYPE_CHECKING:
    from toolkit.runtime.inspection import Inspection
    from toolkit.runtime.onnx_file import Value

LABEL = 14
MAX_ROWS = 51
"""Of one kind: any file can be inspected, one with a million inputs too."""


@click.command(short_help="What an ONNX file is, and what may be wrong with it.")
@click.argument("file", metavar="FILE.onnx|BUNDLE", type=click.Path(path_type=Path))
@json_option
def inspect(file: Path, json_file: str | None) -> None:
    """Print what FILE.onnx, or each graph of BUNDLE, is: inputs, outputs, operators, versions, and warnings.

    Works on any ONNX file, without torch and without the onnx package. Nothing is run, and no file that the ONNX file
    names is opened; one that names a file outside its folder is refused, and so is a bundle that contradicts itself.
    Warnings do not change the exit status.

    Example: lstm-edge inspect exported/pump-station
    """
    from toolkit.runtime.inspection import InspectionReport, inspect_path

    report = InspectionReport(inspect_path(file))
    say("\n\n".join(map(_sheet, report.graphs)), json_file)
    write_report(report, json_file)


def _sheet(found: "Inspection") -> str:
    from toolkit.runtime.onnx_text import listed, operator_name_of, shown

    versions = listed((f"{opset.domain or 'ai.onnx'} {opset.version}" for opset in found.opsets), MAX_ROWS)
    counts = [f"{operator_name_of(count.op_type, count.domain)} {count.count}" for count in found.operators]
    lines = [
        shown(found.name, WIDTH),
        *_row("producer", shown(found.producer) or "not given"),
        *_row("size", f"{found.size_bytes:,} bytes; {found.parameters:,} stored numbers"),
        *_row("opset", f"{versions or 'not given'}; IR version {found.ir_version}"),
        *_row(
            "onnxruntime", f"{found.minimum_onnxruntime} or newer" if found.minimum_onnxruntime else "no known release"
        ),
        *_rows("inputs", [_value(value) for value in found.inputs]),
        *_rows("outputs", [_value(value) for value in found.outputs]),
        *_row("symbolic axes", listed(found.symbolic_axes, MAX_ROWS) or "none"),
        *_row("operators", listed(counts, MAX_ROWS) or "none"),
        *_rows("metadata", [f"{shown(entry.key)} = {shown(entry.value, 160)}" for entry in found.metadata]),
        *_rows("warnings", list(found.warnings)),
    ]
    return "\n".join(lines)


def _value(value: "Value") -> str:
    from toolkit.runtime.onnx_text import axes_text, shown

    kind = "" if value.kind == "tensor" else f"{value.kind} "
    axes = "" if value.axes is None else f" {axes_text(value.axes)}"
    unknown = " of unknown rank" if value.axes is None and value.kind.endswith("tensor") else ""
    return f"{shown(value.name)}: {kind}{value.element}{axes}{unknown}"


def _rows(label: str, texts: Sequence[str]) -> list[str]:
    more = [f"and {len(texts) - MAX_ROWS} more"] if len(texts) > MAX_ROWS else []
    lines = [line for text in [*texts[:MAX_ROWS], *more] or ["none"] for line in _row("", text)]
    return [f"  {label:<{LABEL}}  {lines[0].strip()}", *lines[1:]]


def _row(label: str, text: str) -> list[str]:
    """One text, wrapped; the label stands before its first line."""
    first, later = f"  {label:<{LABEL}}  ", " " * (LABEL + 6)
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=later) or [first.rstrip()]
