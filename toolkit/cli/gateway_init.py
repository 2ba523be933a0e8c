"""`lstm-edge gateway init`: a bundle in, everything that a gateway is configured with out."""

import os
import re
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from toolkit import atomic_files
from toolkit.cli.console import json_option, say, write_report
from toolkit.cli.gap_notes import gap_notes
from toolkit.errors import BundleError, OutputError

CONFIG, BROKER_CONFIG = "gateway.toml", "mosquitto.conf"
STATE = "state"
"""The journal's folder, beside the configuration, where no service manager gives one."""


@dataclass(frozen=True)
class GatewayFiles:
    """What `--json` says.

    Attributes:
        bundle: its name.
        bundle_folder: where it lies.
        files: that were written.
        columns: by topic, the names of the columns that its messages carry.
        warnings: what is to be seen to before the service is started.
        commands: that come next.
    """

    bundle: str
    bundle_folder: str
    files: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...]
    commands: tuple[str, ...]
    schema: str = "gateway-init/1"


@click.command(short_help="Write a gateway's configuration, its systemd unit and a broker's.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", default=".", show_default=True, type=click.Path(path_type=Path), help="Folder to write to.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--command", metavar="PATH", type=click.Path(path_type=Path), help="lstm-edge as the service finds it.")
@click.option("--service/--no-service", default=True, show_default=True, help="Write the systemd unit.")
@json_option
def init(
    bundle: Path, out: Path, *, overwrite: bool, command: Path | None, service: bool, json_file: str | None
) -> None:
    """Write a commented gateway.toml for BUNDLE, a hardened systemd unit and an example of a mosquitto.conf.

    Columns and units are filled in from the bundle's manifest. Check the topics and the names of the fields in
    gateway.toml: they are a proposal.

    Example: lstm-edge gateway init /opt/pump-station --out /etc/lstm-edge
    """
    from toolkit.edge.fillings import interpolated_columns
    from toolkit.edge.service_templates import MOSQUITTO_CONF
    from toolkit.edge.templates import gateway_toml, topics_of
    from toolkit.runtime.bundle import load_bundle

    manifest = load_bundle(bundle).manifest
    if manifest.signal is None:
        what = f"no gateway can feed the bundle {manifest.name}"
        raise BundleError(what, got="no signal in its manifest", fix="export it again with --signal")
    folder, config = Path(os.path.abspath(bundle)), Path(os.path.abspath(out)) / CONFIG
    own = {"name": manifest.name, "client_id": _client_id(manifest.name), "journal": "" if service else STATE}
    texts = {
        CONFIG: gateway_toml(manifest.signal, folder, **own),
        **(_service(command, config, manifest.name) if service else {}),
        BROKER_CONFIG: MOSQUITTO_CONF,
    }
    _check_outside(out, folder)
    _write(out, texts, overwrite=overwrite)
    report = GatewayFiles(
        manifest.name,
        str(folder),
        tuple(str(out / name) for name in texts),
        {topic: tuple(column.name for column in columns) for topic, columns in topics_of(manifest.signal).items()},
        (*gap_notes(interpolated_columns(manifest.signal)), *(_warnings(folder, config) if service else ())),
        _next_commands(out, folder, service=service),
    )
    say(_described(report), json_file)
    write_report(report, json_file)


def _service(command: Path | None, config: Path, name: str) -> dict[str, str]:
    from toolkit.edge.service_templates import UNIT, check_command, running_command, service_unit

    program = command or running_command()
    check_command(program, running=command is None)
    return {UNIT: service_unit(program, config, name)}


def _client_id(bundle: str) -> str:
    """Another one for every machine and bundle: two of one name would take the broker's session from each other."""
    return "-".join(re.sub(r"[^A-Za-z0-9-]", "-", part)[:40] for part in (bundle, socket.gethostname()))


def _check_outside(out: Path, bundle: Path) -> None:
    """A file that its manifest does not list would spoil the bundle."""
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(bundle)):
        raise OutputError(f"the folder {out} lies within the bundle", fix="name another with --out")


def _write(folder: Path, texts: Mapping[str, str], *, overwrite: bool) -> None:
    """All of them or none: a place that is taken is refused before the first is written.

    Raises:
        OutputError: the folder cannot be made, or a file stands there already.
    """
    atomic_files.make_folder(folder)
    places = {folder / name: text for name, text in texts.items()}
    for place in places:
        atomic_files.check_file_place(place)
        if os.path.lexists(place) and not overwrite:
            raise OutputError(f"the file {place} exists already", fix="name another folder, or add --overwrite")
    new = [place for place in places if not os.path.lexists(place)]
    try:
        for place, text in places.items():
            atomic_files.write_text(place, text)
    except BaseException:
        for place in new:
            place.unlink(missing_ok=True)
        raise


def _warnings(bundle: Path, config: Path) -> tuple[str, ...]:
    from toolkit.edge.service_templates import hidden_by_unit

    return tuple(
        f"the service cannot see {place}, because it hides {hidden}; fix: {fix}"
        for place, fix in (
            (bundle, f"copy the bundle to another place and name that in {CONFIG}"),
            (config, f"copy {CONFIG} to another place and name that in ExecStart"),
        )
        if (hidden := hidden_by_unit(place)) is not None
    )


def _next_commands(out: Path, bundle: Path, *, service: bool) -> tuple[str, ...]:
    checked = f"lstm-edge gateway check {shlex.quote(str(bundle))}"
    if not service:
        return checked, f"lstm-edge gateway run {shlex.quote(str(out / CONFIG))}"
    from toolkit.edge.service_templates import PASSWORD_FILE, UNIT

    password = f"sudo install -D -m 600 /dev/stdin {PASSWORD_FILE}"
    return (
        checked,
        f"systemd-ask-password -n | {password}",
        f"sudo cp {shlex.quote(str(out / UNIT))} /etc/systemd/system/",
        f"sudo systemctl daemon-reload && sudo systemctl enable --now {UNIT.removesuffix('.service')}",
    )


def _described(report: GatewayFiles) -> str:
    topics = list(report.columns)
    more = f" and {len(topics) - 3} more" if len(topics) > 3 else ""
    lines = [
        *(f"Written: {file}" for file in report.files),
        f"Columns: {sum(map(len, report.columns.values()))}, from {', '.join(topics[:3])}{more}",
        *(f"Warning: {warning}" for warning in report.warnings),
        f"Next: check topics, fields and units in {CONFIG}, then",
        *(f"  {command}" for command in report.commands),
    ]
    return "\n".join("".join(mark if mark.isprintable() else "?" for mark in line) for line in lines)
