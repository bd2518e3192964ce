"""Events and orders as JSON: decimals as text, enums as their words, None left out. What is kept for life has to be readable for life."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class UnreadableRecord(Exception):
    """A record does not have the fields of its kind."""


def encode(value: Any) -> str:
    """Return a dataclass as JSON with sorted keys, so that the same value is the same text."""
    return json.dumps(_plain(value), separators=(",", ":"), sort_keys=True)


def decode(kind: type[T], text: str) -> T:
    """Return what `encode` made; raise UnreadableRecord. Fields that are missing take their defaults, unknown ones are refused."""
    try:
        return cast(T, _built(kind, json.loads(text)))
    except (TypeError, ValueError, KeyError, ArithmeticError) as exc:
        raise UnreadableRecord(f"not a {kind.__name__}: {type(exc).__name__}: {text[:200]}") from exc


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if getattr(value, field.name) is not None
        }
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, frozenset):
        return sorted(value)
    return value


@cache
def _members(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _built(kind: Any, value: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        return _built(next(member for member in get_args(kind) if member is not NoneType), value)
    if get_origin(kind) is frozenset:
        return frozenset(value)
    if kind is Decimal:
        if not isinstance(value, str):
            raise TypeError("a decimal is text")
        return Decimal(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    if is_dataclass(kind):
        assert isinstance(kind, type)
        hints = _members(kind)
        given = {name: _built(hints[name], part) for name, part in value.items()}
        # None is left out on the way in, so a field without a default comes back as None where that is legal.
        absent = {
            field.name: None
            for field in fields(kind)
            if field.name not in given and NoneType in get_args(hints[field.name])
        }
        return kind(**absent, **given)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"expected {kind}")
    return value
