"""Roles and what they may do: one table for every service, deny by default. A method without a line here cannot be called by anybody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum, unique
from typing import Final

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
    """What somebody is trusted with. `control` and `trade` do not include each other: who places orders need not steer the replay."""

    READ = "read"
    CONTROL = "control"
    TRADE = "trade"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        return needed in _INCLUDES[self]


_INCLUDES: Final[Mapping[Role, frozenset[Role]]] = {
    Role.READ: frozenset({Role.READ}),
    Role.CONTROL: frozenset({Role.READ, Role.CONTROL}),
    Role.TRADE: frozenset({Role.READ, Role.TRADE}),
    Role.ADMIN: frozenset(Role),
}


def any_covers(roles: Collection[Role], needed: Role) -> bool:
    """Whether one of somebody's roles may do what `needed` may."""
    return any(role.covers(needed) for role in roles)


METHODS: Final[Mapping[str, Role]] = {
    "midstream.control.v1.ControlService/SetMode": Role.CONTROL,
    "midstream.control.v1.ControlService/GetState": Role.READ,
    "midstream.control.v1.ControlService/WatchState": Role.READ,
    "midstream.control.v1.ControlService/Pause": Role.CONTROL,
    "midstream.control.v1.ControlService/Resume": Role.CONTROL,
    "midstream.control.v1.ControlService/SetSpeed": Role.CONTROL,
    "midstream.control.v1.ControlService/Seek": Role.CONTROL,
    "midstream.control.v1.ControlService/Step": Role.CONTROL,
    "midstream.control.v1.ControlService/SetRange": Role.CONTROL,
    "midstream.control.v1.ControlService/ListScheduled": Role.READ,
    "midstream.control.v1.ControlService/CancelScheduled": Role.CONTROL,
    "midstream.health.v1.HealthService/GetReport": Role.READ,
    "midstream.health.v1.HealthService/WatchReport": Role.READ,
    "midstream.orders.v1.OrderService/PlaceOrder": Role.TRADE,
    "midstream.orders.v1.OrderService/AmendOrder": Role.TRADE,
    "midstream.orders.v1.OrderService/CancelOrder": Role.TRADE,
    "midstream.orders.v1.OrderService/CancelOrders": Role.TRADE,
    "midstream.orders.v1.OrderService/SettleOrder": Role.ADMIN,
    "midstream.orders.v1.OrderService/GetOrder": Role.READ,
    "midstream.orders.v1.OrderService/ListOrders": Role.READ,
    "midstream.orders.v1.OrderService/ListActiveOrders": Role.READ,
    "midstream.orders.v1.OrderService/WatchOrders": Role.READ,
    "midstream.orders.v1.OrderService/ListInstruments": Role.READ,
    "midstream.orders.v1.OrderService/ListPositions": Role.READ,
    "midstream.orders.v1.OrderService/ListFills": Role.READ,
    "midstream.orders.v1.OrderService/SetKillSwitch": Role.ADMIN,
    "midstream.orders.v1.OrderService/GetKillSwitch": Role.READ,
    "midstream.orders.v1.OrderService/ExportAudit": Role.ADMIN,
    "midstream.price.v1.PriceService/GetMidPrice": Role.READ,
    "midstream.price.v1.PriceService/StreamMidPrices": Role.READ,
    "midstream.price.v1.PriceService/ComputeMidPrices": Role.READ,
    "midstream.price.v1.PriceService/GetPrice": Role.READ,
    "midstream.price.v1.PriceService/ListExchangePrices": Role.READ,
    "midstream.replay.v1.ReplayService/StreamTicks": Role.READ,
    "midstream.replay.v1.ReplayService/ListPartitions": Role.READ,
    "midstream.replay.v1.ReplayService/ListSessions": Role.READ,
    "midstream.replay.v1.ReplayService/GetSession": Role.READ,
    "midstream.replay.v1.ReplayService/CreateSession": Role.CONTROL,
    "midstream.replay.v1.ReplayService/DeleteSession": Role.CONTROL,
    "midstream.reporting.v1.ReportingService/ListDeals": Role.READ,
    "midstream.reporting.v1.ReportingService/GetPerformance": Role.READ,
    "midstream.reporting.v1.ReportingService/WatchPerformance": Role.READ,
    "midstream.reporting.v1.ReportingService/GetPositions": Role.READ,
    "midstream.reporting.v1.ReportingService/GetHistory": Role.READ,
    # Not a method of gRPC: what a scraper reads, under the same rule as every other listener.
    "http/metrics": Role.READ,
}
"""`package.Service/Method` and the role that it needs. REST routes and pages name the method whose content they give."""


def needed_role(path: str) -> Role | None:
    """Return the role that `/package.Service/Method` needs; None for those open to everyone. Raises KeyError for what nobody decided."""
    name = path.lstrip("/")
    if name.partition("/")[0] in OPEN_SERVICES:
        return None
    return METHODS[name]
