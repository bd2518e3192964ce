"""One authenticated call, as handlers see it, and the table that routes lead to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any, Final, TypeVar

from services.simulators.binance.errors import missing
from services.simulators.venue.clearing import Account

T = TypeVar("T")

PAGE: Final = 500
PAGE_MAX: Final = 1000


@dataclass(frozen=True)
class Call:
    """What a handler gets. Names and values are decoded text."""

    market: str
    route: str
    parameters: Mapping[str, str]
    now_ns: int
    """On the simulator's wall clock."""
    account: Account | None = None
    expires_ms: int | None = None
    """On the exchange's clock: the engine refuses it afterwards."""
    charged: list[int] = field(default_factory=list)

    def need(self, name: str) -> str:
        """Return a mandatory parameter."""
        value = self.parameters.get(name, "")
        if not value:
            raise missing(name)
        return value

    def get(self, name: str) -> str | None:
        """Return an optional parameter; an empty one counts as not sent."""
        return self.parameters.get(name) or None

    def number(self, name: str) -> int | None:
        """Return an optional whole number."""
        text = self.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdecimal()):
            raise missing(name)
        return int(text)

    @property
    def owner(self) -> str:
        """The account's name; only signed and keyed routes have one."""
        assert self.account is not None
        return self.account.name


@dataclass(frozen=True)
class Reply:
    """A payload with a status of its own."""

    status: int
    payload: Any


@unique
class Security(Enum):
    """What a route demands."""

    NONE = 0
    KEY = 1
    SIGNED = 2


Handler = Callable[[Call], Awaitable[Any]]
Weight = Callable[[Mapping[str, str]], int]


@dataclass(frozen=True)
class Route:
    """One entry of the table."""

    market: str
    handler: Handler
    weight: Weight
    security: Security = Security.NONE
    counts_order: bool = False
    """Draws on the order limiter."""
    free_on_success: bool = False
    """Costs its weight only when it fails."""
    right: str = "read"


def flat(weight: int) -> Weight:
    """A weight that depends on nothing."""
    return lambda parameters: weight


def by_symbol(one: int, many: int) -> Weight:
    """A weight that is lower for one symbol."""
    return lambda parameters: one if parameters.get("symbol") else many


def page_of(rows: list[T], call: Call, *, oldest: bool, largest: int = PAGE_MAX) -> list[T]:
    """Return one page: the first rows, or the last ones where nothing says where to begin."""
    limit = min(call.number("limit") or PAGE, largest)
    return rows[:limit] if oldest else rows[-limit:]


def by_limit(*steps: tuple[int, int], default: int = 500) -> Weight:
    """A weight that grows with `limit`: (up to that many, weight) in order."""

    def weight(parameters: Mapping[str, str]) -> int:
        text = parameters.get("limit", "")
        limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else default
        return next((one for most, one in steps if limit <= most), steps[-1][1])

    return weight
