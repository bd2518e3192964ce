"""What an account of the futures may choose, and what it pays: leverage, margin type, position mode, commissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from services.simulators.binance.account_settings import LEVERAGE_MAX, NOTIONAL_MAX
from services.simulators.binance.call import Call, Handler, Route, Security, flat
from services.simulators.binance.errors import BinanceError, missing
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import PREFIXES, USDM
from services.simulators.venue.listing import Listing

Told = Callable[[str, str, Any], None]
"""Sends an event to the user streams of an account on a market."""


class AccountConfig:
    """The routes of one futures market."""

    def __init__(self, venue: BinanceExchange, market: str, tell: Told) -> None:
        self._venue = venue
        self._market = market
        self._tell = tell

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        market, key = self._market, PREFIXES[self._market]

        def signed(handler: Handler, weight: int, right: str = "read") -> Route:
            return Route(market, handler, flat(weight), Security.SIGNED, right=right)

        table = {
            ("GET", f"{key}/positionSide/dual"): signed(self.position_mode, 30),
            ("POST", f"{key}/positionSide/dual"): signed(self.set_position_mode, 1, "order"),
            ("POST", f"{key}/leverage"): signed(self.set_leverage, 1, "order"),
            ("POST", f"{key}/marginType"): signed(self.set_margin_type, 1, "order"),
            ("GET", f"{key}/commissionRate"): signed(self.commission, 20),
        }
        if market == USDM:
            table |= {
                ("GET", f"{key}/symbolConfig"): signed(self.symbols, 5),
                ("GET", f"{key}/accountConfig"): signed(self.account, 5),
                ("GET", f"{key}/multiAssetsMargin"): signed(self.asset_mode, 30),
                ("POST", f"{key}/multiAssetsMargin"): signed(self.set_asset_mode, 1, "order"),
            }
        return table

    async def position_mode(self, call: Call) -> Any:
        """Tell whether long and short are held apart."""
        return {"dualSidePosition": self._venue.settings.is_dual(call.owner, self._market)}

    async def set_position_mode(self, call: Call) -> Any:
        """Choose whether long and short are held apart, while nothing is open."""
        dual = _truth(call, "dualSidePosition")
        settings = self._venue.settings
        if settings.is_dual(call.owner, self._market) is dual:
            raise BinanceError(400, -4059, "No need to change position side.")
        if self._venue.engine.book.open_of(call.owner, self._market):
            raise BinanceError(400, -4067, "Position side cannot be changed if there exists open orders.")
        if any(market == self._market for (market, _), _, _ in self._venue.clearing.holdings[call.owner].held()):
            raise BinanceError(400, -4068, "Position side cannot be changed if there exists position.")
        settings.separate(call.owner, self._market, dual=dual)
        return {"code": 200, "msg": "success"}

    async def set_leverage(self, call: Call) -> Any:
        """Choose the leverage of a symbol; what is open then has to be covered at it."""
        listing = self._venue.listing(self._market, call.need("symbol"))
        leverage = call.number("leverage")
        if leverage is None:
            raise missing("leverage")
        if not 1 <= leverage <= LEVERAGE_MAX:
            raise BinanceError(400, -4028, f"Leverage {leverage} is not valid")
        holdings, place = self._venue.clearing.holdings[call.owner], (listing.market, listing.symbol)
        before = holdings.leverage(listing)
        if (
            leverage < before
            and self._venue.settings.is_isolated(call.owner, listing)
            and self._is_held(call.owner, listing)
        ):
            text = "Leverage reduction is not supported in Isolated Margin Mode with open positions."
            raise BinanceError(400, -4161, text)
        holdings.leverages[place] = Decimal(leverage)
        if leverage < before and self._free(call.owner, listing) < 0:
            holdings.leverages[place] = before
            raise BinanceError(400, -2028, "Leverage is smaller than permitted: insufficient margin balance.")
        now_ms = self._venue.shown_ms(call.now_ns)
        choice = {"s": listing.symbol, "l": leverage}
        self._tell(call.owner, self._market, {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": choice})
        return {"leverage": leverage, "maxNotionalValue": str(NOTIONAL_MAX), "symbol": listing.symbol}

    async def set_margin_type(self, call: Call) -> Any:
        """Choose the margin type of a symbol on which nothing is open."""
        listing = self._venue.listing(self._market, call.need("symbol"))
        wanted = call.need("marginType")
        if wanted not in ("ISOLATED", "CROSSED"):
            raise BinanceError(400, -1130, "Data sent for parameter 'marginType' is not valid.")
        settings, isolated = self._venue.settings, wanted == "ISOLATED"
        if settings.is_isolated(call.owner, listing) is isolated:
            raise BinanceError(400, -4046, "No need to change margin type.")
        if self._venue.engine.book.open_of(call.owner, self._market, listing.symbol):
            raise BinanceError(400, -4047, "Margin type cannot be changed if there exists open orders.")
        if self._is_held(call.owner, listing):
            raise BinanceError(400, -4048, "Margin type cannot be changed if there exists position.")
        settings.isolate(call.owner, listing, isolated=isolated)
        return {"code": 200, "msg": "success"}

    async def commission(self, call: Call) -> Any:
        """Tell what trading a symbol costs."""
        listing = self._venue.listing(self._market, call.need("symbol"))
        return {
            "symbol": listing.symbol,
            "makerCommissionRate": f"{listing.maker_fee:.6f}",
            "takerCommissionRate": f"{listing.taker_fee:.6f}",
        }

    async def symbols(self, call: Call) -> Any:
        """Tell what is chosen for one symbol or all."""
        symbol = call.get("symbol")
        known = self._venue.listings(self._market)
        wanted = known.values() if symbol is None else [self._venue.listing(self._market, symbol)]
        return [
            {
                "symbol": listing.symbol,
                "marginType": "ISOLATED" if self._venue.settings.is_isolated(call.owner, listing) else "CROSSED",
                # The documents show text here; clients that work with the exchange decode a truth value.
                "isAutoAddMargin": False,
                "leverage": int(self._venue.clearing.leverage(call.owner, listing)),
                "maxNotionalValue": str(NOTIONAL_MAX),
            }
            for listing in wanted
        ]

    async def account(self, call: Call) -> Any:
        """Tell what the account may do."""
        assert call.account is not None
        return {
            "feeTier": 0,
            "canTrade": "order" in call.account.rights,
            "canDeposit": False,
            "canWithdraw": False,
            "dualSidePosition": self._venue.settings.is_dual(call.owner, self._market),
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    async def asset_mode(self, call: Call) -> Any:
        """Tell that each position is margined in its own asset."""
        return {"multiAssetsMargin": False}

    async def set_asset_mode(self, call: Call) -> Any:
        """Refuse what is so already, and what is not simulated."""
        if _truth(call, "multiAssetsMargin"):
            raise BinanceError(400, -4084, "Method is not allowed currently. Multi-assets mode is not simulated.")
        raise BinanceError(400, -4171, "No need to change asset mode.")

    def _is_held(self, owner: str, listing: Listing) -> bool:
        place = (listing.market, listing.symbol)
        return any(held == place for held, _, _ in self._venue.clearing.holdings[owner].held())

    def _free(self, owner: str, listing: Listing) -> Decimal:
        clearing, orders = self._venue.clearing, self._venue.engine.book.open_of(owner, self._market)
        held = clearing.reserved(self._market, listing.settle, orders)
        held += clearing.margin(owner, self._market, listing.settle, self._venue.engine.listings)
        return clearing.holdings[owner].balance(self._market, listing.settle) - held


def _truth(call: Call, name: str) -> bool:
    text = call.need(name).lower()
    if text not in ("true", "false"):
        raise missing(name)
    return text == "true"
