"""One call, as handlers see it, and what they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from services.simulators.bybit.errors import parameter
from services.simulators.bybit.listings import CATEGORIES
from services.simulators.venue.clearing import Account


@dataclass(frozen=True)
class Call:
    """What a handler gets: query or body, with numbers as they were written."""

    route: str
    parameters: Mapping[str, Any]
    now_ns: int
    account: Account | None = None
    granted: int = 1
    """For batches: how many of the orders the account's limit has room for."""

    @property
    def owner(self) -> str:
        """The account's name; only signed routes have one."""
        assert self.account is not None
        return self.account.name

    @property
    def category(self) -> str:
        """The category that every order and most questions must name."""
        found = self.get("category")
        if found not in CATEGORIES:
            raise parameter("params error: Category is invalid" if found else "params error: Missing category")
        return found

    def get(self, name: str) -> str | None:
        """Return an optional text; numbers and truths as JSON writes them."""
        value = self.parameters.get(name)
        if isinstance(value, bool):
            return "true" if value else "false"
        return None if value in (None, "") else str(value)

    def number(self, name: str, default: int, *, least: int = 1, most: int | None = None) -> int:
        """Return a whole number, cut to what is allowed."""
        text = self.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise parameter(f"params error: {name} is not a number") from None
        return max(least, value if most is None else min(value, most))

    def time_ms(self, name: str) -> int | None:
        """Return an optional time."""
        return None if self.get(name) is None else self.number(name, 0, least=0)

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
            raise parameter(f"params error: {name} invalid")
        return value

    def flag(self, name: str) -> bool:
        """Return an optional truth."""
        return (self.get(name) or "").lower() in ("true", "1")

    def with_parameters(self, parameters: Mapping[str, Any]) -> Call:
        """Return the same call about something else: one order of a batch."""
        return Call(self.route, parameters, self.now_ns, self.account)


@dataclass(frozen=True)
class Reply:
    """What stands in the envelope where it is more than a result."""

    result: Any
    extra: Any = field(default_factory=dict)
    message: str = "OK"


@dataclass(frozen=True)
class Route:
    """One entry of the table."""

    handler: Callable[[Call], Awaitable[Any]]
    signed: bool = False
    right: str = "read"
    batch: bool = False
    """Costs as many as the orders in it."""
