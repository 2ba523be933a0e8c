"""Frozen dataclasses from and to plain JSON or TOML values, strictly.

An unknown key, a missing one and a value of the wrong type are errors that name the place; nothing is guessed.
One decoder serves the manifest (which a gateway must not trust) and the configuration (which a person types).
"""

import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from toolkit.errors import RequestError

T = TypeVar("T")


def decode(kind: type[T], value: object, where: str, error: type[RequestError]) -> T:
    """Builds the dataclass `kind` from a mapping.

    Args:
        kind: a dataclass whose fields are str, int, float, bool, Literal, tuple[X, ...], dict[str, X],
            X | None or further dataclasses.
        value: what the JSON or TOML parser gave.
        where: the name of the place, for messages (`manifest.json`, `lstm-edge.toml`).
        error: the class of error to raise.

    Raises:
        RequestError: of the class `error`, with the place, what stands there and what is allowed.
    """
    return typing.cast("T", _record(kind, value, where, error))


def encode(value: object) -> Any:
    """Turns dataclasses into dictionaries and tuples into lists, all the way down."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def nearest(name: str, names: typing.Iterable[str]) -> str | None:
    """The most similar of `names`, or None where nothing is similar."""
    import difflib  # noqa: PLC0415 - only where somebody mistyped: a gateway's start does not wait for it

    candidates = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(name.lower(), list(candidates), n=1, cutoff=0.5)
    return candidates[found[0]] if found else None


def _record(kind: Any, value: object, where: str, error: type[RequestError]) -> Any:
    if not isinstance(value, Mapping):
        raise error(
            where, got=_shown(value), allowed=f"a table of {', '.join(f.name for f in dataclasses.fields(kind))}"
        )
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            near = nearest(str(key), fields)
            raise error(
                f"{where} has an unknown key",
                got=repr(key),
                allowed=", ".join(fields),
                fix=f"did you mean {near!r}?" if near else None,
            )
    missing = [name for name, field in fields.items() if name not in value and _required(field)]
    if missing:
        needed = [name for name, field in fields.items() if _required(field)]
        raise error(f"{where} lacks the key {missing[0]!r}", allowed=f"all of {', '.join(needed)}")
    return kind(**{key: _value(hints[key], item, f"{where}: {key}", error) for key, item in value.items()})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """Worked out once for each class: a manifest holds some of them a dozen times."""
    return typing.get_type_hints(kind)


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, where: str, error: type[RequestError]) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _record(hint, value, where, error)
    if origin in (Union, types.UnionType):
        return _optional(hint, value, where, error)
    if origin is Literal:
        return _literal(hint, value, where, error)
    if origin is tuple and isinstance(value, (list, tuple)):
        return _tuple(hint, value, where, error)
    if origin is dict and isinstance(value, Mapping):
        item_hint = typing.get_args(hint)[1]
        return {str(key): _value(item_hint, item, f"{where}.{key}", error) for key, item in value.items()}
    return _scalar(hint, value, where, error)


def _optional(hint: Any, value: Any, where: str, error: type[RequestError]) -> Any:
    """`X | None`, or several scalar types of which the first that fits is taken."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    if value is None and len(kinds) < len(typing.get_args(hint)):
        return None
    for kind in kinds[:-1]:
        try:
            return _value(kind, value, where, error)
        except RequestError:
            continue
    return _value(kinds[-1], value, where, error)


def _literal(hint: Any, value: Any, where: str, error: type[RequestError]) -> Any:
    choices = typing.get_args(hint)
    if value not in choices:
        raise error(where, got=_shown(value), allowed=", ".join(map(str, choices)))
    return value


def _tuple(hint: Any, value: Any, where: str, error: type[RequestError]) -> Any:
    item_hint = typing.get_args(hint)[0]
    return tuple(_value(item_hint, item, f"{where}[{place}]", error) for place, item in enumerate(value))


def _scalar(hint: Any, value: Any, where: str, error: type[RequestError]) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value, where, error)
    kind = typing.get_origin(hint) or hint
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise error(where, got=_shown(value), allowed=_kind_name(kind))
    return value


def _finite(value: int | float, where: str, error: type[RequestError]) -> float:
    """JSON has no NaN, but its parser takes one: a tolerance of NaN would let every answer pass."""
    if not abs(value) <= sys.float_info.max:
        raise error(where, got=_shown(value), allowed="a finite number")
    return float(value)


def _kind_name(kind: type) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        tuple: "a list",
        dict: "a table",
    }
    return names.get(kind, kind.__name__)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
