"""The loop: messages come, one transaction makes their effects durable, and only then they are acknowledged.

    poll -> take -> forecast -> commit -> acknowledge -> publish

One thread does all of it. A commit is due when the commit interval has passed since the first message that waits for
its acknowledgement, when the window of such messages is full, or when an asset that is due has waited for others long
enough. Where the disk refuses, memory runs ahead of the journal: nothing is acknowledged, nothing published, and the
same changes are committed once it takes them; the window of unacknowledged messages bounds what piles up meanwhile.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from toolkit.edge.changes import Changes
from toolkit.edge.core import Core
from toolkit.edge.gateway_metrics import GatewayMetrics
from toolkit.edge.journal import Journal
from toolkit.edge.journal_file import JournalWriteError
from toolkit.edge.settings import Settings
from toolkit.edge.topics import TopicPattern
from toolkit.edge.transport import Arrivals, Delivery, Transport
from toolkit.edge.vitals import Vitals

log = logging.getLogger(__name__)

IDLE_TURN_S = 0.25
"""The longest turn: the watchdog is fed and the health told that often, whatever does not come."""
RETRY_S = 1.0
"""Between two tries to commit what the disk refused."""
PUBLISHED_AT_ONCE = 256
SCORED_EVERY_S = 15.0
SHOWN_EVERY_S = 0.25
GOODBYE_S = 0.3
"""Of the time for an end in order, what the transport's own goodbye may take."""
ALL_READ = 200
"""Deliveries of one look at the transport from which on more may lie ready."""

DUE_AT_ONCE = 512
"""Closed intervals from which on their forecasts come first: a backlog sent as long arrays must neither keep one turn
busy for minutes nor lie in memory as a whole."""
MOST_WAITING = 4096
"""Forecasts in the outbox from which on the input waits for a broker that takes them one after the other."""
PROGRESS_S = 5.0
"""For so long after an acknowledgement the broker counts as one that takes them."""
HELD_UNPROTECTED = 1000
"""Messages that wait here from which on what comes unprotected is let go: no window bounds it."""


class LinkHealth(Protocol):
    """What a transport counts of itself."""

    connects: int
    refused_publishes: int

    @property
    def problems(self) -> list[str]:
        """What does not work at present, one line each."""


class Gateway:
    """One gateway at work.

    Args:
        core: restored.
        journal: restored.
        transport: carries the messages.
        settings: of the gateway.
        vitals: are told of every turn.
        feed: is called once a turn: the service manager's watchdog.
        health: what the transport counts of itself, where it does.
        monotonic_s: seconds since any moment.
    """

    def __init__(
        self,
        core: Core,
        journal: Journal,
        transport: Transport,
        settings: Settings,
        *,
        vitals: Vitals | None = None,
        feed: Callable[[], object] = lambda: None,
        health: LinkHealth | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._core, self._journal, self._transport = core, journal, transport
        self._topic = TopicPattern(settings.output.topic)
        self._commit_interval_s = settings.journal.commit_interval_s
        self._forecast_wait_ns = int(settings.journal.forecast_wait_s * 1e9)
        self._vitals, self._feed, self._now = vitals or Vitals(), feed, monotonic_s
        self._metrics: GatewayMetrics = core.metrics
        self._held: deque[Delivery] = deque()
        self._tokens: list[int] = []
        self._delivered: list[int] = []
        self._first_waiting_s: float | None = None
        self._refused: Changes | None = None
        self._retry_at_s = 0.0
        self._connected = False
        self._progress_s = float("-inf")
        self._most_waiting = min(MOST_WAITING, settings.output.max_messages // 2)
        self._drops = dict(journal.outbox.dropped)
        self._health = health
        self._problems: list[str] = []
        self._shown_s = 0.0
        self._scored_s = monotonic_s()
        self._vitals.journal_working = True

    def run(self, stop: Callable[[], bool]) -> None:
        """Turns until `stop` says so."""
        while not stop():
            self.turn()

    def turn(self) -> None:
        """Looks at the transport once, and does what is due."""
        arrivals = self._transport.poll(self._wait_s())
        self._take(arrivals)
        if self._may_judge_silence(arrivals):
            self._core.close_silent()
        else:
            self._core.hold_silence()
        if self._commit_is_due(arrivals):
            self._commit()
        self._publish()
        self._alive()
        self._show()

    def stop(self, within_s: float = 1.5) -> None:
        """Makes durable and acknowledges what has come, sends what can be sent at once, and says goodbye.

        The journal stays open: whoever opened it closes it.
        """
        deadline = self._now() + within_s
        self._commit()
        self._publish()
        self._wait_for_deliveries(deadline - GOODBYE_S)
        self._transport.close(max(deadline - self._now(), GOODBYE_S))

    def _alive(self) -> None:
        self._vitals.turn()
        self._feed()

    def _wait_for_deliveries(self, deadline: float) -> None:
        """What the broker acknowledges now need not be published again after the next start."""
        outbox = self._journal.outbox
        while self._connected and outbox.in_flight > len(self._delivered) and self._now() < deadline:
            arrivals = self._transport.poll(max(deadline - self._now(), 0.0))
            self._delivered += arrivals.delivered
            self._connected = arrivals.connected and not arrivals.reset
        if self._delivered and self._refused is None and self._made_durable(Changes(delivered=self._delivered)):
            self._delivered = []

    def _wait_s(self) -> float:
        """How long nothing is due by itself."""
        if self._held and self._refused is None and not self._journal.outbox.blocked and self._room():
            return 0.0
        waits = [IDLE_TURN_S]
        if self._refused is not None:
            waits.append(self._retry_at_s - self._now())
        elif self._first_waiting_s is not None:
            waits.append(self._first_waiting_s + self._commit_interval_s - self._now())
        if self._core.due and self._refused is None:
            waits.append((self._core.due_since_ns + self._forecast_wait_ns - time.monotonic_ns()) / 1e9)
        silent = self._core.silent_in_s()
        if silent is not None:
            waits.append(max(silent, 0.01))
        return max(min(waits), 0.0)

    def _take(self, arrivals: Arrivals) -> None:
        self._delivered += arrivals.delivered
        if arrivals.delivered:
            self._progress_s = self._now()
        if arrivals.reset:
            # What was not acknowledged comes again. Tokens of this very look are void or of the new link: kept.
            self._held.clear()
            self._tokens.clear()
            self._journal.outbox.link_lost()
            for number in self._delivered:  # it has arrived, though that is not durable yet
                self._journal.outbox.sent(number)
        self._hold(arrivals.deliveries)
        if not self._journal.outbox.blocked:
            self._work_off()
        if self._first_waiting_s is None and (self._tokens or self._delivered or self._core.due):
            self._first_waiting_s = self._now()
        self._note_link(arrivals.connected)

    def _hold(self, deliveries: list[Delivery]) -> None:
        """Messages that are to be worked off."""
        if self._refused is not None or self._journal.outbox.blocked or len(self._held) >= HELD_UNPROTECTED:
            protected = [delivery for delivery in deliveries if delivery.token is not None]
            self._metrics.unprotected_lost.inc(len(deliveries) - len(protected))
            deliveries = protected
        self._held += deliveries

    def _work_off(self) -> None:
        room = self._room()
        while self._held and self._core.due < room:
            delivery = self._held.popleft()
            self._core.take(delivery)
            if delivery.token is not None:
                self._tokens.append(delivery.token)

    def _room(self) -> int:
        """Intervals that may close before their forecasts are made.

        A backlog makes forecasts faster than a broker takes them. While one does take them, the input waits for it:
        none need be dropped then. For one that takes none, nothing waits.
        """
        if not self._connected or self._now() - self._progress_s >= PROGRESS_S:
            return DUE_AT_ONCE
        return max(min(DUE_AT_ONCE, self._most_waiting - self._journal.outbox.depth), 0)

    def _may_judge_silence(self, arrivals: Arrivals) -> bool:
        """Whether all that was sent has been read: an asset whose messages wait somewhere is not silent."""
        waits = arrivals.window_full or self._held or len(arrivals.deliveries) >= ALL_READ
        return arrivals.connected and not waits and self._refused is None

    def _note_link(self, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            self._metrics.link_up.set(connected)
            log.info("the broker is connected" if connected else "the broker is not connected")

    def _commit_is_due(self, arrivals: Arrivals) -> bool:
        if self._refused is not None:
            return self._now() >= self._retry_at_s
        if self._first_waiting_s is None:
            return False
        if arrivals.window_full or self._core.due >= DUE_AT_ONCE:
            return True
        if self._now() - self._first_waiting_s >= self._commit_interval_s:
            return True
        return self._core.due > 0 and time.monotonic_ns() - self._core.due_since_ns >= self._forecast_wait_ns

    def _commit(self) -> None:
        """One transaction, and behind it the acknowledgements; where it fails, all stays as it is for the next try."""
        if self._refused is not None and not self._made_durable(self._refused):
            return
        self._refused = None
        changes = self._core.changes(self._alive)
        changes.delivered, self._delivered = self._delivered, []
        if not self._made_durable(changes):
            self._refused = changes
            return
        self._transport.acknowledge(self._tokens)
        self._tokens = []
        self._first_waiting_s = None
        now_ns = time.monotonic_ns()
        for completed_ns in self._core.completed_ns():
            self._metrics.latency.observe((now_ns - completed_ns) / 1e9)

    def _made_durable(self, changes: Changes) -> bool:
        begun_s = self._now()
        try:
            self._journal.commit(changes)
        except JournalWriteError as error:
            self._retry_at_s = self._now() + RETRY_S
            self._metrics.journal_failures.inc()
            told = f"{error}; nothing is acknowledged until it can"
            log.error(told, extra={"repeat": "journal"})  # noqa: TRY400 - one line, no traceback
            self._set_working(working=False)
            return False
        self._metrics.commit_duration.observe(self._now() - begun_s)
        self._metrics.forecasts_delivered.inc(len(changes.delivered))
        self._set_working(working=True)
        return True

    def _set_working(self, *, working: bool) -> None:
        if working and not self._vitals.journal_working:
            log.info("the journal works again")
        self._vitals.journal_working = working
        self._metrics.journal_failing.set(not working)

    def _publish(self) -> None:
        if not self._connected:
            return
        outbox = self._journal.outbox
        for entry in outbox.pending(PUBLISHED_AT_ONCE):
            if not self._transport.publish(entry.number, self._topic.fill(entry.asset), entry.payload):
                break
            outbox.sent(entry.number)

    def _show(self) -> None:
        """A few times a second what is to be seen from outside, and once in a while the scores."""
        if self._now() - self._shown_s < SHOWN_EVERY_S:
            return
        self._shown_s = self._now()
        outbox, metrics = self._journal.outbox, self._metrics
        metrics.outbox_forecasts.set(outbox.depth)
        metrics.outbox_bytes.set(outbox.size_bytes)
        metrics.outbox_oldest_age.set(outbox.oldest_age_s)
        metrics.outbox_blocked.set(outbox.blocked)
        metrics.dropped_since_start({str(reason): count for reason, count in outbox.dropped.items()})
        for reason, dropped in outbox.dropped.items():
            if dropped > self._drops[reason]:
                log.warning("forecasts were dropped: %s", reason, extra={"repeat": f"dropped {reason}"})
        self._drops = dict(outbox.dropped)
        self._show_link()
        if self._now() - self._scored_s >= SCORED_EVERY_S:
            self._scored_s = self._now()
            metrics.score(self._core.scores())

    def _show_link(self) -> None:
        if self._health is None:
            return
        self._metrics.connects.value = self._health.connects
        self._metrics.publishes_refused.value = self._health.refused_publishes
        problems = self._health.problems
        for problem in problems:
            if problem not in self._problems:
                log.warning(problem, extra={"repeat": problem})
        self._problems = problems
