"""What a gateway will do with a bundle, before it does it."""

from pathlib import Path

from toolkit.contract.graph_io import horizon_of
from toolkit.contract.readiness_reports import ExpectedColumn, GatewayPlan
from toolkit.contract.signals import CALENDAR
from toolkit.edge.columns import columns_of
from toolkit.edge.fillings import interpolated_columns
from toolkit.edge.forecaster import Forecaster
from toolkit.errors import BundleError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.session_file import policy_for


def plan_of(bundle: Bundle, session_file: Path | None = None) -> GatewayPlan:
    """What the gateway's own forecaster makes of a bundle that has passed its trial.

    Args:
        bundle: that is to be run.
        session_file: of `lstm-edge tune-session`, or None.

    Raises:
        BundleError: it has no signal, or a graph that no gateway can run.
        ConfigError: the session file does not fit.
    """
    signal = bundle.manifest.signal
    if signal is None:
        raise BundleError("it does not say what its channels are: no gateway can feed it", fix="export with --signal")
    forecaster, manifest = Forecaster(bundle, session_file=session_file), bundle.manifest
    _, precision = (None, None) if session_file is None else policy_for(bundle, forecaster.graph, session_file)
    entry = manifest.graph(forecaster.graph, precision)
    columns = tuple(ExpectedColumn(one.name, one.unit, one.features) for one in columns_of(signal))
    return GatewayPlan(
        graph=forecaster.graph,
        precision=entry.precision,
        window_length=forecaster.warm_up,
        horizon=horizon_of(entry.signature.answers[0].axes, len(signal.targets)),
        interval_s=signal.interval_s,
        sampling=signal.sampling,
        min_samples=signal.min_samples,
        columns=columns,
        targets=dict(zip(signal.targets, signal.target_units, strict=True)),
        timezone=signal.timezone if any(channel.variable == CALENDAR for channel in signal.channels) else "",
        interpolated=interpolated_columns(signal),
    )
