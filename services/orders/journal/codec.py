"""Events and orders as JSON: decimals as text, enums as their words, None left out. What is kept for life has to be readable for life."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from services.runtime.errors import FailedPrecondition

T = TypeVar("T")

_TEXT: Final = json.JSONEncoder(separators=(",", ":"))
_AS_THEY_ARE: Final = frozenset({str, int, bool})
_type_of: Callable[[Any], Any] = type


class UnreadableRecord(FailedPrecondition):
    """A record does not have the fields of its kind. Nothing goes on without it: what it says may be an order at an exchange."""


def encode(value: Any) -> str:
    """Return a dataclass as JSON with sorted keys, so that the same value is the same text."""
    return _TEXT.encode(_plain(_type_of(value))(value))


def decode(kind: type[T], text: str) -> T:
    """Return what `encode` made; raise UnreadableRecord. Fields that are missing take their defaults, unknown ones are refused."""
    try:
        return cast(T, _reader(cast(Hashable, kind))(json.loads(text)))
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RecursionError) as exc:
        raise UnreadableRecord(f"not a {kind.__name__}: {type(exc).__name__}: {text[:200]}") from exc


@cache
def _plain(kind: Any) -> Callable[[Any], Any]:
    """Return what makes JSON's kind of value out of values of a type; made once per type, because every order is written twice."""
    if is_dataclass(kind):
        # Sorted here, once per type, and not by whoever makes the text, for each record.
        names = sorted(field.name for field in fields(cast("type[Any]", kind)))

        def plain(value: Any) -> dict[str, Any]:
            parts = vars(value)
            return {
                name: part if (of := _type_of(part)) in _AS_THEY_ARE else _plain(of)(part)
                for name in names
                if (part := parts[name]) is not None
            }

        return plain
    if issubclass(kind, Decimal):
        return lambda value: format(value, "f")
    if issubclass(kind, frozenset):
        return sorted
    if issubclass(kind, tuple):
        return lambda value: [_plain(_type_of(one))(one) for one in value]
    return lambda value: value


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """Return what makes a value of a type out of JSON; made once per type, because orders are read by the thousand."""
    if get_origin(kind) in (Union, UnionType):
        member = _reader(next(member for member in get_args(kind) if member is not NoneType))
        return lambda value: None if value is None else member(value)
    if get_origin(kind) is frozenset:
        return frozenset
    if get_origin(kind) is tuple:
        item = _reader(get_args(kind)[0])
        return lambda value: tuple(item(one) for one in value)
    if kind is Decimal:
        return _decimal
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _dataclass_reader(kind)

    def checked(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {kind}")
        return value

    return checked


def _dataclass_reader(kind: type[Any]) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = {name: _reader(hint) for name, hint in hints.items()}
    # None is left out on the way in, so a field without a default comes back as None where that is legal.
    absent = {name: None for name, hint in hints.items() if NoneType in get_args(hint)}

    def built(value: Any) -> Any:
        return kind(**{**absent, **{name: readers[name](part) for name, part in value.items()}})

    return built


def _decimal(value: Any) -> Decimal:
    if type(value) is not str:
        raise TypeError("a decimal is text")
    return Decimal(value)
