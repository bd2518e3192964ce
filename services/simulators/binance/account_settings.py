"""What the futures' accounts have chosen about margin; their leverage is kept where it counts, with the holdings."""

from __future__ import annotations

from typing import Final

from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Leg

LEVERAGE_MAX: Final = 20
NOTIONAL_MAX: Final = 50_000_000
"""Of the one bracket that there is."""


class AccountSettings:
    """The choices of all accounts. Positions are in one-way mode and margined across until told otherwise."""

    def __init__(self) -> None:
        self._isolated: set[tuple[str, str, str]] = set()
        self._dual: set[tuple[str, str]] = set()

    def is_dual(self, account: str, market: str) -> bool:
        """Whether an account holds long and short apart on a market: hedge mode."""
        return (account, market) in self._dual

    def separate(self, account: str, market: str, *, dual: bool) -> None:
        """Choose the position mode."""
        if dual:
            self._dual.add((account, market))
        else:
            self._dual.discard((account, market))

    def legs(self, account: str, market: str) -> tuple[Leg, ...]:
        """Return the positions that an account has on each listing."""
        return (Leg.LONG, Leg.SHORT) if self.is_dual(account, market) else (Leg.BOTH,)

    def is_isolated(self, account: str, listing: Listing) -> bool:
        """Whether an account's position on a listing has a margin of its own."""
        return (account, listing.market, listing.symbol) in self._isolated

    def isolate(self, account: str, listing: Listing, *, isolated: bool) -> None:
        """Choose the margin type."""
        place = (account, listing.market, listing.symbol)
        if isolated:
            self._isolated.add(place)
        else:
            self._isolated.discard(place)
