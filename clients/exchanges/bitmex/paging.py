"""Reading a list that may change while it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final

from clients.exchanges.bitmex.client import BitMEXClient
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.exact_json import MalformedAnswer
from clients.resilience.outcome import Outcome

PAGE_ROWS: Final = 500
OVERLAP_ROWS: Final = 50
"""Rows of a page that the next one repeats: a row that moves to the end while paging shifts all behind it forward by one."""
PAGES_MAX: Final = 100


async def all_rows(
    client: BitMEXClient, request: ExchangeRequest, *, key: str
) -> AsyncIterator[tuple[Mapping[str, Any], ExchangeResponse]]:
    """Yield the rows of all pages, oldest first, the same version of a row once. `key` names the field that identifies one."""
    seen: set[tuple[Any, Any]] = set()
    start = 0
    for _ in range(PAGES_MAX):
        paging = (("count", str(PAGE_ROWS)), ("start", str(start)), ("reverse", "false"))
        response = await client.request(replace(request, parameters=(*request.parameters, *paging)))
        rows = response.payload
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise client.unreadable(request, response, MalformedAnswer("the answer is not a list of rows"))
        for row in rows:
            version = (row.get(key), row.get("timestamp"))
            if version not in seen:
                seen.add(version)
                yield row, response
        if len(rows) < PAGE_ROWS:
            return
        start += PAGE_ROWS - OVERLAP_ROWS
    raise client.fail(
        request,
        Outcome.REJECTED,
        f"more than {PAGES_MAX * (PAGE_ROWS - OVERLAP_ROWS)} rows; ask for a shorter range",
        code="TOO_MANY_ROWS",
    )
