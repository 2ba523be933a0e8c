"""`lstm-edge doctor`: what is installed, which providers really work, what is wrong."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from toolkit.cli.console import EXTRAS, json_option, say, write_report
from toolkit.cli.text_table import WIDTH

if TYPE_CHECKING:
    from toolkit.runtime.diagnosis import Diagnosis, ProviderCheck


@click.command(short_help="What is installed, which providers really work, what is wrong.")
@json_option
def doctor(json_file: str | None) -> None:
    """Say what is installed, which providers really run an LSTM, and what is wrong.

    onnxruntime is tried in processes of its own, so that a build which crashes on this processor is explained
    rather than felt. Works on a gateway without torch. Exit status 1 where something is wrong.

    Example: lstm-edge doctor --json doctor.json
    """
    from toolkit.runtime.diagnosis import examine

    diagnosis = examine(EXTRAS)
    say(_described(diagnosis), json_file)
    write_report(diagnosis, json_file)
    if not diagnosis.healthy:
        click.get_current_context().exit(1)


def _described(diagnosis: "Diagnosis") -> str:
    parts = (
        _section("machine", _machine_rows(diagnosis)),
        _section("packages", list(diagnosis.environment["packages"].items())),
        _section("providers", [_provider_row(check) for check in diagnosis.providers]),
        *(f"{finding.level}: {finding.what}; fix: {finding.fix}" for finding in diagnosis.findings),
        "Nothing is wrong." if diagnosis.healthy else "Something is wrong: see the problems above.",
    )
    return "\n".join(part for part in parts if part)


def _machine_rows(diagnosis: "Diagnosis") -> list[tuple[str, str]]:
    environment = diagnosis.environment
    return [
        ("processor", f"{environment['cpu']}; usable cores: {environment['cores']}"),
        ("features", " ".join(environment["cpu_features"]) or "not given by the kernel"),
        ("governor", environment["governor"] or "not given by the kernel"),
        ("system", f"{environment['system']}, {environment['machine']}"),
        ("python", f"{environment['python']}, {environment['bits']}-bit"),
    ]


def _provider_row(check: "ProviderCheck") -> tuple[str, str]:
    from toolkit.runtime.diagnosis import MAY_FAIL

    if check.problem is None:
        return check.name, "runs an LSTM, with the right answer"
    if check.available and check.name in MAY_FAIL:
        return check.name, f"runs no LSTM, which is no fault: {MAY_FAIL[check.name]}"
    return check.name, check.problem


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    lines = [line for name, value in rows for line in _row(f"  {name.ljust(width)}  ", value)]
    return "\n".join([f"{title}:", *lines]) if rows else ""


def _row(label: str, value: str) -> list[str]:
    """One value beside its label, over as many lines as it takes."""
    later = " " * len(label)
    return textwrap.wrap(value, WIDTH, initial_indent=label, subsequent_indent=later, break_on_hyphens=False) or [label]
