"""Costs of calls at BitMEX and the limits that its headers report: token buckets of one account (fact sheet, section 6)."""

from __future__ import annotations

from typing import Final

from clients.exchanges.base import Answer
from clients.resilience.call import Cost, LimitReport
from clients.resilience.limiter import Counting, LimitRule, ScopeRules

SCOPE: Final = "bitmex"
REQUESTS: Final = "bitmex:requests"
"""Every signed route."""
PUBLIC: Final = "bitmex:public"
"""Every unsigned route, by address."""
ORDERS: Final = "bitmex:orders"
"""Routes that change orders, on top of the other bucket."""

RULES: Final = ScopeRules(
    SCOPE,
    (
        LimitRule(REQUESTS, 120, 60.0, Counting.BUCKET),
        LimitRule(PUBLIC, 30, 60.0, Counting.BUCKET),
        LimitRule(ORDERS, 10, 1.0, Counting.BUCKET),
    ),
)

WRITE_COSTS: Final = (Cost(REQUESTS, 1), Cost(ORDERS, 1))
"""What placing, amending and cancelling cost; cancelling everything counts once."""

THROTTLE_S_MIN: Final = 1.0
"""For a 429 that does not say how long."""


def read_costs(*, signed: bool) -> tuple[Cost, ...]:
    """Return what a read costs."""
    return (Cost(REQUESTS if signed else PUBLIC, 1),)


def limit_report(answer: Answer, *, retry_after_s: float | None) -> LimitReport:
    """Return what an answer says. Values jitter between the exchange's servers; the limiter takes the lower one."""
    bucket = REQUESTS if answer.request.signed else PUBLIC
    headers = answer.response.headers
    remaining, sizes = {}, {}
    for name, suffix in ((bucket, ""), (ORDERS, "-1s")):
        left = _count(headers.get(f"x-ratelimit-remaining{suffix}", ""))
        size = _count(headers.get(f"x-ratelimit-limit{suffix}", ""))
        if left is not None:
            remaining[name] = left
        if size:
            sizes[name] = size
    blocks = {SCOPE: max(retry_after_s or 0.0, THROTTLE_S_MIN)} if answer.response.status == 429 else {}
    return LimitReport(remaining=remaining, sizes=sizes, blocks=blocks)


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None
