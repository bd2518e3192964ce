"""Callers as the desk knows them, and what the orders server asks of its access."""

from __future__ import annotations

from typing import Final

from services.orders.engine.commands import Caller
from services.runtime.access import Identity
from services.runtime.access.build import Needs
from services.runtime.access.current import current_identity

SERVICE: Final = "midstream.orders.v1.OrderService"
GETTING_OUT: Final = tuple(f"{SERVICE}/{method}" for method in ("CancelOrder", "CancelOrders", "SetKillSwitch"))
"""What a key that asks too often may still do, as often again."""


def caller_of(identity: Identity) -> Caller:
    """Return somebody as the desk knows them."""
    return Caller(identity.name, identity.owner, identity.roles)


def current_caller() -> Caller:
    """Return who makes the call being handled. Raises Unauthenticated outside of one."""
    return caller_of(current_identity())


def orders_needs(calls_per_second: float) -> Needs:
    """Return what orders ask for: whoever places them has a key, wherever the server listens."""
    return Needs(keys=True, calls_per_second=calls_per_second, reserved=GETTING_OUT)
