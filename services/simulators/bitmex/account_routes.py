"""Executions, positions, balances."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from services.simulators.bitmex.call import Call, Route
from services.simulators.bitmex.exchange import BitmexExchange
from services.simulators.bitmex.listings import MARKET, SCALES, scaled
from services.simulators.bitmex.render import ACCOUNT_NUMBER, iso, position_row
from services.simulators.bitmex.tables import page, project, selected
from services.simulators.venue.clearing import profit


class AccountRoutes:
    """What belongs to the account."""

    def __init__(self, venue: BitmexExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {
            ("GET", "/api/v1/execution"): Route(self.executions, signed=True),
            ("GET", "/api/v1/execution/tradeHistory"): Route(self.trade_history, signed=True),
            ("GET", "/api/v1/position"): Route(self.positions, signed=True),
            ("GET", "/api/v1/user"): Route(self.user, signed=True),
            ("GET", "/api/v1/user/margin"): Route(self.margin, signed=True),
            ("GET", "/api/v1/user/wallet"): Route(self.wallet, signed=True),
        }

    async def executions(self, call: Call) -> Any:
        """List everything that happened to orders, oldest first."""
        return self._listed(call, self._venue.executions(call.owner))

    async def trade_history(self, call: Call) -> Any:
        """List fills, oldest first."""
        rows = [row for row in self._venue.executions(call.owner) if row["execType"] == "Trade"]
        return self._listed(call, rows)

    async def positions(self, call: Call) -> Any:
        """List positions that were ever held."""
        return project(call, page(call, selected(call, self.position_rows(call.owner, call.now_ns))))

    async def user(self, call: Call) -> Any:
        """Tell who it is."""
        return {"id": ACCOUNT_NUMBER, "username": call.owner, "email": "demo@example.org"}

    async def margin(self, call: Call) -> Any:
        """Tell balances with what is held back."""
        return self._by_currency(call, self.margin_rows(call.owner, call.now_ns))

    async def wallet(self, call: Call) -> Any:
        """Tell balances."""
        return self._by_currency(call, self.wallet_rows(call.owner, call.now_ns))

    def position_rows(self, owner: str, now_ns: int, symbol: str | None = None) -> list[dict[str, Any]]:
        """Return the account's positions."""
        return [
            position_row(
                self._venue.listed(name),
                position,
                self._venue.liquidity.mark(self._venue.listed(name)),
                self._venue.shown_ms(now_ns),
            )
            for (_, name), position in self._venue.clearing.holdings[owner].positions.items()
            if symbol in (None, name) and position.updated_ns
        ]

    def margin_rows(self, owner: str, now_ns: int) -> list[dict[str, Any]]:
        """Return a row of `margin` per asset."""
        venue, rows = self._venue, []
        orders = venue.engine.book.open_of(owner, MARKET)
        for asset, (_, unit, _) in SCALES.items():
            balance = venue.clearing.holdings[owner].balance(MARKET, asset)
            reserved = venue.clearing.reserved(MARKET, asset, orders)
            held = venue.clearing.margin(owner, MARKET, asset, venue.engine.listings)
            gain = sum(
                (
                    profit(venue.listed(name), one.quantity, one.entry, venue.liquidity.mark(venue.listed(name)))
                    for (_, name), one in venue.clearing.holdings[owner].positions.items()
                    if venue.listed(name).settle == asset
                ),
                Decimal(0),
            )
            rows.append(
                {
                    "account": ACCOUNT_NUMBER,
                    "currency": unit,
                    "amount": scaled(asset, balance),
                    "walletBalance": scaled(asset, balance),
                    "marginBalance": scaled(asset, balance + gain),
                    "unrealisedPnl": scaled(asset, gain),
                    "initMargin": scaled(asset, reserved),
                    "maintMargin": scaled(asset, held),
                    "availableMargin": scaled(asset, balance + min(gain, Decimal(0)) - reserved - held),
                    "withdrawableMargin": scaled(asset, balance - reserved - held),
                    "timestamp": iso(venue.shown_ms(now_ns)),
                }
            )
        return rows

    def wallet_rows(self, owner: str, now_ns: int) -> list[dict[str, Any]]:
        """Return a row of `wallet` per asset."""
        holdings = self._venue.clearing.holdings[owner]
        return [
            {
                "account": ACCOUNT_NUMBER,
                "currency": unit,
                "deposited": scaled(asset, self._venue.clearing.deposits.get((MARKET, asset), Decimal(0))),
                "amount": scaled(asset, holdings.balance(MARKET, asset)),
                "pendingCredit": 0,
                "pendingDebit": 0,
                "confirmedDebit": 0,
                "timestamp": iso(self._venue.shown_ms(now_ns)),
            }
            for asset, (_, unit, _) in SCALES.items()
        ]

    def _by_currency(self, call: Call, rows: list[dict[str, Any]]) -> Any:
        wanted = call.get("currency") or "XBt"
        if wanted == "all":
            return rows
        return next((row for row in rows if row["currency"] == wanted), {})

    def _listed(self, call: Call, rows: list[dict[str, Any]]) -> Any:
        symbol = call.get("symbol")
        chosen = [row for row in rows if symbol in (None, row["symbol"])]
        return project(call, page(call, selected(call, chosen)))
