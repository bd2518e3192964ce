"""Costs of calls at Binance, the limits that its headers report, and which of both to believe.

Limits are per address (weight, raw requests) and per account (orders). The listed weight is reserved before a call; the used-weight
header of the answer corrects it (successful spot orders cost nothing since 2026-04-02). Sizes come from `exchangeInfo`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from clients.exchanges.base import Answer
from clients.exchanges.binance.markets import Market
from clients.exchanges.exact_json import MalformedAnswer, to_int
from clients.resilience.call import Cost, LimitReport
from clients.resilience.limiter import LimitRule, ScopeRules

SPOT_RULES: Final = ScopeRules(
    "binance:spot",
    (
        LimitRule("binance:spot:weight-1m", 6000, 60.0),
        LimitRule("binance:spot:raw-5m", 61_000, 300.0),
        LimitRule("binance:spot:orders-10s", 100, 10.0),
        LimitRule("binance:spot:orders-1d", 160_000, 86_400.0),
    ),
)
FUTURES_RULES: Final = ScopeRules(
    "binance:futures",
    (
        LimitRule("binance:futures:weight-1m", 2400, 60.0),
        LimitRule("binance:futures:orders-10s", 300, 10.0),
        LimitRule("binance:futures:orders-1m", 1200, 60.0),
    ),
)
RULES: Final = (SPOT_RULES, FUTURES_RULES)
"""Whether COIN-M orders draw on the counters of USD-M is not documented: counted together, nothing can go wrong."""

BAN_S_MIN: Final = 120.0
"""The shortest ban there is, for a 418 that does not say how long."""
THROTTLE_S_MIN: Final = 10.0
"""For a 429 that does not say how long."""

_KNOWN: Final = frozenset(rule.name for rules in RULES for rule in rules.limits)
_HEADER: Final = re.compile(r"x-mbx-(used-weight|order-count)-(\d{1,3}[smhd])", re.ASCII)
_KINDS: Final = {"used-weight": "weight", "order-count": "orders"}
_INACCURATE: Final = ("/ticker/bookTicker", "/ticker/price")
_TYPES: Final = {"REQUEST_WEIGHT": "weight", "ORDERS": "orders", "RAW_REQUESTS": "raw"}


def costs(market: Market, weight: int, *, order: bool = False) -> tuple[Cost, ...]:
    """Return the costs of a call: its listed weight, one raw request where they are counted, one order where it is one."""
    scope = market.scope
    made = [Cost(f"{scope}:weight-1m", weight)]
    if not market.futures:
        made.append(Cost(f"{scope}:raw-5m", 1))
    if order:
        made.append(Cost(f"{scope}:orders-10s", 1))
        made.append(Cost(f"{scope}:orders-1m" if market.futures else f"{scope}:orders-1d", 1))
    return tuple(made)


def limit_report(market: Market, answer: Answer, *, retry_after_s: float | None) -> LimitReport:
    """Return what an answer says. The weights of the futures' ticker routes are documented as inaccurate and left out."""
    path = answer.request.path
    inaccurate = market.futures and path.endswith(_INACCURATE)
    used: dict[str, int] = {}
    for name, value in answer.response.headers.items():
        found = _HEADER.fullmatch(name.lower())
        if found is None or not (value.isascii() and value.isdecimal() and len(value) <= 9):
            continue
        kind = _KINDS[found[1]]
        if kind == "weight" and inaccurate:
            continue
        used[f"{market.scope}:{kind}-{found[2].lower()}"] = int(value)
    payload = answer.payload if isinstance(answer.payload, dict) else {}
    stated = sizes(market, payload.get("rateLimits")) if path.endswith("/exchangeInfo") else {}
    return LimitReport(used=used, sizes=stated, blocks=_blocks(market, answer.response.status, payload, retry_after_s))


def sizes(market: Market, rate_limits: object) -> dict[str, int]:
    """Return the sizes that `exchangeInfo` states, by limit; entries of unknown kinds or intervals are left out."""
    found: dict[str, int] = {}
    for entry in rate_limits if isinstance(rate_limits, list) else []:
        named = _named(market, entry)
        if named is not None:
            found[named[0]] = named[1]
    return found


def _named(market: Market, entry: Any) -> tuple[str, int] | None:
    if not isinstance(entry, dict):
        return None
    kind = _TYPES.get(str(entry.get("rateLimitType")))
    try:
        interval = f"{to_int(entry.get('intervalNum'), 'intervalNum')}{str(entry.get('interval'))[:1].lower()}"
        size = to_int(entry.get("limit"), "limit")
    except MalformedAnswer:
        return None
    name = f"{market.scope}:{kind}-{interval}"
    return (name, size) if name in _KNOWN and size > 0 else None


def _blocks(market: Market, status: int, payload: Mapping[str, Any], retry_after_s: float | None) -> dict[str, float]:
    """Return what has to stay silent: everything that shares the address, or only orders when those were too many."""
    if payload.get("code") == -1015:
        name = f"{market.scope}:orders-10s"
        return {name: THROTTLE_S_MIN if retry_after_s is None else retry_after_s}
    if status == 418:
        return {market.scope: BAN_S_MIN if retry_after_s is None else retry_after_s}
    if status == 429 or (retry_after_s is not None and payload.get("code") == -1003):
        return {market.scope: THROTTLE_S_MIN if retry_after_s is None else retry_after_s}
    return {}
