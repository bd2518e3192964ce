"""The one wallet of a unified account: totals in dollars, and a row per coin."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import PURSE, SPOT
from services.simulators.bybit.price_limits import index_price
from services.simulators.bybit.spelling import plain
from services.simulators.venue.clearing import profit

OF_ALL: Final = (
    "totalMarginBalance",
    "totalAvailableBalance",
    "totalInitialMargin",
    "totalInitialMarginByMp",
    "totalMaintenanceMargin",
    "totalMaintenanceMarginByMp",
    "accountIMRate",
    "accountIMRateByMp",
    "accountMMRate",
    "accountMMRateByMp",
)
"""What isolated margin leaves empty."""


def wallet_row(venue: BybitExchange, owner: str, coins: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return an account's wallet, with all coins or those that are named."""
    assets = [asset for (purse, asset) in venue.clearing.holdings[owner].balances if purse == PURSE]
    rows = {asset: _Coin(venue, owner, asset) for asset in assets}
    balance = sum((one.dollars(one.balance) for one in rows.values()), Decimal(0))
    gain = sum((one.dollars(one.gain) for one in rows.values()), Decimal(0))
    ordered = sum((one.dollars(one.ordered) for one in rows.values()), Decimal(0))
    held = sum((one.dollars(one.held) for one in rows.values()), Decimal(0))
    locked = sum((one.dollars(one.locked) for one in rows.values()), Decimal(0))
    initial, kept = ordered + held, held / 2
    equity = balance + gain
    row = {
        "accountType": "UNIFIED",
        "totalEquity": plain(equity),
        "totalWalletBalance": plain(balance),
        "totalMarginBalance": plain(equity),
        "totalAvailableBalance": plain(equity - initial - locked),
        "totalPerpUPL": plain(gain),
        "totalInitialMargin": plain(initial),
        "totalInitialMarginByMp": plain(initial),
        "totalMaintenanceMargin": plain(kept),
        "totalMaintenanceMarginByMp": plain(kept),
        "accountIMRate": _rate(initial, equity),
        "accountIMRateByMp": _rate(initial, equity),
        "accountMMRate": _rate(kept, equity),
        "accountMMRateByMp": _rate(kept, equity),
        "accountLTV": "0",
        "coin": [one.row() for asset, one in rows.items() if not coins or asset in coins],
    }
    if venue.switches(owner).margin_mode == "ISOLATED_MARGIN":
        # Each position has a margin of its own: there is nothing to say about all.
        return row | dict.fromkeys(OF_ALL, "")
    return row


class _Coin:
    """One coin of an account."""

    def __init__(self, venue: BybitExchange, owner: str, asset: str) -> None:
        clearing, listings = venue.clearing, venue.engine.listings
        orders = venue.engine.book.open_of(owner)
        spot = [order for order in orders if order.listing.market == SPOT]
        futures = [order for order in orders if order.listing.market != SPOT]
        self.asset = asset
        self.balance = clearing.holdings[owner].balance(PURSE, asset)
        self.locked = clearing.reserved(PURSE, asset, spot)
        self.ordered = clearing.reserved(PURSE, asset, futures)
        self.held = clearing.margin(owner, PURSE, asset, listings)
        holdings = clearing.holdings[owner]
        positions = [(listings[place], one) for place, _, one in holdings.held() if listings[place].settle == asset]
        self.gain = sum(
            (profit(one, held.quantity, held.entry, venue.liquidity.mark(one)) for one, held in positions), Decimal(0)
        )
        self.realized = sum(
            (one.realized for place, one in holdings.positions.items() if listings[place].settle == asset), Decimal(0)
        ) + sum(
            (one.realized for place, one in holdings.legs.items() if listings[place[:2]].settle == asset), Decimal(0)
        )
        listing = venue.listings.get((SPOT, f"{asset}USDT"))
        self._price = Decimal(1) if listing is None else index_price(listing, venue.walk)

    def dollars(self, amount: Decimal) -> Decimal:
        """Return what an amount is worth."""
        return amount * self._price

    def row(self) -> dict[str, Any]:
        """Return the row."""
        return {
            "coin": self.asset,
            "equity": plain(self.balance + self.gain),
            "usdValue": plain(self.dollars(self.balance + self.gain)),
            "walletBalance": plain(self.balance),
            "locked": plain(self.locked),
            "availableToWithdraw": "",
            "availableToBorrow": "",
            "borrowAmount": "0",
            "accruedInterest": "0",
            "totalOrderIM": plain(self.ordered),
            "totalPositionIM": plain(self.held),
            "totalPositionMM": plain(self.held / 2),
            "unrealisedPnl": plain(self.gain),
            "cumRealisedPnl": plain(self.realized),
            "bonus": "0",
            "collateralSwitch": True,
            "marginCollateral": True,
            "spotHedgingQty": "0",
            "spotBorrow": "0",
        }


def _rate(part: Decimal, whole: Decimal) -> str:
    return plain(part / whole, 4) if whole else "0"
