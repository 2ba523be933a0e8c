"""`lstm-edge gateway forget`: assets out of the journal of a gateway that is stopped."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolkit.cli.console import json_option, say, write_report
from toolkit.cli.text_table import table, wrapped

if TYPE_CHECKING:
    from toolkit.edge.journal_assets import KnownAsset


NAMED = 20
"""Forgotten assets whose names are told; the report has all."""


@dataclass(frozen=True)
class JournalAssets:
    """What `--json` says.

    Attributes:
        journal: its main file.
        forgotten: assets that were taken out, as they were.
        assets: that are in it now, by the time of their newest reading.
    """

    journal: str
    forgotten: "tuple[KnownAsset, ...]"
    assets: "tuple[KnownAsset, ...]"
    schema: str = "gateway-forget/1"


@click.command(short_help="Take assets out of a stopped gateway's journal, or list them.")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("assets", nargs=-1, metavar="ASSET...")
@click.option("--list", "is_list", is_flag=True, help="Show the assets and forget none.")
@click.option("--journal", type=click.Path(path_type=Path), metavar="DIR", help="Its folder, if CONFIG names none.")
@json_option
def forget(
    config: Path, assets: tuple[str, ...], *, is_list: bool, journal: Path | None, json_file: str | None
) -> None:
    """Take ASSET... out of the journal of the gateway that CONFIG describes, so that their next reading is their first.

    For assets that are gone and count towards signal.max_assets, and for those whose clock was far ahead for a while,
    so that all they send is too late. They warm up again; all others go on as if nothing had happened. Forecasts that
    wait for the broker stay. The gateway has to be stopped first.

    Example: lstm-edge gateway forget /etc/lstm-edge/gateway.toml pump-007
    """
    from toolkit.edge.journal_assets import StoppedJournal

    if is_list == bool(assets):
        raise click.UsageError("Name at least one ASSET, or give --list alone.", click.get_current_context())
    with StoppedJournal(journal or _folder(config)) as stopped:
        before = stopped.assets()
        if not is_list:
            stopped.forget(assets)
    gone = tuple(asset for asset in before if asset.name in assets)
    report = JournalAssets(str(stopped.path), gone, tuple(asset for asset in before if asset not in gone))
    say(_list(report) if is_list else _told(report), json_file)
    write_report(report, json_file)


class _NoSecrets(Mapping[str, str]):
    """The environment, and for each `${NAME}` that it lacks the text itself: a broker's password is not needed here."""

    def __getitem__(self, name: str) -> str:
        return os.environ.get(name, f"${{{name}}}")

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)


def _folder(config: Path) -> Path:
    from toolkit.edge.first_trial import journal_folder
    from toolkit.edge.service_templates import STATE
    from toolkit.edge.settings_file import load_settings
    from toolkit.errors import ConfigError

    settings = load_settings(config, _NoSecrets())
    try:
        return journal_folder(settings)
    except ConfigError:
        raise ConfigError(
            f"{config} leaves the journal's folder to systemd", fix=f"--journal /var/lib/{STATE}, as root"
        ) from None


def _list(report: JournalAssets) -> str:
    from toolkit.edge.messages import time_text

    rows = [
        [
            asset.name,
            "" if asset.newest_us is None else time_text(asset.newest_us),
            str(asset.series),
            str(asset.open_readings),
        ]
        for asset in report.assets
    ]
    shown = table(["asset", "newest reading", "series", "open readings"], rows) if rows else "no asset"
    return f"{shown}\n\n{wrapped(f'Assets: {len(rows)}; journal: {report.journal}')}"


def _told(report: JournalAssets) -> str:
    names = ", ".join(asset.name for asset in report.forgotten[:NAMED])
    more = f" and {len(report.forgotten) - NAMED} more" if len(report.forgotten) > NAMED else ""
    readings = sum(asset.open_readings for asset in report.forgotten)
    lines = (
        f"Forgotten: {names}{more}, and with them {readings} open readings; their next reading is their first.",
        f"Assets left: {len(report.assets)}; journal: {report.journal}",
    )
    return "\n".join(wrapped("".join(mark if mark.isprintable() else "?" for mark in line)) for line in lines)
