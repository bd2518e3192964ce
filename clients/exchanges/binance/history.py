"""Lists longer than a page and longer than a window: Binance limits both, so a range is asked for in pieces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from clients.exchanges.windows import windows

T = TypeVar("T")

Page = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Dated(Generic[T]):
    """One row of a list: its id and time as the exchange orders by, and what it says."""

    id: int
    time_ms: int
    item: T


async def between(
    fetch: Callable[[Page], Awaitable[Sequence[Dated[T]]]],
    *,
    start_ns: int,
    end_ns: int,
    window_ns: int,
    page_size: int,
    from_field: str,
) -> list[T]:
    """Return every row of the range once, oldest first.

    The first page of a window is asked for by time, the following ones by id ("from this id on"): many rows may share a millisecond,
    so paging by time could lose some or never end. Ids grow with time within a symbol, so every page makes progress.
    """
    found: list[T] = []
    seen_id = -1
    for first_ms, last_ms in windows(start_ns, end_ns, window_ns):
        page: Page = (("startTime", str(first_ms)), ("endTime", str(last_ms)))
        while True:
            rows = sorted(await fetch(page), key=lambda row: row.id)
            inside = [row for row in rows if row.time_ms <= last_ms]
            found += [row.item for row in inside if row.id > seen_id]
            seen_id = max([seen_id, *(row.id for row in inside)])
            if len(rows) < page_size or len(inside) < len(rows):
                break
            page = ((from_field, str(rows[-1].id + 1)),)
    return found
