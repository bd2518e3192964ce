"""Candles, made of the trades of the tape and of nothing else: folded by the minute and by the page, then merged as asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from services.simulators.venue.intervals import MINUTE, MINUTE_NS, Interval
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.step_log import PAGE
from services.simulators.venue.tape import ListingTape, Print, Tape

MINUTES_KEPT: Final = 60_000
"""Minutes of pages that can be folded again, held over all listings."""
DROPPED_KEPT: Final = 590
"""Pages held by the minute after their steps are gone: a week at the usual pace. What is older is forgotten, the past with it."""


@dataclass(frozen=True)
class Candle:
    """What was traded in a span. Without a trade, all prices are the last one before, and the ids are -1."""

    open_ns: int
    end_ns: int
    """When the next one begins."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    value: Decimal
    """In quote units; in settlement coins where the contract is inverse."""
    bought: Decimal
    """The part of the volume whose taker bought."""
    bought_value: Decimal
    count: int
    first_id: int
    last_id: int


@dataclass(slots=True)
class _Sum:
    """A candle under way, in whole ticks and lots. Values are ticks x lots, or lots / ticks where the contract is inverse."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    first_id: int
    lots: int = 0
    value: float = 0
    bought: int = 0
    bought_value: float = 0
    count: int = 0

    def merge(self, later: _Sum) -> None:
        """Take in what came next."""
        self.high, self.low, self.close = max(self.high, later.high), min(self.low, later.low), later.close
        self.lots += later.lots
        self.value += later.value
        self.bought += later.bought
        self.bought_value += later.bought_value
        self.count += later.count


@dataclass(slots=True)
class _Page:
    """How far a page is folded."""

    next_step: int
    next_fill: int
    sums: list[_Sum] = field(default_factory=list)


class Candles:
    """The candles of all listings of a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._pages: OrderedDict[tuple[str, str, int], _Page] = OrderedDict()
        self._held: dict[tuple[str, str, int], list[_Sum]] = {}
        self._oldest_page = 0
        self._minutes = 0
        tape.before_drop.append(self._hold)

    def candles(self, listing: Listing, interval: Interval, first_ns: int, last_ns: int) -> list[Candle]:
        """Return the candles that open within [first, last], one for each span; none before the first trade."""
        tape = self._tape.of(listing)
        end_ns = interval.moved(interval.opening(last_ns), 1)
        sums = _merged(self._parts(tape, interval, first_ns, end_ns), interval)
        return list(_filled(sums, tape, interval, first_ns, last_ns))

    def window(self, listing: Listing, first_ns: int, now_ns: int) -> tuple[Candle | None, Candle]:
        """Return the last minute before, and the whole of the time since the minute in which `first_ns` lies ended."""
        first_ns = MINUTE.moved(MINUTE.opening(first_ns), 1)
        tape = self._tape.of(listing)
        parts = self._minutes_of(tape, first_ns - MINUTE_NS, now_ns + 1)
        before: _Sum | None = None
        total: _Sum | None = None
        for part in parts:
            if part.open_ns < first_ns:
                before = part
            elif total is None:
                total = replace(part)
            else:
                total.merge(part)
        told = None if before is None else _spelled(listing, before, before.open_ns + MINUTE_NS)
        if total is not None:
            return told, _spelled(listing, total, now_ns)
        last = tape.last().price
        return told, _still(last if told is None else told.close, first_ns, now_ns)

    # -- folding --------------------------------------------------------------------------------------------------

    def _parts(self, tape: ListingTape, interval: Interval, first_ns: int, end_ns: int) -> Iterator[_Sum]:
        if interval.length_ns % MINUTE_NS == 0:
            return self._minutes_of(tape, first_ns, end_ns)
        steps = self._tape.steps
        sums: list[_Sum] = []
        prints = tape.prints(max(0, steps.at(first_ns) - 1), steps.at(end_ns))
        _fold(sums, (one for one in prints if one.time_ns >= first_ns), interval, tape.listing)
        return iter(sums)

    def _minutes_of(self, tape: ListingTape, first_ns: int, end_ns: int) -> Iterator[_Sum]:
        for page in self._tape.steps.pages(first_ns, end_ns):
            if page >= self._oldest_page:
                yield from (one for one in self._page(tape, page) if first_ns <= one.open_ns < end_ns)

    def _page(self, tape: ListingTape, number: int) -> list[_Sum]:
        listing = tape.listing
        key = (listing.market, listing.symbol, number)
        if key in self._held:
            return self._held[key]
        page = self._pages.get(key)
        end = min((number + 1) * PAGE, self._tape.steps.end)
        if page is None:
            page = self._pages[key] = _Page(number * PAGE, tape.fills_before(number * PAGE))
        self._pages.move_to_end(key)
        fills = tape.fills_before(end)
        if page.next_step < end or page.next_fill < fills:
            before = len(page.sums)
            prints = tape.prints(page.next_step, end, fills_from=page.next_fill)
            _fold(page.sums, prints, MINUTE, listing)
            page.next_step, page.next_fill = end, fills
            self._minutes += len(page.sums) - before
            self._forget_folded(key)
        return page.sums

    def _forget_folded(self, newest: tuple[str, str, int]) -> None:
        while self._minutes > MINUTES_KEPT and next(iter(self._pages)) != newest:
            self._minutes -= len(self._pages.popitem(last=False)[1].sums)

    def _hold(self, page: int) -> None:
        """Fold a page of every listing before its steps go."""
        listings = tuple(self._tape.listings)
        for listing in listings:
            key = (listing.market, listing.symbol, page)
            self._held[key] = self._page(self._tape.of(listing), page)
            self._minutes -= len(self._pages.pop(key).sums)
            if page - DROPPED_KEPT >= self._oldest_page:
                self._held.pop((listing.market, listing.symbol, page - DROPPED_KEPT), None)
        if len(self._held) >= DROPPED_KEPT * len(listings):
            self._oldest_page = page - DROPPED_KEPT + 1


def _fold(sums: list[_Sum], prints: Iterable[Print], interval: Interval, listing: Listing) -> None:
    """Add trades to the sums, of which the last may still be under way."""
    inverse = listing.payout is Payout.INVERSE
    now = sums[-1] if sums else None
    end_ns = interval.moved(now.open_ns, 1) if now is not None else 0
    for made_id, time_ns, ticks, lots, buyer_is_maker in prints:
        if now is None or time_ns >= end_ns:
            opening = interval.opening(time_ns)
            end_ns = interval.moved(opening, 1)
            now = _Sum(opening, ticks, ticks, ticks, ticks, made_id)
            sums.append(now)
        elif ticks > now.high:
            now.high = ticks
        elif ticks < now.low:
            now.low = ticks
        value = lots / ticks if inverse else ticks * lots
        now.close = ticks
        now.lots += lots
        now.value += value
        now.count += 1
        if not buyer_is_maker:
            now.bought += lots
            now.bought_value += value


def _merged(parts: Iterable[_Sum], interval: Interval) -> Iterator[_Sum]:
    now: _Sum | None = None
    end_ns = 0
    for part in parts:
        if now is not None and part.open_ns < end_ns:
            now.merge(part)
            continue
        if now is not None:
            yield now
        opening = interval.opening(part.open_ns)
        end_ns = interval.moved(opening, 1)
        now = replace(part, open_ns=opening)
    if now is not None:
        yield now


def _filled(
    sums: Iterable[_Sum], tape: ListingTape, interval: Interval, first_ns: int, last_ns: int
) -> Iterator[Candle]:
    """Yield the candles, with still ones where nothing was traded."""
    opening, close = first_ns, tape.price_before(first_ns)
    for found in sums:
        while close is not None and opening < found.open_ns:
            yield _still(close, opening, interval.moved(opening, 1))
            opening = interval.moved(opening, 1)
        opening = interval.moved(found.open_ns, 1)
        made = _spelled(tape.listing, found, opening)
        close = made.close
        yield made
    while close is not None and opening <= last_ns:
        yield _still(close, opening, interval.moved(opening, 1))
        opening = interval.moved(opening, 1)


def _still(price: Decimal, open_ns: int, end_ns: int) -> Candle:
    nothing = Decimal(0)
    return Candle(open_ns, end_ns, price, price, price, price, nothing, nothing, nothing, nothing, 0, -1, -1)


def _spelled(listing: Listing, made: _Sum, end_ns: int) -> Candle:
    tick, lot = listing.tick, listing.lot
    worth = lot * listing.unit / tick if listing.payout is Payout.INVERSE else lot * listing.unit * tick
    return Candle(
        open_ns=made.open_ns,
        end_ns=end_ns,
        open=made.open * tick,
        high=made.high * tick,
        low=made.low * tick,
        close=made.close * tick,
        volume=made.lots * lot,
        value=Decimal(made.value) * worth,
        bought=made.bought * lot,
        bought_value=Decimal(made.bought_value) * worth,
        count=made.count,
        first_id=made.first_id,
        last_id=made.first_id + made.count - 1,
    )
