"""The samples of a load: the same numbers for the same seed, so that a ledger needs none of them.

A *tick* is one sample of every variable of every asset, all stamped with the same time. Numbers have a fixed width,
so that everything of a packet but its time, its number and its identifier is written once.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
from gateway_wire import publish_head

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VARIABLES = {"temperature": (40.0, 12.0, 3), "pressure": (101_300.0, 250.0, 2), "vibration": (3.0, 1.2, 4)}
"""By name: level, swing and decimals. No number leaves the width of its level."""


def iso(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Samples:
    """Ticks from `start_us`, `step_us` apart; messages of a tick are in the order of assets, then of variables."""

    assets: int
    start_us: int
    step_us: int
    seed: int = 0

    @property
    def messages_per_tick(self) -> int:
        """One for each variable of each asset."""
        return self.assets * len(VARIABLES)

    @cached_property
    def names(self) -> list[str]:
        """Of the assets."""
        return [f"pump-{asset:04d}" for asset in range(self.assets)]

    @cached_property
    def topics(self) -> list[str]:
        """Of the messages of a tick."""
        return [f"plant/{name}/{variable}" for name in self.names for variable in VARIABLES]

    @cached_property
    def heads(self) -> list[bytes]:
        """For each message of a tick what stands before its packet identifier."""
        lengths = [len(payload) for _, payload in self.tick(0)]
        return [publish_head(topic, length) for topic, length in zip(self.topics, lengths, strict=True)]

    def time_us(self, tick: int) -> int:
        """Of a tick: microseconds since 1970 UTC."""
        return self.start_us + tick * self.step_us

    def tick(self, tick: int) -> list[tuple[str, bytes]]:
        """Topic and payload of each message."""
        return list(zip(self.topics, self.payloads(tick), strict=True))

    def payloads(self, tick: int) -> list[bytes]:
        """Of each message of a tick."""
        time_us = self.time_us(tick)
        start = f'{{"time":"{iso(time_us)}","value":'
        return [f"{start}{number}}}".encode() for number in self._numbers(time_us)]

    def _numbers(self, time_us: int) -> list[str]:
        """Keyed by seed and time: two runs that share a time share its numbers."""
        noise = np.random.Generator(np.random.SFC64([self.seed, time_us // 1000])).random((self.assets, len(VARIABLES)))
        slow = np.sin(time_us / 1e6 / 300 + np.arange(self.assets)[:, None] * 0.37 + np.arange(len(VARIABLES)))
        swing = 0.5 * (noise - 0.5) + 0.7 * slow  # [assets, variables], within -1 and 1
        columns = [
            [f"{number:.{decimals}f}" for number in (level + width * swing[:, place]).tolist()]
            for place, (level, width, decimals) in enumerate(VARIABLES.values())
        ]
        return [number for row in zip(*columns, strict=True) for number in row]


def key_of(topic: str, payload: bytes) -> tuple[str, str]:
    """What makes a sample the same one when it comes again."""
    return topic, json.loads(payload)["time"]
