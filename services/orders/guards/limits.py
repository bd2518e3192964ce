"""Limits that an operator sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True)
class Limits:
    """None is no limit; `live` trading demands those that `missing_for_live` names."""

    notional_max: Decimal | None = None
    """Of one order, in its quote currency."""
    position_max: Decimal | None = None
    """Of one instrument, long or short, in its quote currency, with everything that is still open executed."""
    quantity_max: Mapping[str, Decimal] = field(default_factory=dict)
    """Of one order, by unified symbol, in the instrument's unit."""
    open_orders_max: int = 1000
    """Of everybody together; what an account may have open is bounded by the exchanges, too."""
    orders_per_second: float = 50.0
    """New orders and amends of everybody together; a burst may use one second's worth at once."""
    price_band: Decimal = Decimal("0.05")
    """How far a LIMIT price may be from the market, as a fraction of it."""
    price_age_max_s: float = 5.0
    """An older price is no price."""

    @property
    def missing_for_live(self) -> tuple[str, ...]:
        """Settings without which real money is not risked."""
        return tuple(
            name
            for name, value in (
                ("MIDSTREAM_ORDERS_NOTIONAL_MAX", self.notional_max),
                ("MIDSTREAM_ORDERS_POSITION_MAX", self.position_max),
            )
            if value is None
        )
