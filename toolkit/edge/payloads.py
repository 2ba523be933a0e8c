"""Messages into readings: JSON that may be anything, numbers that may be nothing.

`PayloadReader.read` answers every message and raises for none. What is wrong with a message as a whole refuses it as a
whole; one bad field refuses itself, and the sample's other fields are readings all the same.

JSON is read strictly: UTF-8 without a byte order mark, no lone surrogates, no key twice in one object (two numbers
under one name are one too many, and parsers differ in which of them they keep). Only `NaN` and `Infinity`, which JSON
has not and sources send, are told from text that is none: they are counted by their own names.

This is the gateway's hottest path: whatever depends on the settings alone is worked out beforehand.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toolkit.edge.columns import Column
from toolkit.edge.payload_fields import ABSENT, compiled_fields, parts_of, within
from toolkit.edge.payload_times import time_reader
from toolkit.edge.readings import ParsedMessage, Reading, Reason, Refusal
from toolkit.edge.settings import ColumnLimits, InputSettings
from toolkit.edge.topics import TopicPattern, is_asset_name

MOST_SAMPLES = 100_000
"""Samples of one message; more would keep all other messages waiting for seconds."""
ROUTES_KEPT = 32_768
"""Topics that are remembered: some 10 MB where names are long."""
LARGEST_SEQUENCE = 2**63 - 1
"""What SQLite holds."""

Key = tuple[str, tuple[str, ...]]
"""A key, and the levels it leads through where it has dots."""


class PayloadReader:
    """Reads the messages of all inputs.

    Args:
        inputs: kinds of messages, whose topics do not overlap.
        columns: of the bundle.
        limits: by the names of columns.
        max_payload_bytes: of a message that is read at all.

    Raises:
        ConfigError: a topic that is no pattern, a column that the bundle has not, a unit that cannot be turned into the
            column's.
    """

    def __init__(
        self,
        inputs: Sequence[InputSettings],
        columns: Sequence[Column],
        limits: Mapping[str, ColumnLimits],
        max_payload_bytes: int,
    ) -> None:
        self._inputs = [_Input(settings, tuple(columns), limits) for settings in inputs]
        self._max_payload_bytes = max_payload_bytes
        self._routes: dict[str, tuple[_Input, str]] = {}

    @property
    def subscriptions(self) -> tuple[tuple[str, int], ...]:
        """Filters to subscribe to, each with its quality of service."""
        return tuple((one.pattern.subscription, one.qos) for one in self._inputs)

    def read(self, topic: str, payload: bytes) -> ParsedMessage:
        """What a message holds; whatever it holds, this answers.

        Args:
            topic: that it came under.
            payload: its bytes.
        """
        route = self._routes.get(topic) or self._route(topic)
        if isinstance(route, Reason):
            return _refused("", route)
        found, asset = route
        if len(payload) > self._max_payload_bytes:
            return _refused(asset, Reason.TOO_LARGE)
        try:
            content = _content(payload)
        except _RepeatedKeyError:
            return _refused(asset, Reason.SHAPE)
        except (ValueError, RecursionError):
            return _refused(asset, Reason.NOT_JSON)
        return found.read(content, asset)

    def _route(self, topic: str) -> "tuple[_Input, str] | Reason":
        for one in self._inputs:
            asset = one.pattern.asset(topic)
            if asset is None:
                continue
            if one.pattern.names_asset and not is_asset_name(asset):
                return Reason.ASSET_NAME
            if len(self._routes) >= ROUTES_KEPT:
                self._routes.clear()
            self._routes[topic] = one, asset
            return one, asset
        return Reason.TOPIC


class _Input:
    """One kind of message, compiled."""

    def __init__(
        self, settings: InputSettings, columns: tuple[Column, ...], limits: Mapping[str, ColumnLimits]
    ) -> None:
        self.pattern = TopicPattern(settings.topic, "input.topic")
        self.qos = settings.qos
        self._asset = _key(settings.asset)
        self._samples = _key(settings.samples)
        self._sequence = _key(settings.sequence)
        self._time = settings.time, parts_of(settings.time)
        self._read_time = time_reader(settings.time_format)
        self._fields = compiled_fields(settings, columns, limits)

    def read(self, content: object, asset: str) -> ParsedMessage:
        """The readings of a payload, whose asset is known unless the payload names it."""
        samples = self._samples_of(content)
        if samples is None or len(samples) > MOST_SAMPLES:
            return _refused(asset, Reason.SHAPE)
        if self._asset is not None:
            named = _assets(self._asset, content, samples)
            if len(named) != 1:
                return _refused("", Reason.SHAPE if named else Reason.ASSET_NAME)
            asset = named.pop()
            if not is_asset_name(asset):
                return _refused("", Reason.ASSET_NAME)
        message = ParsedMessage(asset, [], [])
        for sample in samples:
            self._read_sample(sample, message.readings, message.refused)
        return message

    def _samples_of(self, content: object) -> Sequence[Any] | None:
        if self._samples is None:
            return content if type(content) is list else (content,)
        array = _get(content, self._samples) if type(content) is dict else None
        return array if type(array) is list else None

    def _read_sample(self, sample: object, readings: list[Reading], refused: list[Refusal]) -> None:
        if type(sample) is not dict:
            refused.append(Refusal(Reason.SHAPE))
            return
        written = _get(sample, self._time)
        time_us = self._read_time(written)
        if time_us is None:
            refused.append(Refusal(Reason.NO_TIME if written is None or written is ABSENT else Reason.BAD_TIME))
            return
        sequence = None
        if self._sequence is not None:
            sequence = _get(sample, self._sequence)
            if type(sequence) is not int or not 0 <= sequence <= LARGEST_SEQUENCE:
                refused.append(Refusal(Reason.BAD_SEQUENCE))
                return
        self._read_fields(sample, time_us, sequence, readings, refused)

    def _read_fields(
        self,
        sample: dict[str, Any],
        time_us: int,
        sequence: int | None,
        readings: list[Reading],
        refused: list[Refusal],
    ) -> None:
        for field in self._fields:
            column, key, parts, factor, offset, low, high, units = field
            value = sample.get(key, ABSENT)
            if value is ABSENT and parts:
                value = within(sample, parts)
            if type(value) is int:
                value = _as_float(value)
            if type(value) is not float:
                refused.append(Refusal(field.refused(value), column))
                continue
            if units is not None:
                turned = units.conversion(sample)
                if turned is None:
                    refused.append(Refusal(Reason.UNIT, column))
                    continue
                factor, offset = turned
            if factor is not None:
                value = value * factor + offset
            if low <= value <= high:
                readings.append(Reading(column, time_us, value, sequence))
            else:
                refused.append(Refusal(field.refused(value), column))


class _RepeatedKeyError(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKeyError
    return found


_decode: Callable[[str], Any] = json.JSONDecoder(object_pairs_hook=_object).decode


def _content(payload: bytes) -> Any:
    """What the bytes say.

    Raises:
        ValueError: they are no strict JSON.
        RecursionError: it is nested too deeply.
        _RepeatedKeyError: an object has a key twice.
    """
    content = _decode(payload.decode())
    if b"\\u" in payload:
        # A lone surrogate can be written in no other way than by an escape, and cannot be encoded again.
        json.dumps(content, ensure_ascii=False).encode()
    return content


def _assets(key: Key, content: object, samples: Sequence[Any]) -> set[str]:
    """The names that a payload gives its asset: for all samples together, or with each of them."""
    outside = _get(content, key) if type(content) is dict else ABSENT
    given = [outside] if outside is not ABSENT else [_get(one, key) for one in samples if type(one) is dict]
    return {str(name) if type(name) in (str, int) else "" for name in given}


def _key(text: str) -> Key | None:
    return (text, parts_of(text)) if text else None


def _get(sample: dict[str, Any], key: Key) -> Any:
    """A key as it stands comes before the levels that its dots lead through."""
    value = sample.get(key[0], ABSENT)
    return within(sample, key[1]) if value is ABSENT and key[1] else value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _refused(asset: str, reason: Reason) -> ParsedMessage:
    return ParsedMessage(asset, [], [Refusal(reason)])
