"""What a perpetual contract's holders pay each other every eight hours."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.simulators.venue.intervals import SECOND_NS
from services.simulators.venue.listing import Listing

PERIOD_NS: Final = 8 * 3600 * SECOND_NS
INTEREST: Final = Decimal("0.0001")
_DAMPER: Final = Decimal("0.0005")


def funding_rate(listing: Listing) -> Decimal:
    """Return the rate: the premium, and the interest as far as it is not more than the damper away from it."""
    return listing.premium + min(max(INTEREST - listing.premium, -_DAMPER), _DAMPER)


def next_funding_ns(now_ns: int) -> int:
    """Return when the next payment is due."""
    return (now_ns // PERIOD_NS + 1) * PERIOD_NS
