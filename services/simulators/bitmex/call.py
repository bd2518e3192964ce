"""One call, as handlers see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from services.simulators.bitmex.errors import BitmexError, invalid
from services.simulators.venue.clearing import Account


@dataclass(frozen=True)
class Call:
    """What a handler gets: query and body merged, with numbers as they were written."""

    route: str
    parameters: Mapping[str, Any]
    now_ns: int
    account: Account | None = None

    @property
    def owner(self) -> str:
        """The account's name; only signed routes have one."""
        assert self.account is not None
        return self.account.name

    def get(self, name: str) -> str | None:
        """Return an optional text."""
        value = self.parameters.get(name)
        return None if value in (None, "") else str(value)

    def number(self, name: str, default: int) -> int:
        """Return a whole number."""
        text = self.get(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise BitmexError(400, f"'{name}' is not a number", name="ValidationError") from None

    def decimal(self, name: str) -> Decimal | None:
        """Return an optional number, exactly."""
        text = self.get(name)
        if text is None:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            raise invalid(f"Invalid {name}")
        return value

    def flag(self, name: str) -> bool:
        """Return an optional truth."""
        return str(self.parameters.get(name, "")).lower() == "true"

    def texts(self, name: str) -> list[str]:
        """Return a text or a list of them."""
        value = self.parameters.get(name)
        if value in (None, ""):
            return []
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]

    def time_ms(self, name: str) -> int | None:
        """Return an optional ISO time in milliseconds."""
        text = self.get(name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BitmexError(400, f"'{name}' is not a date", name="ValidationError") from None
        if moment.tzinfo is None:
            moment = datetime.fromisoformat(text + "+00:00")
        return round(moment.timestamp() * 1000)


@dataclass(frozen=True)
class Route:
    """One entry of the table."""

    handler: Callable[[Call], Awaitable[Any]]
    signed: bool = False
    is_order: bool = False
    """Draws on the bucket of a second."""
    right: str = "read"
