"""One HTTP exchange as a simulator sees it, and what becomes of its answer on the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, unique
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request exactly as it came in: signatures are over `query` and `body` byte for byte. Header names are lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    address: str = "127.0.0.1"
    """Limits by IP count this."""

    @property
    def route(self) -> str:
        """What fault rules select by."""
        return f"{self.method} {self.path}"


@unique
class Fate(Enum):
    """How an answer reaches the client."""

    WHOLE = "whole"
    TRUNCATED = "truncated"
    """Half of the body, then the connection ends."""
    CUT = "cut"
    """The connection ends without a byte."""
    REFUSED = "refused"
    """As if nobody listened: nothing was read, nothing happened."""
    NEVER = "never"
    """The connection stays open and silent."""


@dataclass(frozen=True)
class Response:
    """An answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fate: Fate = Fate.WHOLE


JSON_TYPE = "application/json;charset=utf-8"


def json_response(status: int, payload: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a JSON body; decimals become numbers."""
    return Response(status, dump(payload), {"content-type": JSON_TYPE, **(headers or {})})


def dump(payload: Any) -> bytes:
    """Return compact JSON; a Decimal becomes the number with its digits, whole ones without a fraction."""
    return json.dumps(payload, separators=(",", ":"), default=_number).encode()


def _number(value: object) -> int | float:
    if isinstance(value, Decimal):
        whole = int(value)
        return whole if whole == value else float(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
