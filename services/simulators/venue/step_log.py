"""What the underlyings cost and when: the seeded past, then every step of the walk, in pages of one size."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final

from services.simulators.venue.price_history import COUNT, PriceHistory
from services.simulators.venue.prices import START_PRICES

PAGE: Final = 4096
"""Steps per page: a quarter of an hour at the usual pace."""
PAGES_KEPT: Final = 168
"""Pages of live steps that are kept one by one: two days at the usual pace."""


class StepLog:
    """Steps are counted from the beginning of the past. The oldest live ones are dropped by the page; the past stays."""

    def __init__(self, history: PriceHistory, *, pages_kept: int = PAGES_KEPT) -> None:
        self._history = history
        self._pages_kept = pages_kept
        self._times: array[int] = array("q")
        self._prices: dict[str, array[float]] = {asset: array("d") for asset in START_PRICES}
        self._page_times: array[int] = array("q")
        """When each live page began; of dropped ones, too."""
        self.live = COUNT
        """The first live step that is still here."""

    @property
    def end(self) -> int:
        """The number of the next step."""
        return self.live + len(self._times)

    @property
    def begin_ns(self) -> int:
        """When the oldest step of the past was."""
        return self._history.times[0]

    @property
    def is_full(self) -> bool:
        """Whether the oldest live page is to be dropped."""
        return len(self._times) > self._pages_kept * PAGE

    def note(self, time_ns: int, prices: Mapping[str, float]) -> None:
        """Take a step. Time never goes back here: steps that were taken ahead of the clock share a moment."""
        if self._times and time_ns < self._times[-1]:
            time_ns = self._times[-1]
        if self.end % PAGE == 0:
            self._page_times.append(time_ns)
        self._times.append(time_ns)
        for asset, price in prices.items():
            self._prices[asset].append(price)

    def drop_page(self) -> None:
        """Forget the steps of the oldest live page."""
        self.live += PAGE
        del self._times[:PAGE]
        for prices in self._prices.values():
            del prices[:PAGE]

    def steps(self, asset: str, start: int, end: int) -> Iterator[tuple[int, int, float]]:
        """Yield (number, time, price) of the steps in that range that are here."""
        if start < COUNT:
            past, prices = self._history.times, self._history.prices(asset)
            for step in range(start, min(end, COUNT)):
                yield step, past[step], prices[step]
        live, times, prices = self.live, self._times, self._prices[asset]
        for step in range(max(start, live), min(end, self.end)):
            yield step, times[step - live], prices[step - live]

    def price(self, asset: str, step: int) -> float:
        """Return the price of a step that is here."""
        return self._history.prices(asset)[step] if step < COUNT else self._prices[asset][step - self.live]

    def at(self, time_ns: int) -> int:
        """Return the first step that is here and not before that time; the next one where there is none yet."""
        if self._times and time_ns > self._times[0]:
            return self.live + bisect_left(self._times, time_ns)
        past = bisect_left(self._history.times, time_ns)
        return past if past < COUNT else self.live

    def pages(self, first_ns: int, end_ns: int) -> range:
        """Return the numbers of the pages with steps in [first, end), dropped ones included."""
        return range(self._page_at(first_ns), self._pages_before(end_ns))

    def _page_at(self, time_ns: int) -> int:
        if self._page_times and time_ns > self._page_times[0]:
            # The page before the first one that begins later may reach that far.
            return COUNT // PAGE + bisect_left(self._page_times, time_ns) - 1
        return bisect_left(self._history.times, time_ns) // PAGE

    def _pages_before(self, time_ns: int) -> int:
        if self._page_times and time_ns > self._page_times[0]:
            return COUNT // PAGE + bisect_left(self._page_times, time_ns)
        return -(-bisect_left(self._history.times, time_ns) // PAGE)
