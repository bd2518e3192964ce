"""Binance's errors as one table. The first row that matches decides, so the order is part of the meaning.

"sheet" in a source is `exchanges/binance.md`, by section. What the sheet marks as unverified is judged the careful way: an order whose
fate depends on it counts as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from clients.exchanges.binance.markets import COINM, SPOT, USDM
from clients.exchanges.endings import EndedBy
from clients.exchanges.error_table import ErrorRow, ErrorTable
from clients.resilience.outcome import Outcome

FUTURES: Final = (USDM, COINM)
PLACING: Final = ("place_order", "amend_order")
"""Operations that put quantity into the market: when in doubt they may have."""

_SERVER_ERROR: Final = range(500, 600)
_CLIENT_ERROR: Final = range(400, 500)


def _only(status: int) -> range:
    return range(status, status + 1)


def _codes(outcome: Outcome, source: str, codes: Sequence[int], markets: Sequence[str] = ()) -> list[ErrorRow]:
    return [ErrorRow(outcome, source, code=str(code), markets=markets) for code in codes]


_LIMITS: Final = [
    ErrorRow(Outcome.THROTTLED, "sheet 5, 6: 418 is an IP ban", statuses=_only(418)),
    ErrorRow(Outcome.THROTTLED, "sheet 5, 6: 429 stop and wait", statuses=_only(429)),
    *_codes(Outcome.THROTTLED, "sheet 6: limits", (-1003, -1015, -1034)),
]

_UNKNOWN: Final = [
    # Spot documents every 5xx as unknown, whatever code stands in it; repeating a read does no harm.
    ErrorRow(Outcome.UNKNOWN, "sheet 6: spot any 5xx", statuses=_SERVER_ERROR, markets=(SPOT,), reads=False),
    ErrorRow(
        Outcome.THROTTLED, "sheet 6: -1008 throttled", code="-1008", statuses=_SERVER_ERROR, markets=(SPOT,), reads=True
    ),
    ErrorRow(Outcome.RETRYABLE, "sheet 6: spot any 5xx; reads repeat", statuses=_SERVER_ERROR, markets=(SPOT,)),
    ErrorRow(Outcome.RETRYABLE, "sheet 6: 408; reads repeat", statuses=_only(408), reads=True),
    ErrorRow(Outcome.UNKNOWN, "sheet 6: HTTP 408", statuses=_only(408)),
    ErrorRow(Outcome.RETRYABLE, "sheet 6: -1006; reads repeat", code="-1006", reads=True),
    ErrorRow(Outcome.UNKNOWN, "sheet 6: -1006 unexpected response", code="-1006"),
    ErrorRow(Outcome.RETRYABLE, "sheet 6: -1007; reads repeat", code="-1007", reads=True),
    ErrorRow(Outcome.UNKNOWN, "sheet 6: -1007 backend timeout", code="-1007"),
    ErrorRow(Outcome.RETRYABLE, "sheet 6: -1001 safe to re-send on futures", code="-1001", markets=FUTURES),
    ErrorRow(Outcome.RETRYABLE, "sheet 6: -1001 on spot; reads repeat", code="-1001", reads=True),
    ErrorRow(Outcome.UNKNOWN, "sheet 6: -1001 on spot stays unknown", code="-1001"),
    ErrorRow(Outcome.UNKNOWN, "sheet 6: -1008 on spot, query first", code="-1008", markets=(SPOT,), reads=False),
    ErrorRow(Outcome.THROTTLED, "sheet 6: -1008 throttled", code="-1008"),
]

_FUTURES_503: Final = [
    ErrorRow(
        Outcome.RETRYABLE,
        "sheet 6: futures 503, unknown error; reads repeat",
        statuses=_only(503),
        text="unknown error, please check your request",
        reads=True,
    ),
    ErrorRow(
        Outcome.UNKNOWN,
        "sheet 6: futures 503, unknown error",
        statuses=_only(503),
        text="unknown error, please check your request",
    ),
    ErrorRow(
        Outcome.UNKNOWN,
        "sheet 6: futures 503 texts are unverified, for orders query first",
        statuses=_only(503),
        operations=PLACING,
    ),
    ErrorRow(
        Outcome.MAINTENANCE, "sheet 6: futures 503, not executed", statuses=_only(503), text="service unavailable"
    ),
    ErrorRow(
        Outcome.RETRYABLE, "sheet 6: futures 503, not executed", statuses=_only(503), text="internal error; unable"
    ),
]

_CLOCK: Final = [
    *_codes(Outcome.CLOCK, "sheet 6: clock, outside recvWindow", (-1021,)),
    *_codes(Outcome.CLOCK, "sheet 6: clock, engine-side window", (-5028,), FUTURES),
]

_AUTH: Final = [
    *_codes(Outcome.AUTH, "sheet 6: auth, permanent", (-1002, -1022, -2014, -2015)),
    ErrorRow(Outcome.AUTH, "RFC 9110: 401", statuses=_only(401)),
    ErrorRow(Outcome.AUTH, "RFC 7725: 451, this location is not served", statuses=_only(451)),
]

_ORDERS: Final = [
    ErrorRow(Outcome.DUPLICATE, "sheet 6: duplicate id, spot", code="-2010", text="duplicate order sent"),
    ErrorRow(
        Outcome.REJECTED,
        "sheet 6: post-only; refused where others accept and end it",
        code="-2010",
        text="immediately match and take",
        ended_by=EndedBy.POST_ONLY,
    ),
    *_codes(Outcome.REJECTED, "sheet 6: business reject, spot", (-2010,)),
    *_codes(Outcome.DUPLICATE, "sheet 6: duplicate id, futures", (-4116,), FUTURES),
    *_codes(Outcome.NOT_FOUND, "sheet 6: not found", (-2013, -2011, -2026, -2039)),
    # The answer says which of the two; `replacing.py` reads it. Without that, one may have been done.
    ErrorRow(Outcome.UNKNOWN, "sheet 3, 6: spot cancel-replace, one of two", code="-2021", markets=(SPOT,)),
    *_codes(Outcome.REJECTED, "sheet 3, 6: spot cancel-replace, neither", (-2022,), (SPOT,)),
    *_codes(Outcome.REJECTED, "sheet 6: would trigger immediately", (-2021,), FUTURES),
    ErrorRow(
        Outcome.REJECTED,
        "sheet 6: FOK; USD-M refuses what spot and COIN-M let expire",
        code="-5021",
        markets=FUTURES,
        ended_by=EndedBy.TIME_IN_FORCE,
    ),
    ErrorRow(
        Outcome.REJECTED,
        "sheet 6: post-only; refused where others accept and end it",
        code="-5022",
        markets=FUTURES,
        ended_by=EndedBy.POST_ONLY,
    ),
    *_codes(Outcome.REJECTED, "sheet 6: business reject, futures", (-2019, -2022), FUTURES),
    # The order is as wanted already: fetch, compare, adopt, as with a duplicate id.
    ErrorRow(Outcome.DUPLICATE, "sheet 6: amend, no state change", code="-2038", text="no state", markets=(SPOT,)),
    *_codes(Outcome.REJECTED, "sheet 6: amend, spot", (-2038,), (SPOT,)),
    *_codes(Outcome.DUPLICATE, "sheet 6: amend, same order", (-5027,), FUTURES),
    *_codes(Outcome.REJECTED, "sheet 6: amend, futures", (-5024, -5025, -5026), FUTURES),
    *_codes(Outcome.REJECTED, "sheet 6: moved to the algo-order API", (-4120,)),
]

_REQUESTS: Final = [
    *_codes(Outcome.NOT_FOUND, "sheet 7: no such listen key, create a new one", (-1125,)),
    *_codes(Outcome.REJECTED, "sheet 6: request, permanent", (-1013,)),
    *_codes(Outcome.REJECTED, "sheet 6: request, permanent", [code for code in range(-1130, -1099) if code != -1125]),
    *_codes(Outcome.REJECTED, "sheet 6: request, permanent", (-4003, -4004, -4005, -4014, -4164), FUTURES),
]

_BY_STATUS: Final = [
    ErrorRow(Outcome.THROTTLED, "sheet 5: 403 is the web firewall, rate or content", statuses=_only(403)),
    ErrorRow(Outcome.UNKNOWN, "sheet 6: 409 is half done", statuses=_only(409), reads=False),
    ErrorRow(Outcome.REJECTED, "exchange's general page: 4xx is the sender's fault", statuses=_CLIENT_ERROR),
    ErrorRow(Outcome.RETRYABLE, "a read can be repeated after anything else", reads=True),
    ErrorRow(Outcome.UNKNOWN, "whatever is not known to be refused may have been executed"),
]

TABLE: Final = ErrorTable([*_LIMITS, *_UNKNOWN, *_FUTURES_503, *_CLOCK, *_AUTH, *_ORDERS, *_REQUESTS, *_BY_STATUS])

_BANNED: Final = re.compile(r"banned until (\d{13})", re.ASCII | re.IGNORECASE)


def ban_end_ms(text: str) -> int | None:
    """Return when a ban ends that the text of a -1003 names, in the server's milliseconds."""
    found = _BANNED.search(text)
    return None if found is None else int(found[1])
