"""Interface of a journal, with its rows and filters. One implementation keeps it in a database; tests in virtual time keep it in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from clients.exchanges.trading import Side
from services.orders.domain import Event, Order, OrderState

__all__ = [
    "ClientIdTaken",
    "FillFilter",
    "FillRow",
    "IdempotencyRow",
    "JournalEntry",
    "JournalStore",
    "JournalUnavailable",
    "Kept",
    "OrderFilter",
    "Superseded",
    "SwitchRow",
    "Traded",
]


class JournalUnavailable(Exception):
    """The journal cannot be written or read now; the same may succeed later."""


class Superseded(Exception):
    """Another orders server has taken over this journal: this one must end."""


class ClientIdTaken(Exception):
    """The owner has used this client order id before."""


@dataclass(frozen=True)
class IdempotencyRow:
    """A key that was used."""

    owner: str
    key: str
    body_hash: str
    order_id: str
    created_ns: int


@dataclass(frozen=True)
class FillRow:
    """One execution as it is listed."""

    exchange: str
    market: str
    symbol: str
    trade_id: str
    order_id: str
    owner: str
    exchange_order_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal | None
    fee_currency: str
    trade_time_ns: int


@dataclass(frozen=True)
class JournalEntry:
    """One event and everything that becomes durable in the same transaction."""

    event: Event
    order: Order
    """After the event."""
    idempotency: IdempotencyRow | None = None
    fill: FillRow | None = None


@dataclass(frozen=True)
class Kept:
    """An event with its place in the journal."""

    sequence: int
    event: Event


@dataclass(frozen=True)
class SwitchRow:
    """A change of the kill switch."""

    engaged: bool
    reason: str
    actor: str
    at_ns: int


@dataclass(frozen=True)
class OrderFilter:
    """All given parts have to match. `after` is (created_ns, order_id) of the last row of the page before; None owner is everyone's."""

    owner: str | None = None
    order_ids: Sequence[str] = ()
    client_order_ids: Sequence[str] = ()
    exchange_order_ids: Sequence[str] = ()
    venue_client_order_ids: Sequence[str] = ()
    created_from_ns: int | None = None
    created_to_ns: int | None = None
    states: Sequence[OrderState] = ()
    exchange: str = ""
    market: str = ""
    symbol: str = ""
    open_only: bool = False
    after: tuple[int, str] | None = None
    limit: int = 100


@dataclass(frozen=True)
class FillFilter:
    """As OrderFilter; `after` is (trade_time_ns, exchange, market, symbol, trade_id)."""

    owner: str | None = None
    order_id: str = ""
    exchange: str = ""
    symbol: str = ""
    from_ns: int | None = None
    to_ns: int | None = None
    after: tuple[int, str, str, str, str] | None = None
    limit: int = 100


@dataclass(frozen=True)
class Traded:
    """An instrument that there have been orders of."""

    exchange: str
    market: str
    symbol: str


class JournalStore(Protocol):
    """Raises JournalUnavailable and Superseded from every method."""

    @property
    def trouble(self) -> str:
        """Why nothing can be written until the process is started anew; empty while that is not so."""
        ...

    async def append(self, entry: JournalEntry) -> int:
        """Make one entry durable; return its sequence. Concurrent entries share a commit. Raises ClientIdTaken."""
        ...

    async def order(self, order_id: str) -> Order | None: ...

    async def named(self, exchange: str, market: str, *, client_id: str, exchange_id: str) -> Order | None:
        """Return the order that an exchange names so, the oldest of several: by the client id, or else by its own. Empty is no name."""
        ...

    async def find(self, wanted: OrderFilter) -> list[Order]:
        """Return matching orders, oldest first, at most `limit`."""
        ...

    async def fills(self, wanted: FillFilter) -> list[FillRow]: ...

    async def used_key(self, owner: str, key: str, *, since_ns: int) -> IdempotencyRow | None: ...

    def events(self, *, after_sequence: int = 0, order_id: str = "") -> AsyncIterator[Kept]:
        """Yield events in order up to the newest one, by pages."""
        ...

    async def last_sequence(self) -> int: ...

    async def switch(self) -> SwitchRow | None:
        """Return the last change of the kill switch."""
        ...

    async def set_switch(self, row: SwitchRow) -> None: ...

    async def traded(self) -> list[Traded]: ...

    async def forget_keys(self, *, before_ns: int) -> None:
        """Delete idempotency keys that are older."""
        ...
