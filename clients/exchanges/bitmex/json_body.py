"""JSON with exact numbers: a Decimal goes out as it is spelled, never through a float."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def encode(value: Mapping[str, Any]) -> bytes:
    """Return the object as compact JSON in the order of its keys. A float is a TypeError: it has lost its spelling already."""
    return _text(value).encode()


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} cannot be sent as a number")
        return format(value, "f")
    if value is None or isinstance(value, (str, bool, int)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_text(member)}" for key, member in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(_text(member) for member in value) + "]"
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
