"""What `lstm-edge simulate --mqtt` does: plays plant data to a broker, and says how far it has come."""

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from toolkit.cli.console import draws
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.edge.plant_messages import PlantSource
    from toolkit.edge.plant_player import PlantPlayer, Played
    from toolkit.edge.transport import Transport

Command = TypeVar("Command", bound=Callable[..., Any])

CONNECT_S = 10.0
LINE_EVERY_S = 10.0
"""Between two lines of progress where there is no terminal."""
BEHIND_S = 1.0
"""A plant that lags more than that is told of."""
PASSWORD = "MQTT_PASSWORD"
"""The variable that holds it: a command line is seen by everyone on the machine."""

OF_FILES = ("overwrite",)
OF_PLAYING = ("speed", "time_of", "rows", "bundle", "user", "cafile")


@dataclass(frozen=True)
class PlayingOptions:
    """The options of `simulate` that are about playing, as the command line gives them."""

    mqtt: str
    speed: float
    time_of: str
    rows: bool | None
    bundle: Path | None
    user: str
    cafile: Path | None


def playing_options(command: Command) -> Command:
    """Adds them."""
    options = (
        click.option("--mqtt", metavar="URL", help="Play to this broker: mqtt://HOST:PORT, or mqtts:// over TLS."),
        click.option("--speed", default=60.0, show_default=True, metavar="X", help="Plant seconds per second."),
        click.option(
            "--time",
            "time_of",
            type=click.Choice(["start", "now"]),
            default="start",
            show_default=True,
            help="Times begin at --start, or so that the last one is the time of day then.",
        ),
        click.option("--rows/--samples", default=None, help="A message per row or per raw sample.  [default: rows]"),
        click.option(
            "--bundle",
            type=click.Path(path_type=Path),
            metavar="BUNDLE",
            help="Send what this bundle's gateway waits for.",
        ),
        click.option("--user", default="", metavar="NAME", help=f"At the broker; the password stands in ${PASSWORD}."),
        click.option("--cafile", type=click.Path(path_type=Path), metavar="FILE", help="Authorities that TLS trusts."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_places(context: click.Context, out: Path | None) -> bool:
    """Whether the plant is played; where it is not, a file is written.

    Raises:
        ConfigError: neither or both were asked for, or an option belongs to the other.
    """
    plays = context.params["mqtt"] is not None
    if plays == (out is not None):
        got = "both" if plays else "neither"
        raise ConfigError("plant data goes to a file OUT or to a broker (--mqtt)", got=got, allowed="one of them")
    for name in OF_FILES if plays else OF_PLAYING:
        if _given(context, name):
            raise ConfigError(
                f"{_spelling(context, name)} is of no use {'with' if plays else 'without'} --mqtt", fix="leave it out"
            )
    return plays


def play(context: click.Context, plant: "PlantSource", options: PlayingOptions) -> None:
    """Connects, plays to the end and says so.

    Raises:
        ConfigError: a wrong option, or no broker.
        BundleError: a bundle that cannot be read, or for which the plant has no signals.
    """
    from toolkit.edge.plant_player import PlantPlayer

    plant = _timed(context, _shaped(context, plant, options), options)
    progress = _Progress(options.mqtt)
    player = PlantPlayer(_transport(options), plant.start_us, options.speed, on_progress=progress)
    try:
        messages = plant.messages(meanwhile=player.look)
        if not player.connect(CONNECT_S):
            got = f"no answer within {CONNECT_S:g} s"
            raise ConfigError(
                f"no broker took the plant at {options.mqtt}", got=got, fix="start mosquitto, or see its log"
            )
        _say(plant, options)
        played = player.play(messages)
    except KeyboardInterrupt:
        progress.end()
        click.echo(_stopped(player), err=True)
        from toolkit.cli.main import INTERRUPTED  # which imports this file when it is asked for

        raise SystemExit(INTERRUPTED) from None  # how to go on has been said
    finally:
        player.close()
    progress.end()
    if not played.sent:
        raise ConfigError(f"{plant.days:g} days hold no interval of {plant.interval_s} s", fix="more days")
    click.echo(f"played {played.sent} messages to {options.mqtt}, {played.acknowledged} acknowledged")
    if played.acknowledged < played.sent:
        raise ConfigError("the broker did not acknowledge every message", got=played.sent - played.acknowledged)


def _shaped(context: click.Context, plant: "PlantSource", options: PlayingOptions) -> "PlantSource":
    """Rows or samples, as the bundle has them or the option says."""
    if options.bundle is None:
        return replace(plant, sampling="samples" if options.rows is False else "rows")
    for name in ("rows", "interval"):
        if _given(context, name):
            raise ConfigError(f"{_spelling(context, name)} is the bundle's to say", fix="leave it out, or --bundle")
    from toolkit.edge.plant_messages import source_of
    from toolkit.errors import BundleError
    from toolkit.runtime.bundle import load_bundle

    signal = load_bundle(options.bundle).manifest.signal
    if signal is None:
        raise BundleError(f"{options.bundle} does not say what its channels are", fix="export it with --signal")
    return source_of(signal, plant)


def _timed(context: click.Context, plant: "PlantSource", options: PlayingOptions) -> "PlantSource":
    """With `--time now` the plant begins so that its last minute is the one in which playing ends."""
    if options.time_of == "start":
        return plant
    if _given(context, "start"):
        raise ConfigError("--start and --time now exclude each other", fix="leave one out")
    span_s = plant.days * 86_400
    if not 0 < span_s < float("inf") or not options.speed > 0:
        return plant  # refused elsewhere
    start_s = time.time() + span_s / options.speed - span_s
    return replace(plant, start_us=int(start_s // 60) * 60_000_000)


def _transport(options: PlayingOptions) -> "Transport":
    from toolkit.edge.broker_url import broker_from_url
    from toolkit.edge.mqtt import MqttTransport

    broker = broker_from_url(
        options.mqtt,
        client_id=f"lstm-edge-plant-{secrets.token_hex(4)}",
        username=options.user,
        password=os.environ.get(PASSWORD, "") if options.user else "",
        ca_file=str(options.cafile or ""),
    )
    return MqttTransport(broker, (), "")


class _Progress:
    """A line that is written over on a terminal, and a line now and then elsewhere; on standard error."""

    def __init__(self, url: str) -> None:
        self._url, self._live = url, draws()
        self._said, self._written = time.monotonic(), False

    def __call__(self, played: "Played") -> None:
        now = time.monotonic()
        if self._live:
            click.echo(f"\r\x1b[K{self._line(played)}", err=True, nl=False)
            self._written = True
        elif now - self._said >= LINE_EVERY_S:
            self._said = now
            click.echo(self._line(played), err=True)

    def end(self) -> None:
        """Leaves the line."""
        if self._written:
            click.echo("", err=True)

    def _line(self, played: "Played") -> str:
        late = f", {played.behind_s:.0f} s behind" if played.behind_s > BEHIND_S else ""
        link = "" if played.connected else f", no link to {self._url}"
        return f"plant at {_iso(played.time_us)}: {played.sent} sent, {played.acknowledged} acknowledged{late}{link}"


def _say(plant: "PlantSource", options: PlayingOptions) -> None:
    what = "rows to plant/ASSET" if plant.sampling == "rows" else "samples to plant/ASSET/VARIABLE"
    lasts = f"{plant.days * 86_400 / options.speed / 60:.3g} minutes"
    click.echo(f"playing {plant.assets} assets, {what}, from {_iso(plant.start_us)}, for {lasts}", err=True)


def _stopped(player: "PlantPlayer") -> str:
    # A whole minute, as --start wants it; a gateway takes nothing from before what it has seen.
    following = (player.played.time_us // 60_000_000 + 1) * 60_000_000
    return f"stopped at {_iso(player.played.time_us)}; --start {_iso(following)} goes on from there"


def _iso(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) == ParameterSource.COMMANDLINE


def _spelling(context: click.Context, name: str) -> str:
    return next("/".join([*one.opts, *one.secondary_opts]) for one in context.command.params if one.name == name)
