"""From `gateway.toml` to a gateway that may turn: no bundle runs before it has passed its trial on this machine."""

import logging
import platform
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import onnxruntime

from toolkit import __version__
from toolkit.contract.signals import SignalSpec
from toolkit.edge.answer_form import answer_form
from toolkit.edge.columns import columns_of
from toolkit.edge.core import Core
from toolkit.edge.first_trial import FirstTrial
from toolkit.edge.forecaster import Forecaster
from toolkit.edge.gateway import Gateway
from toolkit.edge.gateway_metrics import GatewayMetrics
from toolkit.edge.journal import Journal
from toolkit.edge.mqtt import MqttTransport
from toolkit.edge.payloads import PayloadReader
from toolkit.edge.service_manager import ServiceManager
from toolkit.edge.settings import Settings
from toolkit.edge.settings_file import check_against
from toolkit.edge.timing import timing_of
from toolkit.edge.vitals import Vitals
from toolkit.errors import BundleError
from toolkit.runtime.bundle import Bundle

log = logging.getLogger(__name__)

PACKET_ROOM = 64 * 1024
"""Beyond the largest payload that is taken: what is a little larger is counted, what is much larger never comes."""


class RunningGateway:
    """All parts of a gateway that has been started; a context manager that ends them.

    Args:
        settings: of the gateway.
        trial: of its bundle.
        service: the service manager's end.

    Attributes:
        gateway: the loop.
        vitals: what the health server tells.

    Raises:
        ConfigError: settings that do not fit the bundle, or a port that is taken.
        BundleError: no bundle that may be run.
        GoldenError: it did not pass its trial here.
        OutputError: the journal's folder cannot be used.
    """

    def __init__(self, settings: Settings, trial: FirstTrial, service: ServiceManager | None = None) -> None:
        self._settings, self._service = settings, service or ServiceManager()
        self.vitals = Vitals()
        metrics = GatewayMetrics(settings.watch.assets_in_metrics)
        with ExitStack() as started:
            bundle = trial.bundle()
            self.vitals.bundle_checked = True
            self._serve_health(settings, metrics, bundle.manifest.name, started)
            core, journal = open_core(bundle, settings, trial.folder, metrics)
            started.callback(journal.close)
            transport = _transport(settings, core.reader)
            metrics.identify(
                model=bundle.manifest.name,
                digest=bundle.digest,
                graph=core.graph,
                versions=(__version__, platform.python_version(), onnxruntime.__version__),
                start_s=time.time(),
            )
            self._core, self._signal = core, _signal(bundle)
            self.gateway = Gateway(
                core, journal, transport, settings, vitals=self.vitals, feed=_Feeder(self._service), health=transport
            )
            self.vitals.state_loaded = True
            self._started = started.pop_all()
        self._about = {"bundle": bundle.digest, "model": bundle.manifest.name, "graph": core.graph}

    def _serve_health(self, settings: Settings, metrics: GatewayMetrics, model: str, started: ExitStack) -> None:
        if settings.watch.port:
            from toolkit.edge.health import serve_health  # noqa: PLC0415 - 15 ms of a start that may do without

            server = serve_health(settings.watch, self.vitals, metrics.exposition, model)
            if server is not None:
                started.callback(server.stop)

    def announce(self) -> None:
        """Says that it is ready; whoever answers to signals does so from then on."""
        self._service.ready(f"{self._about['model']} is ready")
        log.info("ready", extra=self._about)

    def __enter__(self) -> "RunningGateway":
        return self

    def __exit__(self, *_: object) -> None:
        with self._started:
            self._service.stopping()
            self.gateway.stop()

    def reload(self, settings: Settings) -> None:
        """Takes the limits of new settings; whatever else differs waits for a restart.

        Raises:
            ConfigError: limits that do not fit the bundle; all stays as it was.
        """
        self._service.reloading()
        try:
            changed = _with_limits_of(self._settings, settings)
            check_against(changed, self._signal)
            self._core.reader = _reader(changed, self._signal)
            self._settings = changed
            if changed != settings:
                log.warning("of the new settings only limits and the log level count before a restart")
        finally:
            self._service.ready()


class _Feeder:
    """Feeds the watchdog as often as it asks for, at most once a turn of the loop."""

    def __init__(self, service: ServiceManager) -> None:
        self._service, self._fed_s = service, 0.0

    def __call__(self) -> None:
        interval_s = self._service.watchdog_interval_s
        now = time.monotonic()
        if interval_s is not None and now - self._fed_s >= interval_s:
            self._fed_s = now
            self._service.watchdog()


def open_core(bundle: Bundle, settings: Settings, folder: Path, metrics: GatewayMetrics) -> tuple[Core, Journal]:
    """The signal path of a bundle and the journal in a folder, from where the journal ends; the caller closes it.

    Args:
        bundle: that has passed its trial.
        settings: of the gateway.
        folder: the journal's.
        metrics: are counted up.

    Raises:
        ConfigError: settings that do not fit the bundle.
        BundleError: no gateway can run it.
        OutputError: the folder cannot be used.
    """
    signal = _signal(bundle)
    check_against(settings, signal)
    session_file = Path(settings.session_file) if settings.session_file else None
    forecaster = Forecaster(bundle, settings.signal.graph, session_file=session_file)
    journal = Journal(
        folder,
        kept_rows=forecaster.kept_rows,
        digest=forecaster.digest,
        signal=signal,
        first_us=timing_of(signal, settings.signal).first_us,
        output=settings.output,
    )
    try:
        core = Core(
            signal=signal,
            settings=settings.signal,
            limits=settings.limits,
            reader=_reader(settings, signal),
            forecaster=forecaster,
            form=answer_form(bundle.manifest, forecaster.graph),
            name=bundle.manifest.name,
            metrics=metrics,
        )
        _restore(core, journal)
    except BaseException:
        journal.close()
        raise
    return core, journal


def _signal(bundle: Bundle) -> SignalSpec:
    if bundle.manifest.signal is None:
        raise BundleError(
            f"no gateway can feed the bundle {bundle.manifest.name}: it does not say what its channels are",
            fix="export it with --signal",
        )
    return bundle.manifest.signal


def _reader(settings: Settings, signal: SignalSpec) -> PayloadReader:
    return PayloadReader(settings.inputs, columns_of(signal), settings.limits, settings.max_payload_bytes)


def _transport(settings: Settings, reader: PayloadReader) -> MqttTransport:
    return MqttTransport(
        settings.broker,
        reader.subscriptions,
        settings.output.status_topic,
        max_packet_bytes=settings.max_payload_bytes + PACKET_ROOM,
    )


def _restore(core: Core, journal: Journal) -> None:
    restored = journal.restore()
    core.restore(restored)
    about = {"assets": len(restored.assets), "open_readings": sum(map(len, restored.samples.values()))}
    if restored.other_signal:
        log.warning("the journal is of other channels: assets warm up again", extra=about)
    elif restored.other_bundle:
        log.warning("the journal is of another bundle: states are warmed up from the rows it keeps", extra=about)
    elif not restored.clean:
        log.warning("the gateway was not stopped in order; nothing is lost", extra=about)
    else:
        log.info("the journal is loaded", extra=about)


def _with_limits_of(old: Settings, new: Settings) -> Settings:
    limits = {
        name: replace(limits, missing=old.limits[name].missing if name in old.limits else "")
        for name, limits in new.limits.items()
    }
    kept = {name: replace(limits, minimum=None, maximum=None) for name, limits in old.limits.items()}
    return replace(old, limits=kept | limits, watch=replace(old.watch, log_level=new.watch.log_level))
