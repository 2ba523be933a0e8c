"""Frozen dataclasses that a start does not wait for.

`dataclasses.dataclass(frozen=True)` writes and compiles six methods for each class: 1.1 ms in Python 3.11, and the
thirty classes that stand between a gateway and its first forecast cost it a seventh of its start. All of these methods
do the same in every class once they know its fields, so that they are written once here, and none is compiled:
`__init__` alone was another 0.1 ms for each class.

Everything else is a dataclass as ever: `fields`, `replace`, `is_dataclass`, `field`, `signature`, pickles and `match`
work. Fields that are keywords only or that `__init__` does not take are not known here.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

T = TypeVar("T")

_set = object.__setattr__

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, eq: bool = True) -> Callable[[type[T]], type[T]]:
        """As the standard library's, of which it takes no other options.

        Args:
            frozen: True; whatever is not frozen needs none of this.
            eq: whether two are equal when their fields are; False for those that hold arrays.
        """
        assert frozen
        return lambda kind: _made(kind, eq)


def _made(kind: type[T], eq: bool) -> type[T]:
    made = dataclasses.dataclass(init=False, repr=False, eq=False)(kind)
    shared: dict[str, Any] = {
        "__init__": _initialiser(made),
        "__signature__": _SIGNATURE,
        "__setattr__": _set_once,
        "__delattr__": _never_deleted,
        "__repr__": _shown,
    }
    if eq:
        shared |= {"__eq__": _equal, "__hash__": _hashed}
    for name, method in shared.items():
        if name not in kind.__dict__:
            setattr(made, name, method)
    made.__dataclass_params__.frozen = True  # type: ignore[attr-defined]  # a subclass by the standard library looks
    return made


def _initialiser(kind: Any) -> Callable[..., None]:
    """What `dataclasses` would compile, for fields that are all taken in their order or by their names."""
    fields = dataclasses.fields(kind)
    names = tuple(field.name for field in fields)
    known = frozenset(names)
    defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    factories = [
        (each.name, each.default_factory) for each in fields if each.default_factory is not dataclasses.MISSING
    ]
    is_finished = hasattr(kind, "__post_init__")
    assert all(field.init and not field.kw_only for field in fields)

    def __init__(self: Any, *given: Any, **named: Any) -> None:  # noqa: N807 - it becomes the method of that name
        values = defaults | named
        if given:
            values.update(zip(names, given, strict=False))
        for name, factory in factories:
            if name not in values:
                values[name] = factory()
        clash = bool(named) and not named.keys().isdisjoint(names[: len(given)])
        if clash or len(given) > len(names) or values.keys() != known:
            raise _wrong_arguments(kind, names, len(given), named, values)
        if self.__dict__:
            raise dataclasses.FrozenInstanceError(f"cannot assign to the fields of {kind.__qualname__} again")
        _set(self, "__dict__", values)
        if is_finished:
            self.__post_init__()

    return __init__


def _wrong_arguments(
    kind: Any, names: tuple[str, ...], given: int, named: dict[str, Any], values: dict[str, Any]
) -> TypeError:
    """In the words of Python's own."""
    what = f"{kind.__qualname__}.__init__()"
    if given > len(names):
        return TypeError(f"{what} takes {len(names)} arguments but {given} were given")
    unknown = [name for name in named if name not in names]
    if unknown:
        return TypeError(f"{what} got an unexpected keyword argument {unknown[0]!r}")
    twice = [name for name in names[:given] if name in named]
    if twice:
        return TypeError(f"{what} got multiple values for argument {twice[0]!r}")
    missing = [name for name in names if name not in values]
    return TypeError(f"{what} missing {len(missing)} required arguments: {', '.join(missing)}")


class _Signature:
    """What `inspect.signature` finds, worked out where somebody asks."""

    def __get__(self, instance: object, owner: Any) -> Any:
        import inspect  # noqa: PLC0415 - no start asks for it

        kind, absent = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        parameters = []
        for field in dataclasses.fields(owner):
            default: Any = absent if field.default is dataclasses.MISSING else field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory
            parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=field.type))
        return inspect.Signature(parameters, return_annotation=None)


_SIGNATURE = _Signature()


def _set_once(self: Any, name: str, value: object) -> None:
    """What `__init__` sets is there from then on, and nothing comes beside it."""
    if name in self.__dict__ or name not in self.__dataclass_fields__:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    self.__dict__[name] = value


def _never_deleted(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _compared(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value) if field.compare)


def _equal(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hashed(self: Any) -> int:
    return hash(_compared(self))


def _shown(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"
