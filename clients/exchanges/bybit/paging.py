"""Lists in pages: each answer names the cursor of the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from clients.exchanges.bybit.rows import Row, result_of, rows_of
from clients.exchanges.bybit.signing import CURSOR
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.errors import ExchangeError
from clients.exchanges.exact_json import MalformedAnswer
from clients.resilience.outcome import Outcome

PAGES_MAX: Final = 200


class Asked(Protocol):
    """What paging needs of a client."""

    async def request(self, request: ExchangeRequest) -> ExchangeResponse: ...

    def unreadable(
        self, request: ExchangeRequest, response: ExchangeResponse, error: MalformedAnswer
    ) -> ExchangeError: ...

    def fail(self, request: ExchangeRequest, outcome: Outcome, text: str, *, code: str = "") -> ExchangeError: ...


async def pages(
    client: Asked, request: ExchangeRequest, *, rows_max: int | None
) -> AsyncIterator[tuple[Sequence[Row], ExchangeResponse]]:
    """Yield the pages of a list. `rows_max` is how many rows a full page has, where a shorter one is the last.

    A cursor comes even with the last page of some lists, so it alone does not say that there is another one; one that has been
    given before says that there is none.
    """
    cursor, seen = "", set[str]()
    for _ in range(PAGES_MAX):
        more = ((CURSOR, cursor),) if cursor else ()
        asked = replace(request, parameters=(*request.parameters, *more))
        response = await client.request(asked)
        try:
            rows = rows_of(response.payload)
            cursor = result_of(response.payload).get("nextPageCursor") or ""
            if not isinstance(cursor, str):
                raise MalformedAnswer("`nextPageCursor` is not a text")
        except MalformedAnswer as error:
            raise client.unreadable(asked, response, error) from error
        yield rows, response
        if not cursor or cursor in seen or not rows or (rows_max is not None and len(rows) < rows_max):
            return
        seen.add(cursor)
    raise client.fail(
        request, Outcome.REJECTED, f"more than {PAGES_MAX} pages; ask for a shorter range", code="TOO_MANY_ROWS"
    )
