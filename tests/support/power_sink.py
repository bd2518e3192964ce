"""A database of deals in memory, with the promises of the real one and outages on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from clients.database import DatabaseUnavailable
from clients.power.deals import Deal, Gap, Unusable
from clients.power.deals.model import Item
from services.power.listener.feed_entry import NONE_COMMITTED, FeedEntry, Mark
from services.power.listener.sink import Committed, Cursor

__all__ = ["MemorySink", "entries_of", "made_deal"]


class MemorySink:
    """Implements DealSink. `down` makes every call fail; `lose_answers` commits and fails all the same, so many times."""

    def __init__(self) -> None:
        self.deals: dict[str, Deal] = {}
        self.unusable: list[Unusable] = []
        self.gaps: list[Gap] = []
        self.last: Cursor | None = None
        self.mark: Mark = NONE_COMMITTED
        self.down = False
        self.hanging = False
        self.lose_answers = 0
        self.batches: list[int] = []
        self.calls = 0
        self.on_commit: Callable[[], None] = lambda: None

    @property
    def ids(self) -> list[str]:
        """Keys in the order of their arrival: an id, where nothing was corrected."""
        return list(self.deals)

    async def cursor(self) -> Cursor | None:
        self._fail_when_down()
        return self.last

    async def commit(self, entries: Sequence[FeedEntry]) -> Committed:
        self.calls += 1
        if self.hanging:
            await asyncio.Event().wait()
        self._fail_when_down()
        self.on_commit()
        committed = self._write([entry for entry in entries if not self.mark.covers(entry.mark)], len(entries))
        if self.lose_answers:
            self.lose_answers -= 1
            raise DatabaseUnavailable(ConnectionResetError("the answer was lost"))
        return committed

    def _write(self, fresh: Sequence[FeedEntry], asked: int) -> Committed:
        if not fresh:
            return Committed(repeated=asked)
        new = fetched = duplicates = unusable = gaps = 0
        for entry in fresh:
            item = entry.item
            if isinstance(item, Deal):
                known = item.key in self.deals
                self.deals.setdefault(item.key, item)
                new += not known
                fetched += not known and not entry.moves_cursor
                duplicates += known and entry.moves_cursor
                if entry.moves_cursor:
                    self.last = Cursor(item.key, item.received_time_ns)
            elif isinstance(item, Unusable):
                self.unusable.append(item)
                unusable += 1
            else:
                self.gaps.append(item)
                gaps += 1
        self.mark = fresh[-1].mark
        self.batches.append(len(fresh))
        return Committed(new, fetched, duplicates, unusable, gaps, asked - len(fresh))

    def _fail_when_down(self) -> None:
        if self.down:
            raise DatabaseUnavailable(ConnectionRefusedError("connection refused"))


def made_deal(number: int, *, received_ns: int = 1_676_960_023_250_000_000) -> Deal:
    """Return a deal that is like no other number's."""
    return Deal(
        id=f"{number:032x}",
        price_e4=200_000 + number,
        quantity_e4=10_000,
        direction="sell" if number % 2 else "buy",
        delivery_day="2023-02-21",
        delivery_hour="15-16",
        trader_id=f"flex_trader_{number % 5 + 1}",
        execution_time_ns=received_ns - 250_000_000,
        received_time_ns=received_ns,
        flags="",
        raw_kind="deal_confirmation",
    )


def entries_of(items: Sequence[Item], *, run: str = "run", first: int = 1) -> list[FeedEntry]:
    """Return the items, numbered as the queue does it."""
    return [FeedEntry(Mark(run, number), item) for number, item in enumerate(items, first)]
