"""`tune-session`: the sweep over a bundle's graphs, and the check that the winners answer as the default does."""

import functools

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.bundle import bundle_feed
from toolkit.benchmark.plan import LONGEST_S
from toolkit.benchmark.session_sweep import Instrument, Space, sweep
from toolkit.benchmark.timing import Call
from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import GraphName
from toolkit.contract.manifest import BundleManifest
from toolkit.contract.session_reports import SessionReport, SessionSetting, SessionTrial, SessionWinner
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import environment, usable_cores
from toolkit.runtime.golden import check_golden
from toolkit.runtime.session_file import manifest_sha256, session_policy


def tune_session(
    bundle: Bundle, *, allow_spinning: bool = False, instrument: Instrument | None = None, cores: int | None = None
) -> SessionReport:
    """Finds the fastest setting of each graph for one series a call on this machine.

    A call is a request as a gateway makes it: one window, or one sample of a stream, behind the guards. Every golden
    case is re-run under each winner before it is reported.

    Args:
        bundle: whose graphs to run.
        allow_spinning: whether threads that wait by spinning may win.
        instrument: what measures; None means the system's clock, two seconds for each comparison.
        cores: that may be used; None means all that this process may.

    Raises:
        GoldenError: an answer lies outside the bundle's tolerance, under the default or under a winner.
        ConfigError: the time of a comparison is not above 0.
    """
    instrument = instrument or Instrument()
    if not 0 < instrument.seconds <= LONGEST_S:
        raise ConfigError("--seconds", got=instrument.seconds, allowed=f"more than 0, up to {LONGEST_S}")
    check_golden(bundle)  # the time of a graph that answers otherwise says nothing
    trials: list[SessionTrial] = []
    winners: list[SessionWinner] = []
    for name in bundle.manifest.names:
        space = Space(name, kept_precisions(bundle.manifest, name), cores or usable_cores(), allow_spinning)
        default = SessionSetting(bundle.manifest.graph(name).precision)
        found, winner = sweep(default, space, functools.partial(_call, bundle, name), instrument)
        trials += found
        winners.append(winner)
    for policy in dict.fromkeys(session_policy(winner.setting) for winner in winners if not winner.default):
        check_golden(bundle, policy)
    about = {"name": bundle.manifest.name, "manifest_sha256": manifest_sha256(bundle)}
    return SessionReport(about, tuple(trials), tuple(winners), _notes(bundle.manifest, cores), environment())


def kept_precisions(manifest: BundleManifest, name: GraphName) -> tuple[Precision, ...]:
    """Precisions of a graph that may be run for the sake of speed: fp32, and what the export found accurate enough."""
    decision = manifest.precision
    kept = {c.precision for c in decision.candidates if c.kept and c.graph == name} if decision else set()
    return tuple(
        entry.precision
        for entry in manifest.graphs
        if entry.name == name and (entry.precision == "fp32" or entry.preferred or entry.precision in kept)
    )


def _notes(manifest: BundleManifest, cores: int | None) -> tuple[str, ...]:
    left_out = [entry for entry in manifest.graphs if entry.precision not in kept_precisions(manifest, entry.name)]
    notes = [f"{entry.name} in {entry.precision} not tried: the export did not keep it" for entry in left_out]
    if (cores or usable_cores()) == 1:
        notes.append("threads and spinning not tried: this process may use one core")
    return tuple(notes)


def _call(bundle: Bundle, name: GraphName, setting: SessionSetting) -> Call:
    """One request, as it is deployed."""
    entry, policy = bundle.manifest.graph(name, setting.precision), session_policy(setting)
    feed = _one_request(bundle, entry)
    readings = feed.pop(entry.signature.data[0].name)
    if name == "windowed":
        windowed = bundle.windowed(policy, entry.precision)
        return lambda: windowed.predict(readings, **feed)
    streaming = bundle.streaming(policy, entry.precision)
    state = {name: feed.pop(name) for name in entry.signature.states}
    if feed:
        return lambda: streaming.advance(readings, state, **feed)
    assets = tuple(range(entry.limits.at_least(entry.signature.batch_axis)))
    return lambda: streaming.step(readings, assets, reuse=True)


def _one_request(bundle: Bundle, entry: GraphEntry) -> dict[str, NDArray[np.float32]]:
    limits, axis = entry.limits, entry.signature.sequence_axis
    samples = (
        limits.at_least(axis) if entry.name == "streaming" else limits.clipped(axis, bundle.manifest.window_length)
    )
    return bundle_feed(bundle, entry.name, limits.at_least(entry.signature.batch_axis), samples)
