"""What the routes under /sim take, and how a wrong name or value is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl

from services.runtime.json_text import read_json


@dataclass(frozen=True)
class Lever:
    """One route: what it does, and what it takes. What it does not take is refused by name: it would be left out in silence."""

    work: Callable[[Mapping[str, str], Any], Any]
    query: tuple[str, ...] = ()
    body: tuple[str, ...] | None = ()
    """Members of its JSON object; None reads the body itself."""
    help: str = ""
    """For an exchange's own lever: what the list of routes says about it."""

    def read_query(self, text: str) -> Mapping[str, str]:
        """Return the parameters."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            if name in found:
                raise ValueError(f"`{name}` is given twice, and may be given once")
            _check_known(name, self.query, "parameter")
            found[name] = value
        return found

    def read_body(self, body: Any) -> Any:
        """Return the body."""
        if self.body is None or body is None:
            return body
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object" + (f" with {', '.join(self.body)}" if self.body else ""))
        for name in body:
            _check_known(name, self.body, "member")
        return body


def _check_known(name: str, known: tuple[str, ...], what: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        meant = f"; did you mean `{near[0]}`?" if near else ""
        takes = f"; there are {', '.join(known)}" if known else "; there is none"
        raise ValueError(f"`{name[:64]}` is no {what} here{meant}{takes}")


def whole(name: str, value: Any) -> int:
    """Return a whole number of a query or a body."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not str(value).isdecimal():
        raise ValueError(f"`{name}` must be a whole number (got {str(value)[:32]!r})")
    return int(value)


def amount(name: str, value: Any) -> Decimal:
    """Return a number of a query or a body, exactly."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        raise ValueError(f"`{name}` must be a number (got {str(value)[:32]!r})")
    return number


def json_or_text(body: bytes) -> Any:
    """Return JSON, or the text itself where it is none: a fault plan may be typed as it is."""
    text = body.decode("utf-8").strip()
    if not text:
        return None
    try:
        return read_json(text)
    except ValueError:
        return text
