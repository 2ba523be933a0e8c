"""Reports back from JSON, for showing: what they leave open is shown as open.

`toolkit.contract.records.decode` is strict, because a gateway runs by what it reads. Here a report of a newer release
may hold keys that are not known yet, and a number that was not finite was written as null: it is NaN again, and a check
that failed because of it is shown as failed.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from toolkit.errors import ReportError, RequestError

T = TypeVar("T")

LONGEST_TEXT = 1 << 20
LARGEST = 1e100
"""Far beyond float32, in which models answer, and small enough that axes can be scaled to it."""


def decoded(kind: type[T], value: object, where: str) -> T:
    """Builds the dataclass `kind` from a mapping.

    Args:
        kind: a dataclass whose fields are str, int, float, bool, Literal, tuple[X, ...], dict[str, X], X | None or
            further dataclasses.
        value: what the JSON parser gave.
        where: the name of the place, for messages.

    Raises:
        ReportError: a key is missing, a value has the wrong type, or the values contradict each other.
    """
    try:
        return typing.cast("T", _record(kind, value, where))
    except ReportError:
        raise
    except RequestError as error:  # a signal or a model that contradicts itself
        raise ReportError(f"{where}: {error}") from error
    except RecursionError as error:
        raise ReportError(f"{where}: one list or table within the other, too deep to be followed") from error


def clean_text(text: str) -> str:
    """Text that a page can hold: half a surrogate pair cannot be written, and control characters steer terminals."""
    return "".join(mark if mark.isprintable() or mark == "\n" else "?" for mark in text.expandtabs(4))


def _record(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ReportError(where, got=_shown(value), allowed=f"a table with {_names(kind)}")
    given = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            given[field.name] = _value(_hints(kind)[field.name], value[field.name], f"{where}: {field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ReportError(f"{where} lacks the key {field.name!r}", allowed=f"a table with {_names(kind)}")
    return kind(**given)


def _names(kind: Any) -> str:
    return ", ".join(field.name for field in dataclasses.fields(kind))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _record(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        return _optional(hint, value, where)
    if origin is Literal:
        return _literal(hint, value, where)
    if origin is tuple and isinstance(value, list):
        return _tuple(typing.get_args(hint)[0], value, where)
    if origin is dict and isinstance(value, Mapping):
        item = typing.get_args(hint)[1]
        return {clean_text(str(key)): _value(item, one, f"{where}.{key:.40}") for key, one in value.items()}
    return _scalar(hint, value, where)


def _tuple(item: Any, value: list[Any], where: str) -> tuple[Any, ...]:
    if item is float and set(map(type, value)) == {float}:  # long, and nearly always nothing else
        return tuple(_finite(one, where) for one in value)
    return tuple(_value(item, one, f"{where}[{place}]") for place, one in enumerate(value))


def _optional(hint: Any, value: Any, where: str) -> Any:
    if value is None:
        return None
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    for kind in kinds[:-1]:
        try:
            return _value(kind, value, where)
        except ReportError:
            continue
    return _value(kinds[-1], value, where)


def _literal(hint: Any, value: Any, where: str) -> Any:
    choices = typing.get_args(hint)
    if value not in choices:
        raise ReportError(where, got=_shown(value), allowed=", ".join(map(str, choices)))
    return value


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return _plain(value)
    if hint is float and value is None:
        return math.nan
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value, where)
    kind = typing.get_origin(hint) or hint
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ReportError(where, got=_shown(value), allowed=_kind_name(kind))
    if isinstance(value, int) and not abs(value) < 1 << 53:
        raise ReportError(where, got=_shown(value), allowed="a whole number below 2^53")
    return _text(value, where) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {clean_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return clean_text(value) if isinstance(value, str) else value


def _text(value: str, where: str) -> str:
    if len(value) > LONGEST_TEXT:
        raise ReportError(where, got=f"text of {len(value)} characters", allowed=f"at most {LONGEST_TEXT}")
    return clean_text(value)


def _finite(value: float, where: str) -> float:
    if not abs(value) <= LARGEST:
        raise ReportError(where, got=_shown(value), allowed=f"a number up to {LARGEST:g}, or null")
    return float(value)


def _kind_name(kind: type) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", tuple: "a list"}
    return names.get(kind, "a table")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
