"""The tape of public trades: one per step of the market, seeded, and every fill of an account at its place between them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Final, NamedTuple

from services.simulators.venue.listing import Listing
from services.simulators.venue.price_history import PriceHistory
from services.simulators.venue.prices import START_PRICES, PriceWalk
from services.simulators.venue.step_log import PAGE, StepLog

TYPICAL_SHARE: Final = 64
"""A trade of the market is one to sixteen times this part of what a level of the book holds."""
_MIX: Final = 2_654_435_761


class Print(NamedTuple):
    """One trade in whole ticks and lots."""

    id: int
    time_ns: int
    ticks: int
    lots: int
    buyer_is_maker: bool


@dataclass(frozen=True)
class Trade:
    """One trade."""

    id: int
    time_ns: int
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool


class _Touch:
    """Best bid and ask of a listing as whole ticks, as the simulated book has them, but fast."""

    def __init__(self, listing: Listing) -> None:
        digits = max(2, -int(listing.tick.as_tuple().exponent))
        self._premium = float(1 + listing.premium)
        self._digits = digits
        self._scale: int = 10**digits
        self._tick = int(listing.tick * self._scale * 2)
        self._half = int(listing.tick * self._scale * listing.spread_ticks)
        self.spread = listing.spread_ticks

    def bid(self, price: float) -> int:
        """Return the bid when the underlying costs that."""
        mark = round(round(price * self._premium, self._digits) * self._scale)
        return max(1, (2 * mark - self._half) // self._tick)


class ListingTape:
    """All trades of one listing. They are numbered without holes, from the beginning of the past."""

    def __init__(self, listing: Listing, steps: StepLog) -> None:
        self.listing = listing
        self._steps = steps
        self._touch = _Touch(listing)
        self._lots = max(1, int(listing.typical_quantity / listing.lot) // TYPICAL_SHARE)
        self._fills: list[tuple[int, Print]] = []
        """By step, behind whose own trade they come."""
        self._fills_gone = 0

    def add_fill(self, price: Decimal, quantity: Decimal, time_ns: int, *, buyer_is_maker: bool) -> None:
        """Take a fill of an account: in whole ticks and lots, like everything here."""
        step = self._steps.end - 1
        number = step + 1 + self._fills_gone + len(self._fills)
        lots = max(1, int(quantity / self.listing.lot))
        self._fills.append((step, Print(number, time_ns, int(price / self.listing.tick), lots, buyer_is_maker)))

    def forget_fills(self, before: int) -> None:
        """Forget the fills of the steps before that one."""
        gone = bisect_left(self._fills, (before,))
        self._fills_gone += gone
        del self._fills[:gone]

    def prints(self, start: int, end: int, *, fills_from: int | None = None) -> Iterator[Print]:
        """Yield the trades of the steps in [start, end) that are here, each with the fills behind it.

        `fills_from` names the first fill to yield, also when its step is before `start`.
        """
        fills, bid, spread, lots = self._fills, self._touch.bid, self._touch.spread, self._lots
        live, gone = self._steps.live, self._fills_gone
        at = bisect_left(fills, (start,)) if fills_from is None else max(0, fills_from - self._fills_gone)
        for step, time_ns, price in self._steps.steps(self.listing.base, start, end):
            while at < len(fills) and fills[at][0] < step:
                yield fills[at][1]
                at += 1
            mix = step * _MIX & 0xFFFF_FFFF
            ticks = bid(price)
            buyer_is_maker = mix < 0x8000_0000
            yield Print(
                step + at + (gone if step >= live else 0),
                time_ns,
                ticks if buyer_is_maker else ticks + spread,
                lots * (1 + (mix >> 20 & 15)),
                buyer_is_maker,
            )
        while at < len(fills) and fills[at][0] < end:
            yield fills[at][1]
            at += 1

    def fills_before(self, step: int) -> int:
        """Return how many fills there were up to the end of the step before that one."""
        return bisect_left(self._fills, (step,)) + (self._fills_gone if step >= self._steps.live else 0)

    def price_before(self, time_ns: int) -> Decimal | None:
        """Return the price of the last trade before a moment; None when there is none (any more)."""
        step = self._steps.at(time_ns)
        earlier = [made for made in self.prints(max(0, step - 1), step) if made.time_ns < time_ns]
        return earlier[-1].ticks * self.listing.tick if earlier else None

    @property
    def fills_seen(self) -> int:
        """How many fills there were."""
        return self._fills_gone + len(self._fills)

    @property
    def end(self) -> int:
        """The id of the next trade."""
        return self._steps.end + self.fills_seen

    def trade(self, made: Print) -> Trade:
        """Spell a trade out."""
        listing = self.listing
        return Trade(made.id, made.time_ns, made.ticks * listing.tick, made.lots * listing.lot, made.buyer_is_maker)

    def last(self) -> Trade:
        """Return the newest trade."""
        return self.recent(1)[0]

    def recent(self, count: int) -> list[Trade]:
        """Return the newest trades, oldest first."""
        return self.from_id(max(0, self.end - count), count)

    def from_id(self, first: int, count: int) -> list[Trade]:
        """Return trades from an id on, oldest first; those that are forgotten are left out."""
        # A step's own trade has an id that is not below the step's number, so that none is missed from here.
        low, high = max(0, first - self.fills_seen), min(first, self._steps.end)
        while low < high:
            middle = (low + high + 1) // 2
            if middle + self.fills_before(middle) <= first:
                low = middle
            else:
                high = middle - 1
        found = (made for made in self.prints(low, self._steps.end) if made.id >= first)
        return [self.trade(made) for made in islice(found, count)]

    def between(self, first_ns: int, last_ns: int, count: int) -> list[Trade]:
        """Return the oldest trades within that time, ends included."""
        start, end = self._steps.at(first_ns), self._steps.at(last_ns + 1)
        found = (made for made in self.prints(max(0, start - 1), end) if first_ns <= made.time_ns <= last_ns)
        return [self.trade(made) for made in islice(found, count)]


class Tape:
    """The tapes of all listings of a venue."""

    def __init__(
        self, listings: Iterable[Listing], walk: PriceWalk, *, seed: int, start_ns: int, volatility: float
    ) -> None:
        self._walk = walk
        self.steps = StepLog(PriceHistory(seed=seed, end_ns=start_ns, volatility=volatility))
        self._tapes: dict[tuple[str, str], ListingTape] = {}
        for listing in listings:
            self.add(listing)
        self.before_drop: list[Callable[[int], None]] = []
        """Are called with the number of a page while its steps are still here."""

    def add(self, listing: Listing) -> None:
        """Keep a tape for one more listing; before the first step, so that it is whole."""
        self._tapes[listing.market, listing.symbol] = ListingTape(listing, self.steps)

    @property
    def begin_ns(self) -> int:
        """When the first trade was."""
        return self.steps.begin_ns

    @property
    def listings(self) -> Iterable[Listing]:
        """All that there are tapes of."""
        return [tape.listing for tape in self._tapes.values()]

    def of(self, listing: Listing) -> ListingTape:
        """Return a listing's tape."""
        return self._tapes[listing.market, listing.symbol]

    def note_step(self, time_ns: int) -> None:
        """Take the step that the walk has just made."""
        self.steps.note(time_ns, {asset: self._walk.price(asset) for asset in START_PRICES})
        if self.steps.is_full:
            page = self.steps.live // PAGE
            for watcher in self.before_drop:
                watcher(page)
            self.steps.drop_page()
            for tape in self._tapes.values():
                tape.forget_fills(self.steps.live)
