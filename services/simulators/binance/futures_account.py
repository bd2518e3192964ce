"""Account routes of USD-M and COIN-M: balances, positions, listen keys."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from services.simulators.binance.account_settings import LEVERAGE_MAX, NOTIONAL_MAX
from services.simulators.binance.call import Call, Handler, Route, Security, Weight, flat
from services.simulators.binance.errors import BinanceError
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, PREFIXES, USDM
from services.simulators.binance.positions import Positions
from services.simulators.binance.spelling import plain
from services.simulators.venue.listing import Listing


class FuturesAccount:
    """Balances, positions and listen keys of one futures market."""

    def __init__(self, venue: BinanceExchange, market: str) -> None:
        self._venue = venue
        self._market = market
        self._positions = Positions(venue)

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        market, key = self._market, PREFIXES[self._market]
        coin = market == COINM

        def signed(handler: Handler, weight: Weight) -> Route:
            return Route(market, handler, weight, Security.SIGNED)

        table = {
            ("GET", f"{key}/account"): signed(self.account, flat(5)),
            ("GET", f"{key}/balance"): signed(self.balance, flat(1 if coin else 5)),
            ("GET", f"{key}/positionRisk"): signed(self.positions, flat(1 if coin else 5)),
            ("GET", f"{key}/leverageBracket"): signed(self.brackets, flat(1)),
            ("POST", f"{key}/listenKey"): Route(market, self.open_key, flat(1), Security.KEY),
            ("PUT", f"{key}/listenKey"): Route(market, self.extend_key, flat(1), Security.KEY),
            ("DELETE", f"{key}/listenKey"): Route(market, self.close_key, flat(1), Security.KEY),
        }
        for version in () if coin else ("v2", "v3"):
            table["GET", f"/fapi/{version}/account"] = signed(self.account, flat(5))
            table["GET", f"/fapi/{version}/balance"] = signed(self.balance, flat(5))
            table["GET", f"/fapi/{version}/positionRisk"] = signed(self.positions, flat(5))
        if coin:
            table["GET", "/dapi/v2/leverageBracket"] = signed(self.brackets, flat(1))
        return table

    # -- account --------------------------------------------------------------------------------------------------

    async def account(self, call: Call) -> Any:
        """Tell balances and positions."""
        assets = [self._asset_row(call, asset) for asset in self._assets(call)]
        total = sum((Decimal(row["walletBalance"]) for row in assets), Decimal(0))
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "totalWalletBalance": plain(total),
            "totalMarginBalance": plain(total),
            "availableBalance": plain(sum((Decimal(row["availableBalance"]) for row in assets), Decimal(0))),
            "assets": assets,
            "positions": [row for listing in self._held(call) for row in self._positions.rows(call.owner, listing)],
        }

    async def balance(self, call: Call) -> Any:
        """Tell balances."""
        rows = []
        for asset in self._assets(call):
            row = self._asset_row(call, asset)
            rows.append(
                {
                    "accountAlias": "SgsR",
                    "asset": asset,
                    "balance": row["walletBalance"],
                    "crossWalletBalance": row["crossWalletBalance"],
                    "crossUnPnl": row["unrealizedProfit"],
                    "availableBalance": row["availableBalance"],
                    "maxWithdrawAmount": row["availableBalance"],
                    "marginAvailable": True,
                    "updateTime": self._venue.shown_ms(call.now_ns),
                }
            )
        return rows

    async def positions(self, call: Call) -> Any:
        """Tell positions; all symbols, flat ones included, where the route does so."""
        symbol = call.get("symbol")
        if symbol is not None:
            return list(self._positions.rows(call.owner, self._venue.listing(self._market, symbol)))
        everything = "v3" not in call.route
        listings = self._venue.listings(self._market).values() if everything else self._held(call)
        return [row for listing in listings for row in self._positions.rows(call.owner, listing)]

    async def brackets(self, call: Call) -> Any:
        """Tell the one leverage bracket that is simulated."""
        bracket = {
            "bracket": 1,
            "initialLeverage": LEVERAGE_MAX,
            "notionalCap": NOTIONAL_MAX,
            "qtyCap": NOTIONAL_MAX,
            "notionalFloor": 0,
            "qtyFloor": 0,
            "qtylFloor": 0,
            "maintMarginRatio": 0.025,
            "cum": 0.0,
        }
        symbol = call.get("symbol")
        names = [symbol] if symbol else list(self._venue.listings(self._market))
        return [{"symbol": name, "pair": name, "brackets": [bracket]} for name in names]

    # -- listen keys ----------------------------------------------------------------------------------------------

    async def open_key(self, call: Call) -> Any:
        """Open the account's user stream, or extend it."""
        return {"listenKey": self._venue.listen_keys.open(call.owner, self._market, call.now_ns)}

    async def extend_key(self, call: Call) -> Any:
        """Extend the user stream."""
        key = self._venue.listen_keys.extend(call.owner, self._market, call.now_ns)
        if key is None:
            raise BinanceError(400, -1125, "This listenKey does not exist.")
        return {"listenKey": key} if self._market == USDM else {}

    async def close_key(self, call: Call) -> Any:
        """Close the user stream."""
        self._venue.listen_keys.close(call.owner, self._market)
        return {}

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _assets(self, call: Call) -> list[str]:
        balances = self._venue.clearing.holdings[call.owner].balances
        return [asset for wallet, asset in balances if wallet == self._market]

    def _held(self, call: Call) -> list[Listing]:
        """Return what is not flat, each once."""
        return list(dict.fromkeys(listing for listing, _ in self._positions.held(call.owner, self._market)))

    def _asset_row(self, call: Call, asset: str) -> dict[str, Any]:
        clearing = self._venue.clearing
        wallet = clearing.holdings[call.owner].balance(self._market, asset)
        orders = self._venue.engine.book.open_of(call.owner, self._market)
        margin = clearing.margin(call.owner, self._market, asset, self._venue.engine.listings)
        reserved = clearing.reserved(self._market, asset, orders)
        held = ((one, leg) for one, leg in self._positions.held(call.owner, self._market) if one.settle == asset)
        gain = sum((self._positions.unrealized(call.owner, one, leg) for one, leg in held), Decimal(0))
        isolated = self._positions.isolated_margins(call.owner, self._market, asset)
        figures = {
            "walletBalance": wallet,
            "unrealizedProfit": gain,
            "marginBalance": wallet + gain,
            "maintMargin": margin / 2,
            "initialMargin": margin + reserved,
            "positionInitialMargin": margin,
            "openOrderInitialMargin": reserved,
            "crossWalletBalance": wallet - isolated,
            "crossUnPnl": gain,
            "availableBalance": wallet - margin - reserved,
            "maxWithdrawAmount": wallet - margin - reserved,
        }
        return {
            "asset": asset,
            **{name: f"{value:.8f}" for name, value in figures.items()},
            "updateTime": self._venue.shown_ms(call.now_ns),
        }
