"""Carry a request out under its account's limits: the same way for REST and for the stream that takes orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.simulators.bybit.call import Call, Reply, Route
from services.simulators.bybit.errors import BybitError, too_many_visits
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.venue.clearing import Account


@dataclass(frozen=True)
class Limited:
    """A route, for an account."""

    venue: BybitExchange
    account: Account | None
    path: str
    route: Route


async def carry_out(limited: Limited, parameters: Mapping[str, Any]) -> tuple[Reply, dict[str, str]]:
    """Return the result and the headers of the limit; an error that is raised has those headers as well."""
    venue, account, route = limited.venue, limited.account, limited.route
    now_ns = venue.wall_ns()
    headers: dict[str, str] = {}
    granted = 1
    if account is not None and route.signed:
        if route.right not in account.rights:
            raise BybitError(10005, "Permission denied, please check your API key permissions.")
        many = parameters.get("request")
        units = max(1, len(many)) if route.batch and isinstance(many, list) else 1
        granted, headers = venue.limits.take(
            account.name, limited.path, str(parameters.get("category", "")), units, now_ns, venue.shown_ms(now_ns)
        )
        if not granted:
            raise too_many_visits(headers)
    method = "POST" if limited.path.startswith("/v5/order/") and route.right != "read" else "GET"
    try:
        result = await route.handler(Call(f"{method} {limited.path}", parameters, now_ns, account, granted))
    except BybitError as exc:
        exc.headers = {**headers, **exc.headers}
        raise
    return result if isinstance(result, Reply) else Reply(result), headers
