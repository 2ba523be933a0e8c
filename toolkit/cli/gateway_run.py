"""`lstm-edge gateway run`: the process on the edge."""

import signal
from pathlib import Path
from types import FrameType

import click


class _Wishes:
    """What signals ask for; the loop looks once a turn."""

    def __init__(self) -> None:
        self.stop = self.reload = False

    def listen_for_reloads(self) -> None:
        signal.signal(signal.SIGHUP, self._reload)

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stop = True

    def _reload(self, number: int, frame: FrameType | None) -> None:
        self.reload = True


@click.command(short_help="Take messages, send forecasts, until it is told to stop.")
@click.argument("config", type=click.Path(path_type=Path), default="gateway.toml")
def run(config: Path) -> None:
    """Run the gateway that CONFIG describes, gateway.toml unless another file is named.

    Logs are JSON lines on standard error. SIGTERM or Ctrl-C ends it in order; SIGHUP reads limits and the log level
    again. What it took and has not answered yet is in its journal: the next start goes on from there.

    Example: lstm-edge gateway run /etc/lstm-edge/gateway.toml
    """
    import logging

    from toolkit.edge.first_trial import FirstTrial
    from toolkit.edge.json_log import configure, set_level
    from toolkit.edge.settings_file import load_settings, warnings_of
    from toolkit.errors import ToolkitError

    wishes = _Wishes()
    wishes.listen_for_reloads()  # from the first moment: it must not end a gateway that is starting
    settings = load_settings(config)
    configure(settings.watch.log_level, secrets=[settings.broker.password] if settings.broker.password else [])
    log = logging.getLogger("lstm-edge")
    for warning in warnings_of(config):
        log.warning(warning)
    with FirstTrial(settings) as trial:
        from toolkit.edge.start import RunningGateway  # onnxruntime, while the trial's child is on its way

        running = RunningGateway(settings, trial)
    with running:
        wishes.listen()
        running.announce()
        while not wishes.stop:
            running.gateway.turn()
            if wishes.reload:
                wishes.reload = False
                try:
                    settings = load_settings(config)
                    running.reload(settings)
                    set_level(settings.watch.log_level)
                except ToolkitError as error:
                    log.warning("the new settings are not taken: %s", error)
