"""The best bid and ask of an order book, from REST and from its stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.bybit.markets import NAME
from clients.exchanges.bybit.rows import MILLISECOND_NS, Row
from clients.exchanges.exact_json import MalformedAnswer, to_decimal, to_int
from clients.exchanges.model import Instrument, Quote

LEVELS_MAX: Final = 1000
"""Of one side; more than the deepest book that is streamed."""

Side = dict[Decimal, Decimal]


def parse_book(row: Row, instrument: Instrument, *, receive_time_ns: int) -> Quote:
    """Return the quote of an answer of `orderbook`."""
    book = Book(instrument)
    book.apply(row, snapshot=True)
    return book.quote(row, to_int(row.get("ts"), "ts"), receive_time_ns=receive_time_ns, source="rest")


class Book:
    """The book of one instrument. A snapshot replaces it; a delta sets the sizes that it names, and 0 takes a price out.

    Of depth 1 there are only snapshots now; deltas of it have been seen, of one side only.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._bids: Side | None = None
        self._asks: Side = {}

    @property
    def known(self) -> bool:
        """Whether there has been a snapshot."""
        return self._bids is not None

    def apply(self, row: Row, *, snapshot: bool) -> None:
        """Take the levels of one frame."""
        if row.get("s") != self._instrument.exchange_symbol:
            raise MalformedAnswer("the book is not about this instrument")
        bids, asks = _levels(row, "b"), _levels(row, "a")
        if snapshot or self._bids is None:
            self._bids, self._asks = {}, {}
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for price, size in levels:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
            if len(side) > LEVELS_MAX:
                raise MalformedAnswer(f"more than {LEVELS_MAX} levels of one side")

    def quote(self, row: Row, made_ms: int, *, receive_time_ns: int, source: str) -> Quote:
        """Return best bid and ask. `made_ms` is when the exchange said that this is the book, changed or not: that is its age."""
        bid, ask = _best(self._bids or {}, max), _best(self._asks, min)
        return Quote(
            exchange=NAME,
            market=self._instrument.market,
            symbol=self._instrument.symbol,
            bid_price=bid[0],
            bid_quantity=bid[1],
            ask_price=ask[0],
            ask_quantity=ask[1],
            event_time_ns=made_ms * MILLISECOND_NS,
            receive_time_ns=receive_time_ns,
            # Not `u`, which each depth counts for itself.
            update_id=to_int(row["seq"], "seq") if "seq" in row else None,
            source=source,
        )


def restarted(row: Row) -> bool:
    """Whether the exchange has begun to count anew."""
    return row.get("u") == 1


def _levels(row: Row, name: str) -> list[tuple[Decimal, Decimal]]:
    found: Any = row.get(name)
    if not isinstance(found, list):
        raise MalformedAnswer(f"`{name}` is not a list of levels")
    return [_level(level, name) for level in found]


def _level(level: Any, name: str) -> tuple[Decimal, Decimal]:
    if not isinstance(level, list) or len(level) < 2:
        raise MalformedAnswer(f"a level of `{name}` is no price and size")
    return to_decimal(level[0], name), to_decimal(level[1], name)


def _best(
    side: Mapping[Decimal, Decimal], choose: Callable[[Mapping[Decimal, Decimal]], Decimal]
) -> tuple[Decimal, Decimal] | tuple[None, None]:
    if not side:
        return None, None
    price = choose(side)
    return price, side[price]
