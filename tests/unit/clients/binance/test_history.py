"""Ranges longer than a window and lists longer than a page."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.exchanges.binance.history import Dated, Page, between
from clients.exchanges.windows import windows

MS = 1_000_000


@pytest.mark.quick
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_windows_cover_the_range_without_gap_or_overlap(start_ms: int, span_ms: int, window_ms: int) -> None:
    if span_ms // window_ms > 2000:
        window_ms = max(1, span_ms // 2000)

    made = list(windows(start_ms * MS, (start_ms + span_ms) * MS, window_ms * MS))

    assert made[0][0] == start_ms
    assert made[-1][1] == start_ms + span_ms
    assert all(last - first < window_ms for first, last in made)
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(made))


def test_a_range_that_ends_before_it_begins_has_no_window() -> None:
    assert list(windows(10 * MS, 5 * MS, MS)) == []


def test_times_are_rounded_outwards() -> None:
    assert list(windows(MS + 1, 2 * MS + 1, 10 * MS)) == [(1, 3)]


class _Exchange:
    """Lists rows as Binance does: by window, or from an id on; a page at most; refuses spans that are too long."""

    def __init__(self, rows: list[Dated[str]], *, page: int, window_ms: int) -> None:
        self.rows = sorted(rows, key=lambda row: row.id)
        self.page = page
        self.window_ms = window_ms
        self.calls = 0

    async def fetch(self, page: Page) -> list[Dated[str]]:
        self.calls += 1
        asked = dict(page)
        if "fromId" in asked:
            assert len(asked) == 1
            found = [row for row in self.rows if row.id >= int(asked["fromId"])]
        else:
            first, last = int(asked["startTime"]), int(asked["endTime"])
            assert last - first <= self.window_ms
            found = [row for row in self.rows if first <= row.time_ms <= last]
        return found[: self.page]


@pytest.mark.parametrize("seed", range(40))
async def test_every_row_comes_once_and_in_order(seed: int) -> None:
    """Many rows share a millisecond, more than a page holds; pages and windows cut anywhere."""
    print(f"seed {seed}")  # noqa: T201
    random = Random(seed)
    times = sorted(random.choices(range(0, 3000, random.choice([1, 50, 500])), k=random.randrange(0, 120)))
    rows = [Dated(10 + index * 3, time, f"row {index}") for index, time in enumerate(times)]
    exchange = _Exchange(rows, page=random.randrange(1, 9), window_ms=random.randrange(1, 1500))

    found = await between(
        exchange.fetch,
        start_ns=500 * MS,
        end_ns=2500 * MS,
        window_ns=exchange.window_ms * MS,
        page_size=exchange.page,
        from_field="fromId",
    )

    assert found == [row.item for row in rows if 500 <= row.time_ms <= 2500]


async def test_a_range_without_rows_asks_once_per_window() -> None:
    exchange = _Exchange([], page=10, window_ms=100)

    found = await between(
        exchange.fetch, start_ns=0, end_ns=999 * MS, window_ns=100 * MS, page_size=10, from_field="fromId"
    )

    assert found == []
    assert exchange.calls == 10


async def test_a_window_ends_where_its_rows_end() -> None:
    """Asking by id goes on behind the window: the first row there is the end, however many follow."""
    rows = [Dated(index, index, f"row {index}") for index in range(1000)]
    exchange = _Exchange(rows, page=10, window_ms=100)

    found = await between(
        exchange.fetch, start_ns=0, end_ns=14 * MS, window_ns=100 * MS, page_size=10, from_field="fromId"
    )

    assert len(found) == 15
    assert exchange.calls == 2


async def test_a_row_that_the_exchange_repeats_comes_once() -> None:
    row = Dated(5, 50, "row")

    async def fetch(page: Page) -> list[Dated[str]]:
        return [row]

    found = await between(fetch, start_ns=0, end_ns=999 * MS, window_ns=100 * MS, page_size=10, from_field="fromId")

    assert found == ["row"]
