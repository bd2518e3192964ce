"""Why an order ended that its owner did not end: one word per cause, whatever an exchange calls it."""

from __future__ import annotations

from enum import StrEnum, unique


@unique
class EndedBy(StrEnum):
    """Cause of an end that its owner did not ask for. Journals hold these words: they are for life.

    A cancel on behalf of the owner has none: by request, with all others, or by the dead-man timer.
    """

    TIME_IN_FORCE = "time-in-force"
    """It could not be executed at once (completely, for FOK), as IOC, FOK and MARKET orders have to be."""
    POST_ONLY = "post-only"
    """It would have taken liquidity."""
    REDUCE_ONLY = "reduce-only"
    """It would not have reduced the position."""
    SELF_TRADE = "self-trade"
    """It would have been executed against another order of the same account or group."""
    LIQUIDATION = "liquidation"
    """The account's margin did not suffice. Also of the order with which the exchange closes a position for that."""
    DELEVERAGING = "deleveraging"
    """As a liquidation, for somebody else's loss."""
    DELISTING = "delisting"
    """Its instrument was delivered, settled or delisted. Also of the order with which the exchange closes a position for that."""
    EXCHANGE = "exchange"
    """The exchange, which gives no other cause: an administrator, maintenance, a rule about prices."""
