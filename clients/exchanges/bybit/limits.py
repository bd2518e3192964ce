"""What calls cost at Bybit and what its headers say about it (fact sheet, section 6).

One limit of the address, over everything, and one a second for each route of the account, spot apart from futures. The headers tell
what is *left* of the route's.
"""

from __future__ import annotations

from typing import Final

from clients.exchanges.base import Answer
from clients.exchanges.bybit.errors import TOO_FREQUENT
from clients.exchanges.bybit.markets import MARKETS, NAME
from clients.resilience.call import Cost, LimitReport
from clients.resilience.limiter import LimitRule, ScopeRules

SCOPE: Final = NAME
REQUESTS: Final = f"{SCOPE}:requests"
"""Everything that an address asks for, over all hosts."""

_READS_S: Final = 50
_ROUTES: Final = {
    # Route: its name, and how many a second for futures and spot.
    "/v5/order/create": ("create", 10, 20),
    "/v5/order/amend": ("amend", 10, 10),
    "/v5/order/cancel": ("cancel", 10, 20),
    "/v5/order/cancel-all": ("cancel-all", 10, 20),
    "/v5/order/realtime": ("realtime", _READS_S, _READS_S),
    "/v5/order/history": ("history", _READS_S, _READS_S),
    "/v5/execution/list": ("executions", _READS_S, _READS_S),
    "/v5/position/list": ("positions", _READS_S, _READS_S),
}

RULES: Final = ScopeRules(
    SCOPE,
    (
        # 600 are allowed; others may share the address, and whoever goes beyond is shut out for ten minutes.
        LimitRule(REQUESTS, 480, 5.0),
        *(
            LimitRule(f"{SCOPE}:{name}:{kind}", size, 1.0)
            for name, futures, spot in _ROUTES.values()
            for kind, size in (("futures", futures), ("spot", spot))
        ),
    ),
)

BAN_S: Final = 600.0
"""How long an address that was shut out has to stay away."""
THROTTLE_S: Final = 1.0
"""For a limit that is exceeded and does not say until when: the interval of every route's."""
PROTECTION_S: Final = 5.0
"""For a 429 that does not say how long."""


def costs(market: str, path: str) -> tuple[Cost, ...]:
    """Return what a call costs: a request, and one of its route where that is counted."""
    limit = _route_limit(market, path)
    return (Cost(REQUESTS, 1),) if limit is None else (Cost(REQUESTS, 1), Cost(limit, 1))


def limit_report(answer: Answer, *, code: str, retry_after_s: float | None) -> LimitReport:
    """Return what an answer says; `code` is that of its complaint, if any."""
    limit = _route_limit(answer.request.market, answer.request.path)
    headers = answer.response.headers
    size, left = _count(headers.get("x-bapi-limit", "")), _count(headers.get("x-bapi-limit-status", ""))
    used, sizes = {}, {}
    if limit is not None and size:
        sizes[limit] = size
        if left is not None:
            used[limit] = max(0, size - left)
    blocks = {}
    if is_ban(answer):
        blocks[SCOPE] = BAN_S
    elif answer.response.status == 429:
        blocks[SCOPE] = PROTECTION_S if retry_after_s is None else retry_after_s
    elif code == "10006" and limit is not None:
        blocks[limit] = THROTTLE_S if retry_after_s is None else retry_after_s
    return LimitReport(used=used, sizes=sizes, blocks=blocks)


def is_ban(answer: Answer) -> bool:
    """Whether an answer says that the address is shut out."""
    return answer.response.status == 403 and TOO_FREQUENT.encode() in answer.response.body[:4096].lower()


def until_reset_s(answer: Answer) -> float | None:
    """Return the seconds until a route's counter begins anew, by the exchange's own clock in the same answer."""
    headers = answer.response.headers
    reset_ms, now_ms = (
        _count(headers.get("x-bapi-limit-reset-timestamp", ""), 16),
        _count(headers.get("timenow", ""), 16),
    )
    if now_ms is None and isinstance(answer.payload, dict) and isinstance(answer.payload.get("time"), int):
        now_ms = answer.payload["time"]
    if reset_ms is None or not now_ms:
        return None
    return max(0.0, min((reset_ms - now_ms) / 1000, 60.0))


def _route_limit(market: str, path: str) -> str | None:
    route = _ROUTES.get(path)
    return None if route is None else f"{SCOPE}:{route[0]}:{MARKETS[market].limits}"


def _count(text: str, digits: int = 9) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None
