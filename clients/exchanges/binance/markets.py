"""The three markets of Binance: where their routes are and how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clients.exchanges.model import Payout

NAME: Final = "binance"
SPOT: Final = "spot"
USDM: Final = "usdm"
COINM: Final = "coinm"


@dataclass(frozen=True)
class Market:
    """One market. Paths are those of the REST base; facts of windows and pages are section 3 of the fact sheet."""

    name: str
    prefix: str
    payout: Payout
    scope: str
    """Limits that are counted together; USD-M and COIN-M share one pool."""
    price_path: str
    amend_path: str
    cancel_all_path: str
    trades_path: str
    positions_path: str
    """Empty where there are no positions."""
    window_ns: int
    """Longest span of one history request."""
    orders_page: int
    trades_page: int

    @property
    def futures(self) -> bool:
        """Whether contracts are traded."""
        return self.payout is not Payout.SPOT

    def path(self, name: str) -> str:
        """Return a route of this market's own version."""
        return f"{self.prefix}/{name}"


_DAY_NS: Final = 24 * 3600 * 1_000_000_000

MARKETS: Final[Mapping[str, Market]] = {
    SPOT: Market(
        name=SPOT,
        prefix="/api/v3",
        payout=Payout.SPOT,
        scope="binance:spot",
        price_path="/api/v3/ticker/price",
        amend_path="/api/v3/order/amend/keepPriority",
        cancel_all_path="/api/v3/openOrders",
        trades_path="/api/v3/myTrades",
        positions_path="",
        window_ns=_DAY_NS,
        orders_page=1000,
        trades_page=1000,
    ),
    USDM: Market(
        name=USDM,
        prefix="/fapi/v1",
        payout=Payout.LINEAR,
        scope="binance:futures",
        price_path="/fapi/v2/ticker/price",
        amend_path="/fapi/v1/order",
        cancel_all_path="/fapi/v1/allOpenOrders",
        trades_path="/fapi/v1/userTrades",
        positions_path="/fapi/v3/positionRisk",
        # Less than seven days: the limit itself is excluded.
        window_ns=6 * _DAY_NS,
        orders_page=1000,
        trades_page=1000,
    ),
    COINM: Market(
        name=COINM,
        prefix="/dapi/v1",
        payout=Payout.INVERSE,
        scope="binance:futures",
        price_path="/dapi/v1/ticker/price",
        amend_path="/dapi/v1/order",
        cancel_all_path="/dapi/v1/allOpenOrders",
        trades_path="/dapi/v1/userTrades",
        positions_path="/dapi/v1/positionRisk",
        window_ns=6 * _DAY_NS,
        # Documented pages are 100 or 1000, depending on the page: the smaller one is always allowed.
        orders_page=100,
        trades_page=1000,
    ),
}
