"""What trading on spot costs, and whether the exchange works at all."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from services.simulators.binance.call import Call, Route, Security, flat
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import SPOT
from services.simulators.binance.spelling import eight, plain


class SpotFees:
    """The routes."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {
            ("GET", "/api/v3/account/commission"): Route(SPOT, self.commission, flat(20), Security.SIGNED),
            ("GET", "/sapi/v1/asset/tradeFee"): Route(SPOT, self.trade_fee, flat(1), Security.SIGNED),
            ("GET", "/sapi/v1/system/status"): Route(SPOT, self.status, flat(1)),
        }

    async def commission(self, call: Call) -> Any:
        """Tell the rates of a symbol."""
        listing = self._venue.listing(SPOT, call.need("symbol"))
        none = {"maker": eight(Decimal(0)), "taker": eight(Decimal(0)), "buyer": eight(Decimal(0))}
        none["seller"] = none["buyer"]
        return {
            "symbol": listing.symbol,
            "standardCommission": {**none, "maker": eight(listing.maker_fee), "taker": eight(listing.taker_fee)},
            "specialCommission": none,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": eight(Decimal(0)),
            },
        }

    async def trade_fee(self, call: Call) -> Any:
        """Tell the rates of one symbol or all."""
        symbol = call.get("symbol")
        wanted = self._venue.listings(SPOT).values() if symbol is None else [self._venue.listing(SPOT, symbol)]
        return [
            {
                "symbol": listing.symbol,
                "makerCommission": plain(listing.maker_fee),
                "takerCommission": plain(listing.taker_fee),
            }
            for listing in wanted
        ]

    async def status(self, call: Call) -> Any:
        """Tell of maintenance while the matching engine is held."""
        held = self._venue.engine.held
        return {"status": 1 if held else 0, "msg": "system_maintenance" if held else "normal"}
