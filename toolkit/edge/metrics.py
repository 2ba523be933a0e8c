"""Counters, gauges and histograms, and the text in which Prometheus reads them.

One thread updates them, any thread reads them. No lock is taken on either side: an update is a few additions to a
number, which costs a tenth of a microsecond, and a reader may see one observation of a histogram in its buckets and
not yet in its sum. Buckets and count never disagree: both come from one copy.

Source of the format: Prometheus, "Exposition formats", text format 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Generic, Literal, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
"""The label of whatever came after a family had as many children as it may have."""

Kind = Literal["counter", "gauge", "histogram"]
Lines = Iterable[tuple[str, tuple[tuple[str, str], ...], float]]
"""Samples: what is added to the family's name, further labels, the number."""


class Counter:
    """A number that only rises."""

    kind: Kind = "counter"
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Adds an amount, which is never negative."""
        self.value += amount

    def follow(self, total: float) -> None:
        """Takes over a count that is kept elsewhere."""
        self.value = max(self.value, total)

    def samples(self) -> Lines:
        """The one number."""
        return [("", (), self.value)]


class Gauge:
    """A number that rises and falls."""

    kind: Kind = "gauge"
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Puts a number in place of the last one."""
        self.value = value

    def samples(self) -> Lines:
        """The one number."""
        return [("", (), self.value)]


class Histogram:
    """How often a measurement fell below each of some limits.

    Args:
        limits: upper ends of the buckets, rising; a measurement equal to a limit belongs below it.
    """

    kind: Kind = "histogram"
    __slots__ = ("_counts", "_limits", "total")

    def __init__(self, limits: Sequence[float]) -> None:
        if not limits or any(low >= high for low, high in pairwise(limits)):
            raise ValueError("a histogram's limits must rise")
        self._limits = tuple(limits)
        self._counts = [0] * (len(limits) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts one measurement."""
        self._counts[bisect_left(self._limits, value)] += 1
        self.total += value

    def samples(self) -> Lines:
        """Buckets, each with all that lies below its limit, then sum and count."""
        total, counts = self.total, self._counts.copy()
        samples: list[tuple[str, tuple[tuple[str, str], ...], float]] = []
        below = 0
        for limit, count in zip((*self._limits, float("inf")), counts, strict=True):
            below += count
            samples.append(("_bucket", (("le", number(limit)),), below))
        return [*samples, ("_sum", (), total), ("_count", (), below)]


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Generic[Child]):
    """Metrics of one name that differ in their labels.

    Args:
        name: as Prometheus shows it: base units, `_total` behind a counter.
        text: one sentence on what is counted or measured.
        labels: their names; none for a family of one.
        most: children that it may have. Whatever comes later is counted together, with every label `other`: a source
            that invents names must not cost memory without end.
        make: makes a child.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str], most: int, make: Callable[[], Child]) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self._most = most
        self._make: Callable[[], Child] = make
        self._children: dict[tuple[str, ...], Child] = {}

    def child(self, *values: str) -> Child:
        """The metric with these labels; ask once and keep it where it is updated often.

        Raises:
            ValueError: more or fewer values than the family has labels.
        """
        found = self._children.get(values)
        if found is not None:
            return found
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, got {values}")
        if len(self._children) >= self._most:
            values = (OTHER,) * len(self.labels)
        return self._children.setdefault(values, self._make())

    def replace(self, children: dict[tuple[str, ...], Child]) -> None:
        """Puts these, by the values of their labels, in place of all there were: a reader sees the old or the new."""
        self._children = children

    def text_lines(self) -> Iterable[str]:
        """Help, type and every sample."""
        children = self._children.copy()  # in one step: the other thread may add one meanwhile
        if not children:
            return
        first = next(iter(children.values()))
        yield f"# HELP {self.name} {_escaped(self.text)}"
        yield f"# TYPE {self.name} {first.kind}"
        for values, child in children.items():
            own = tuple(zip(self.labels, values, strict=True))
            for suffix, further, value in child.samples():
                yield f"{self.name}{suffix}{_labels(own + further)} {number(value)}"


class Registry:
    """All metrics of a process, in the order in which they are shown."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Counter] | Family[Gauge] | Family[Histogram]] = {}
        self._refreshers: list[Callable[[], None]] = []

    def counter(self, name: str, text: str, labels: Sequence[str] = (), most: int = 100) -> Family[Counter]:
        """A new family of counters."""
        return self._added(Family(name, text, labels, most, Counter))

    def gauge(self, name: str, text: str, labels: Sequence[str] = (), most: int = 100) -> Family[Gauge]:
        """A new family of gauges."""
        return self._added(Family(name, text, labels, most, Gauge))

    def histogram(
        self, name: str, text: str, limits: Sequence[float], labels: Sequence[str] = (), most: int = 100
    ) -> Family[Histogram]:
        """A new family of histograms with the same limits."""
        return self._added(Family(name, text, labels, most, lambda: Histogram(limits)))

    def before_reading(self, refresh: Callable[[], None]) -> None:
        """Has something called before each reading, in the reader's thread: what need not be measured all the time."""
        self._refreshers.append(refresh)

    def exposition(self) -> str:
        """The text of all of them."""
        for refresh in self._refreshers:
            refresh()
        return "".join(f"{line}\n" for family in self._families.values() for line in family.text_lines())

    def _added(self, family: Family[Child]) -> Family[Child]:
        if family.name in self._families:
            raise ValueError(f"the metric {family.name} stands twice")
        self._families[family.name] = family
        return family


def number(value: float) -> str:
    """As the format writes it: the shortest text that reads back as the same number."""
    if value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _labels(pairs: tuple[tuple[str, str], ...]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in pairs) + "}"


def _escaped(text: str, *, quote: bool = False) -> str:
    """A line break would begin a new sample, and half of a surrogate pair is no UTF-8."""
    text = text.replace("\\", r"\\").replace("\n", r"\n").replace("\r", " ")
    text = text.encode("utf-8", "replace").decode()
    return text.replace('"', r"\"") if quote else text
