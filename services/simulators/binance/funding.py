"""What holders of perpetual contracts pay each other every eight hours: the rate, its history, and the payments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from services.simulators.binance.call import Call, Route, flat
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.funding_rate import PERIOD_NS, funding_rate, next_funding_ns
from services.simulators.binance.listings import COINM, PREFIXES, USDM
from services.simulators.binance.spelling import eight, plain
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Leg

PAYMENTS_MAX: Final = 10_000
PAGE: Final = 100
PAGE_MAX: Final = 1000


@dataclass(frozen=True)
class Payment:
    """What one account got (paid, if below zero) for one position."""

    account: str
    listing: Listing
    leg: Leg
    amount: Decimal
    time_ns: int
    number: int


Told = Callable[[Payment], None]


class Funding:
    """Pays what is due and answers what asks for rates."""

    def __init__(self, venue: BinanceExchange, tell: Told) -> None:
        self._venue = venue
        self._tell = tell
        self._next_ns = next_funding_ns(venue.wall_ns())
        self._numbers = 0
        self.payments: deque[Payment] = deque(maxlen=PAYMENTS_MAX)
        """The newest, oldest first."""

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        table: dict[tuple[str, str], Route] = {}
        for market in (USDM, COINM):
            key = PREFIXES[market]
            table["GET", f"{key}/fundingRate"] = Route(market, self.rates, flat(1))
            table["GET", f"{key}/fundingInfo"] = Route(market, self.adjusted, flat(1))
            table["GET", f"{key}/openInterest"] = Route(market, self.open_interest, flat(1))
        return table

    def pay(self, now_ns: int) -> None:
        """Pay everything that is due by now; positions are those of now."""
        while self._next_ns <= now_ns:
            for name, holdings in self._venue.clearing.holdings.items():
                for place, leg, position in list(holdings.held()):
                    listing = self._venue.engine.listings[place]
                    if listing.expiry_ns is None and listing.market in (USDM, COINM):
                        worth = listing.settlement_value(self._mark(listing, self._next_ns), position.quantity)
                        amount = round(-worth * funding_rate(listing), 8)
                        holdings.add(listing.market, listing.settle, amount)
                        self._numbers += 1
                        payment = Payment(name, listing, leg, amount, self._next_ns, self._numbers)
                        self.payments.append(payment)
                        self._tell(payment)
            self._next_ns += PERIOD_NS

    async def rates(self, call: Call) -> Any:
        """Tell the rates of the past, of one symbol or all."""
        symbol = call.need("symbol") if call.market == COINM else call.get("symbol")
        known = self._venue.listings(call.market)
        wanted = known.values() if symbol is None else [self._venue.listing(call.market, symbol)]
        limit = min(call.number("limit") or PAGE, PAGE_MAX)
        rows = [
            {
                "symbol": listing.symbol,
                "fundingTime": time_ns // 1_000_000,
                "fundingRate": eight(funding_rate(listing)),
                "markPrice": eight(self._mark(listing, time_ns)),
            }
            for listing in wanted
            if listing.expiry_ns is None
            for time_ns in self._times(call, limit)
        ]
        rows.sort(key=lambda row: int(str(row["fundingTime"])))
        return rows[:limit] if call.number("startTime") is not None else rows[-limit:]

    async def adjusted(self, call: Call) -> Any:
        """List symbols whose period or bounds were adjusted: there are none."""
        return []

    async def open_interest(self, call: Call) -> Any:
        """Tell how much all accounts here hold of a contract."""
        listing = self._venue.listing(call.market, call.need("symbol"))
        place = (listing.market, listing.symbol)
        every = (one.held() for one in self._venue.clearing.holdings.values())
        held = [position.quantity for positions in every for held, _, position in positions if held == place]
        told: dict[str, Any] = {
            "symbol": listing.symbol,
            "openInterest": plain(sum((abs(one) for one in held), Decimal(0))),
            "time": self._venue.shown_ms(call.now_ns),
        }
        return {**told, "pair": listing.base + listing.quote} if call.market == COINM else told

    def _times(self, call: Call, limit: int) -> Iterator[int]:
        start, end = call.number("startTime"), call.number("endTime")
        last = call.now_ns if end is None else min(call.now_ns, end * 1_000_000)
        last = last // PERIOD_NS * PERIOD_NS
        # The past begins somewhere: no rate is told of a time before the first trade.
        oldest = next_funding_ns(self._venue.tape.begin_ns)
        if start is None:
            first = max(oldest, last - (limit - 1) * PERIOD_NS)
        else:
            first = max(oldest, -(-start * 1_000_000 // PERIOD_NS) * PERIOD_NS)
            last = min(last, first + (limit - 1) * PERIOD_NS)
        yield from range(first, last + 1, PERIOD_NS)

    def _mark(self, listing: Listing, time_ns: int) -> Decimal:
        found = self._venue.tape.of(self._venue.mark_of(listing)).price_before(time_ns + 1)
        return self._venue.liquidity.mark(listing) if found is None else found
