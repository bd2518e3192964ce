"""What changed the wallets of the futures: realised profits, commissions, funding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.simulators.binance.call import Call, Route, Security, flat
from services.simulators.binance.errors import BinanceError
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.funding import Funding
from services.simulators.binance.listings import COINM, PREFIXES, USDM
from services.simulators.binance.spelling import eight

PAGE: Final = 100
PAGE_MAX: Final = 1000
WEEK_MS: Final = 7 * 86_400_000
KINDS: Final = ("REALIZED_PNL", "COMMISSION", "FUNDING_FEE")
OTHER_KINDS: Final = ("TRANSFER", "WELCOME_BONUS", "INSURANCE_CLEAR", "REFERRAL_KICKBACK", "COMMISSION_REBATE")
"""Of those there is none here."""


class Income:
    """The routes."""

    def __init__(self, venue: BinanceExchange, funding: Funding) -> None:
        self._venue = venue
        self._funding = funding

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {
            ("GET", f"{PREFIXES[market]}/income"): Route(market, self.list, flat(weight), Security.SIGNED)
            for market, weight in ((USDM, 30), (COINM, 20))
        }

    async def list(self, call: Call) -> Any:
        """List them, oldest first; the last week's unless told."""
        symbol, kind = call.get("symbol"), call.get("incomeType")
        if symbol is not None:
            self._venue.listing(call.market, symbol)
        if kind not in (None, *KINDS, *OTHER_KINDS):
            raise BinanceError(400, -1130, "Data sent for parameter 'incomeType' is not valid.")
        now_ms = self._venue.shown_ms(call.now_ns)
        start, end = call.number("startTime"), call.number("endTime")
        first = start if start is not None else (now_ms if end is None else end) - WEEK_MS
        rows = [
            row
            for row in sorted(self._rows(call), key=lambda one: (one["time"], one["tranId"]))
            if symbol in (None, row["symbol"])
            and kind in (None, row["incomeType"])
            and first <= row["time"] <= (now_ms if end is None else end)
        ]
        limit = min(call.number("limit") or PAGE, PAGE_MAX)
        page = call.number("page") or 1
        return rows[(page - 1) * limit : page * limit]

    def _rows(self, call: Call) -> Iterator[dict[str, Any]]:
        for fill in self._venue.engine.book.fills:
            if (fill.account, fill.market) != (call.owner, call.market):
                continue
            row = {"symbol": fill.symbol, "asset": fill.fee_asset, "time": self._venue.shown_ms(fill.time_ns)}
            row |= {"info": str(fill.trade_id), "tradeId": str(fill.trade_id)}
            if fill.realized:
                yield {**row, "incomeType": KINDS[0], "income": eight(fill.realized), "tranId": fill.trade_id * 10}
            yield {**row, "incomeType": KINDS[1], "income": eight(-fill.fee), "tranId": fill.trade_id * 10 + 1}
        for payment in self._funding.payments:
            listing = payment.listing
            if (payment.account, listing.market) == (call.owner, call.market):
                yield {
                    "symbol": listing.symbol,
                    "asset": listing.settle,
                    "time": self._venue.shown_ms(payment.time_ns),
                    "info": "FUNDING_FEE",
                    "tradeId": "",
                    "incomeType": KINDS[2],
                    "income": eight(payment.amount),
                    "tranId": payment.number,
                }
