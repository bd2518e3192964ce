"""The three markets of Bybit: categories of one API, each with symbols of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clients.exchanges.model import Payout

NAME: Final = "bybit"
SPOT: Final = "spot"
LINEAR: Final = "linear"
INVERSE: Final = "inverse"


@dataclass(frozen=True)
class Market:
    """One market; its name is the `category` of every request."""

    name: str
    payout: Payout
    limits: str
    """Whose counters its calls use: linear and inverse share theirs."""
    paged: bool
    """Whether its list of instruments comes in pages."""

    @property
    def futures(self) -> bool:
        """Whether contracts are traded."""
        return self.payout is not Payout.SPOT


MARKETS: Final[Mapping[str, Market]] = {
    market.name: market
    for market in (
        Market(SPOT, Payout.SPOT, "spot", paged=False),
        Market(LINEAR, Payout.LINEAR, "futures", paged=True),
        Market(INVERSE, Payout.INVERSE, "futures", paged=True),
    )
}
