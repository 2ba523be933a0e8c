"""`lstm-edge tune-session`: the fastest session settings for a bundle on this machine."""

from pathlib import Path

import click

from toolkit.cli.console import json_option, say, write_report


@click.command("tune-session", short_help="Find the fastest session settings of this machine.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The session file; default: see below.")
@click.option("--seconds", type=float, default=2.0, show_default=True, help="For each comparison.")
@click.option("--allow-spinning", is_flag=True, help="Let threads win that burn a core while they wait.")
@json_option
def tune_session(
    bundle: Path, out: Path | None, seconds: float, *, allow_spinning: bool, json_file: str | None
) -> None:
    """Try BUNDLE's graphs with other session settings and write what is fastest on this machine.

    Precision, optimisation, arena, memory pattern, threads and spinning are varied in turn. A setting takes the
    default's place only where it is faster beyond noise, a further thread only where it brings a quarter of what one
    does, spinning only with --allow-spinning. The winner has to answer as the bundle's golden vectors say.

    It is written to --out, or to the file that LSTM_EDGE_SESSION names, or to lstm-edge/session.toml in
    XDG_CONFIG_HOME or ~/.config: never into the bundle. The entry counts for this bundle on this processor only.

    Example: lstm-edge tune-session exported/pump-station --seconds 5
    """
    from toolkit.benchmark.session_sweep import Instrument
    from toolkit.benchmark.session_tuning import tune_session as tune
    from toolkit.cli.session_tables import session_table
    from toolkit.runtime.bundle import load_bundle
    from toolkit.runtime.session_file import check_session_place, put_entry, session_entry, session_place

    loaded, place = load_bundle(bundle), session_place(out)
    check_session_place(place, loaded)
    report = tune(loaded, allow_spinning=allow_spinning, instrument=Instrument(seconds))
    put_entry(place, session_entry(loaded, {winner.graph: winner.setting for winner in report.winners}))
    say(f"{session_table(report)}\nWritten to {place}.", json_file)
    write_report(report, json_file)
