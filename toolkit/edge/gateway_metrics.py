"""What a gateway counts and measures of itself, by the names under which Prometheus finds it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from toolkit.edge.metrics import Gauge, Registry
from toolkit.edge.readings import Reason, Refusal

ACCEPTED = "accepted"
PARTLY = "partly"
"""The outcome of a message of which some readings were taken and others not."""

LATENCY_LIMITS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
COMMIT_LIMITS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

CLOSED_BY = ("readings", "patience", "silence")
"""What closes an interval: later readings of all its columns, others while one column is silent, or time alone."""

_STATUS = Path("/proc/self/status")


class Score(NamedTuple):
    """How good the forecasts of one target of one asset have been of late.

    Attributes:
        asset: its name.
        target: its name.
        error: mean absolute error, in the target's unit.
        persistence_error: the same of a forecast that repeats the last value.
        values: how many forecast values it rests on.
    """

    asset: str
    target: str
    error: float
    persistence_error: float
    values: float


class GatewayMetrics:
    """Every metric of a gateway, bound: attributes are the metrics themselves, updated by the loop alone.

    Args:
        most_assets: assets that have series of their own; the others are in the totals alone.
    """

    def __init__(self, most_assets: int = 100) -> None:
        self.registry = Registry()
        self._most_assets = most_assets
        self._add_input()
        self._add_signal()
        self._add_output()
        self._add_surroundings()
        self._add_scores()

    def _add_input(self) -> None:
        add, outcomes = self.registry.counter, [ACCEPTED, *Reason]
        messages = add("lstm_edge_messages_total", "Messages by what became of them.", ["outcome"])
        readings = add("lstm_edge_readings_total", "Readings by what became of them.", ["outcome"])
        self.messages_accepted = messages.child(ACCEPTED)
        self.messages_partly = messages.child(PARTLY)
        self.messages_refused = {reason: messages.child(reason) for reason in Reason}
        self.readings = {outcome: readings.child(outcome) for outcome in outcomes}
        self._readings_accepted = self.readings[ACCEPTED]
        self.unprotected = add(
            "lstm_edge_messages_unprotected_total", "Messages of QoS 0, which a fault may lose unseen."
        ).child()
        self.unprotected_lost = add(
            "lstm_edge_messages_unprotected_lost_total",
            "Messages of QoS 0 that came while the disk or a full outbox held up the input.",
        ).child()
        self.out_of_order = add(
            "lstm_edge_readings_out_of_order_total", "Accepted readings older than one accepted before."
        ).child()
        self.sequence_restarts = add(
            "lstm_edge_sequence_restarts_total", "Times that a source began to count its samples anew."
        ).child()
        self.clock_suspect = add(
            "lstm_edge_clock_suspect_messages_total", "Messages whose time lies far from this machine's clock."
        ).child()

    def _add_signal(self) -> None:
        add, gauge = self.registry.counter, self.registry.gauge
        closed = add("lstm_edge_intervals_closed_total", "Closed intervals by what closed them.", ["by"])
        self.intervals_closed = {by: closed.child(by) for by in CLOSED_BY}
        self.series_breaks = add(
            "lstm_edge_series_breaks_total", "Times that a gap ended a series, whose state then warms up again."
        ).child()
        self.assets = gauge("lstm_edge_assets", "Assets that have sent readings.").child()
        self.assets_warming_up = gauge(
            "lstm_edge_assets_warming_up", "Assets that have too few readings for a forecast."
        ).child()

    def _add_output(self) -> None:
        add, gauge = self.registry.counter, self.registry.gauge
        self.forecasts = add("lstm_edge_forecasts_total", "Forecasts that were made.").child()
        self.forecasts_not_finite = add(
            "lstm_edge_forecasts_not_finite_total", "Answers of the model that are no numbers; they are not sent."
        ).child()
        self.forecasts_delivered = add(
            "lstm_edge_forecasts_delivered_total", "Forecasts that the broker has acknowledged."
        ).child()
        self._dropped = add(
            "lstm_edge_forecasts_dropped_total", "Forecasts that were given up, by why.", ["reason"], most=20
        )
        self.outbox_forecasts = gauge("lstm_edge_outbox_forecasts", "Forecasts that wait for the broker.").child()
        self.outbox_bytes = gauge("lstm_edge_outbox_bytes", "Size of the forecasts that wait.").child()
        self.outbox_oldest_age = gauge(
            "lstm_edge_outbox_oldest_age_seconds", "For how long the oldest of them has waited."
        ).child()
        self.outbox_blocked = gauge("lstm_edge_outbox_blocked", "1 while a full outbox holds up the input.").child()
        self.latency = self.registry.histogram(
            "lstm_edge_forecast_latency_seconds",
            "From the reading that completed an interval to the publication of its forecast.",
            LATENCY_LIMITS_S,
        ).child()
        self.last_forecast_time = gauge(
            "lstm_edge_last_forecast_time_seconds", "When the last forecast was made; 0 before the first."
        ).child()

    def _add_surroundings(self) -> None:
        add, gauge = self.registry.counter, self.registry.gauge
        self.commit_duration = self.registry.histogram(
            "lstm_edge_commit_duration_seconds", "How long a transaction took to be durable.", COMMIT_LIMITS_S
        ).child()
        self.journal_failing = gauge(
            "lstm_edge_journal_failing", "1 while nothing can be made durable, so that nothing is acknowledged."
        ).child()
        self.journal_failures = add("lstm_edge_journal_failures_total", "Transactions that failed.").child()
        self.link_up = gauge("lstm_edge_link_up", "1 while the broker is connected.").child()
        self.connects = add("lstm_edge_connects_total", "Connections to the broker that came about.").child()
        self.publishes_refused = add(
            "lstm_edge_publishes_refused_total", "Forecasts that the broker refused; they are sent again."
        ).child()
        self._model = gauge(
            "lstm_edge_model_info", "The bundle that makes the forecasts.", ["name", "digest", "graph"], most=4
        )
        self._build = gauge(
            "lstm_edge_build_info", "Versions of the program.", ["version", "python", "onnxruntime"], most=1
        )
        self.start_time = gauge("lstm_edge_start_time_seconds", "When the gateway was started.").child()
        self.resident_memory = gauge("lstm_edge_resident_memory_bytes", "Memory that the process holds.").child()
        self.registry.before_reading(lambda: self.resident_memory.set(resident_bytes()))

    def _add_scores(self) -> None:
        gauge, own = self.registry.gauge, ["asset", "target"]
        self._error = gauge(
            "lstm_edge_absolute_error", "Mean absolute error of late over all assets, in the target's unit.", ["target"]
        )
        self._skill = gauge(
            "lstm_edge_skill_ratio", "1 less the error over that of persistence: 0 is no better.", ["target"]
        )
        self._asset_error = gauge(
            "lstm_edge_asset_absolute_error", "Mean absolute error of late, in the target's unit.", own
        )
        self._asset_skill = gauge("lstm_edge_asset_skill_ratio", "As lstm_edge_skill_ratio, of one asset.", own)

    def message(self, accepted: int, refused: Sequence[Refusal]) -> None:
        """Counts one message: outcomes of messages add up to the messages that came.

        Args:
            accepted: readings that were taken, whatever was refused of them later not among them.
            refused: what was not taken, by `payloads` or by `intervals`. Where nothing was taken, the first of them
                is the message's outcome.
        """
        self._readings_accepted.value += accepted
        if not refused:
            self.messages_accepted.value += 1
            return
        for refusal in refused:
            self.readings[refusal.reason].value += 1
        outcome = self.messages_partly if accepted else self.messages_refused[refused[0].reason]
        outcome.value += 1

    def dropped(self, reason: str, forecasts: int = 1) -> None:
        """Counts forecasts that were given up."""
        self._dropped.child(reason).inc(forecasts)

    def dropped_since_start(self, totals: Mapping[str, int]) -> None:
        """Takes over the outbox's own counts of them, by reason."""
        for reason, total in totals.items():
            self._dropped.child(reason).follow(total)

    def identify(self, *, model: str, digest: str, graph: str, versions: tuple[str, str, str], start_s: float) -> None:
        """Says once what runs.

        Args:
            model: the bundle's name.
            digest: the bundle's.
            graph: which of its graphs is run.
            versions: of the toolkit, Python and onnxruntime.
            start_s: seconds since 1970.
        """
        self._model.replace({(model, digest, graph): _gauge(1)})
        self._build.replace({versions: _gauge(1)})
        self.start_time.set(start_s)

    def score(self, scores: Iterable[Score]) -> None:
        """Puts these scores in place of the last ones; the first assets that come have series of their own.

        Call it now and then, not with every forecast.
        """
        totals: dict[str, list[float]] = {}
        own: dict[tuple[str, ...], Score] = {}
        assets: set[str] = set()
        for score in scores:
            total = totals.setdefault(score.target, [0.0, 0.0, 0.0])
            for place, part in enumerate((score.error, score.persistence_error, 1.0)):
                total[place] += part * score.values
            if score.asset in assets or len(assets) < self._most_assets:
                assets.add(score.asset)
                own[score.asset, score.target] = score
        scored = {(target,): total for target, total in totals.items() if total[2] > 0}
        self._error.replace({key: _gauge(total[0] / total[2]) for key, total in scored.items()})
        self._skill.replace({key: _gauge(skill(total[0], total[1])) for key, total in scored.items()})
        self._asset_error.replace({key: _gauge(score.error) for key, score in own.items()})
        self._asset_skill.replace(
            {key: _gauge(skill(score.error, score.persistence_error)) for key, score in own.items()}
        )

    def exposition(self) -> str:
        """The text that `/metrics` gives."""
        return self.registry.exposition()


def _gauge(value: float) -> Gauge:
    gauge = Gauge()
    gauge.set(value)
    return gauge


def skill(error: float, persistence_error: float) -> float:
    """1 less the quotient of the errors; NaN where persistence made none, which nothing can be better than."""
    return 1.0 - error / persistence_error if persistence_error > 0 else float("nan")


def resident_bytes() -> int:
    """What the kernel counts as resident of this process; 0 where it does not say."""
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    sizes = (line.split() for line in status.splitlines() if line.startswith("VmRSS:"))
    return next((int(size[1]) * 1024 for size in sizes), 0)
