"""Frozen dataclasses that a start does not wait for.

`dataclasses.dataclass(frozen=True)` writes and compiles six methods for each class: 1.1 ms in Python 3.11, and the
thirty classes that stand between a gateway and its first forecast cost it a seventh of its start. All of these methods
but `__init__` do the same in every class, so that they are written once here, and `__init__` alone is compiled.

Everything else is a dataclass as ever: `fields`, `replace`, `is_dataclass`, `field`, pickles and `match` work.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

T = TypeVar("T")

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
    made = dataclasses.dataclass(repr=False, eq=False)(kind)
    shared: dict[str, Any] = {"__setattr__": _set_once, "__delattr__": _never_deleted, "__repr__": _shown}
    if eq:
        shared |= {"__eq__": _equal, "__hash__": _hashed}
    for name, method in shared.items():
        if name not in kind.__dict__:
            setattr(made, name, method)
    made.__dataclass_params__.frozen = True  # type: ignore[attr-defined]  # a subclass by the standard library looks
    return made


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
