"""Roles and what they may do: one table, deny by default. A method without a line here cannot be called by anybody."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Final

SERVICE: Final = "midstream.orders.v1.OrderService"
OPEN_SERVICES: Final = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)
"""Services for everyone: whether it serves is no secret, and reflection can be turned off."""


@unique
class Role(StrEnum):
    """Each one may do what the ones before it may."""

    READ = "read"
    TRADE = "trade"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        return _RANK[self] >= _RANK[needed]


_RANK: Final = {role: rank for rank, role in enumerate(Role)}

METHODS: Final[Mapping[str, Role]] = {
    "PlaceOrder": Role.TRADE,
    "AmendOrder": Role.TRADE,
    "CancelOrder": Role.TRADE,
    "CancelOrders": Role.TRADE,
    "SettleOrder": Role.ADMIN,
    "GetOrder": Role.READ,
    "ListOrders": Role.READ,
    "ListActiveOrders": Role.READ,
    "WatchOrders": Role.READ,
    "ListInstruments": Role.READ,
    "ListPositions": Role.READ,
    "ListFills": Role.READ,
    "SetKillSwitch": Role.ADMIN,
    "GetKillSwitch": Role.READ,
    "ExportAudit": Role.ADMIN,
}


def needed_role(path: str) -> Role | None:
    """Return the role that a gRPC method (`/package.Service/Method`) needs; None for those open to everyone. Raises KeyError for others."""
    service, _, method = path.lstrip("/").partition("/")
    if service in OPEN_SERVICES:
        return None
    if service != SERVICE:
        raise KeyError(path)
    return METHODS[method]
