"""States of an order, causes of its changes, and trading modes."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from clients.exchanges.trading import VenueState


@unique
class OrderState(StrEnum):
    """State of an order as far as it is known."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    """On its way, or the answer was lost: it may exist at the exchange."""
    NOT_PLACED = "NOT_PLACED"
    """Proven not to exist at the exchange."""

    @property
    def terminal(self) -> bool:
        """Nothing is expected to happen to it any more."""
        return self not in OPEN_STATES

    @property
    def live(self) -> bool:
        """The exchange has it in its book."""
        return self in (OrderState.NEW, OrderState.PARTIALLY_FILLED)


OPEN_STATES: Final = frozenset({OrderState.NEW, OrderState.PARTIALLY_FILLED, OrderState.UNKNOWN})

STATE_OF: Final = {state: OrderState(state.value) for state in VenueState}
"""The exchange's states are a part of ours, under the same words."""


@unique
class Cause(StrEnum):
    """Reason for a change of an order; each journal event has exactly one."""

    CALLER = "caller"
    ANSWER = "answer"
    """The exchange's answer to the request itself, or the lack of one."""
    QUERY = "query"
    STREAM = "stream"
    RECONCILIATION = "reconciliation"
    DEADLINE_RULE = "deadline-rule"
    """The request can no longer arrive, and the exchange does not know the order."""
    KILL_SWITCH = "kill-switch"
    GUARD = "guard"
    """A guard refused it at the last moment, before it was sent."""
    DRY_RUN = "dry-run"
    OPERATOR = "operator"
    """An operator said how it is, after looking at the exchange."""
    FAILOVER = "failover"
    RESTART = "restart"


@unique
class TradingMode(StrEnum):
    """How far orders go; anything but `dry-run` sends them somewhere."""

    DRY_RUN = "dry-run"
    SIMULATOR = "simulator"
    TESTNET = "testnet"
    LIVE = "live"
