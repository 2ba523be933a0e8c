"""What the collector wrote down, read: forecasts by their output key, and what two runs differ in."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

VOLATILE = ("latency_ms", "quality")
"""What a message says of the way that it took. Quality is compared by itself: a clock that was moved shows in it."""
OF_THE_CLOCK = "clock"


class Key(NamedTuple):
    """The output's key."""

    asset: str
    interval_end: str
    digest: str


@dataclass(frozen=True)
class Forecast:
    """One of a key.

    Attributes:
        arrived_ns: when it came first, monotonic.
        told: its message without what is volatile, numbers as they were written: JSON.
        quality: without the mark of a clock that is off.
        latency_ms: as the gateway says.
    """

    arrived_ns: int
    told: str
    quality: str
    latency_ms: float


@dataclass(frozen=True)
class Collected:
    """All that came.

    Attributes:
        forecasts: the first of each key.
        repeated: messages whose key had come before with the same content: QoS 1 delivers at least once.
        conflicting: messages whose key had come before with other content: duplicates by the output key.
    """

    forecasts: dict[Key, Forecast]
    repeated: int
    conflicting: int


def collected(log: Path) -> Collected:
    """Reads a collector's file; a last line that is being written is left out."""
    forecasts: dict[Key, Forecast] = {}
    repeated = conflicting = 0
    for line in log.read_bytes().split(b"\n")[:-1]:
        arrived, _, payload = line.partition(b" ")
        key, forecast = read_forecast(int(arrived), payload)
        known = forecasts.setdefault(key, forecast)
        if known is not forecast:
            same = (known.told, known.quality) == (forecast.told, forecast.quality)
            repeated, conflicting = repeated + same, conflicting + (not same)
    return Collected(forecasts, repeated, conflicting)


def read_forecast(arrived_ns: int, payload: bytes) -> tuple[Key, Forecast]:
    # Numbers stay text: what is compared is what was written, digit for digit.
    message: dict[str, Any] = json.loads(payload, parse_float=str)
    key = Key(message["asset"], message["interval_end"], message["bundle"]["digest"])
    quality = message.get("quality", "good")
    marks = sorted(mark for mark in ([] if quality == "good" else quality) if mark != OF_THE_CLOCK)
    told = {name: value for name, value in message.items() if name not in VOLATILE}
    latency_ms = float(message.get("latency_ms", "nan"))
    return key, Forecast(arrived_ns, json.dumps(told, sort_keys=True), ",".join(marks), latency_ms)


@dataclass(frozen=True)
class Difference:
    """A run beside its undisturbed replay.

    Attributes:
        expected: forecasts of the replay.
        lost: of them, those that the run never sent.
        unexpected: of the run, those that the replay does not have.
        other_values: of the same key, those with other content.
        other_quality: with the same content and other marks.
    """

    expected: int
    lost: int
    unexpected: int
    other_values: int
    other_quality: int

    @property
    def none(self) -> bool:
        """Whether they are equal."""
        return not (self.lost or self.unexpected or self.other_values or self.other_quality)


def difference(run: dict[Key, Forecast], replay: dict[Key, Forecast]) -> Difference:
    both = run.keys() & replay.keys()
    return Difference(
        expected=len(replay),
        lost=len(replay.keys() - run.keys()),
        unexpected=len(run.keys() - replay.keys()),
        other_values=sum(run[key].told != replay[key].told for key in both),
        other_quality=sum(
            run[key].told == replay[key].told and run[key].quality != replay[key].quality for key in both
        ),
    )


def examples(run: dict[Key, Forecast], replay: dict[Key, Forecast], most: int = 3) -> list[str]:
    """Some keys that differ, for whoever looks for the reason."""
    wrong: Iterable[Key] = (
        key for key in sorted(run.keys() | replay.keys()) if key not in run or key not in replay
        or (run[key].told, run[key].quality) != (replay[key].told, replay[key].quality)
    )  # fmt: skip
    return [f"{key.asset} {key.interval_end}" for _, key in zip(range(most), wrong, strict=False)]
