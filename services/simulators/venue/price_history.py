"""Prices before the start: a seeded walk backwards, so that a client finds candles as soon as the simulator is up."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from random import Random
from typing import Final

from services.simulators.venue.prices import NS_PER_YEAR, START_PRICES, YEARLY_VOLATILITY

_DAY_S: Final = 86_400
SPANS: Final = ((15, 7 * _DAY_S), (300, 90 * _DAY_S), (21_600, 499 * _DAY_S))
"""Seconds between two prices, and the age until which it is so: the past grows thinner, down to four prices a day."""
COUNT: Final = 65_536
"""Prices there are: whole pages of the tape."""
PULL_PER_S: Final = 2e-6
"""Share of the distance to its end that a price loses per second, so that a year stays within an exchange's price filters."""


class PriceHistory:
    """The past of all underlyings, made when it is first asked for. It ends with the prices that the walk begins with."""

    def __init__(self, *, seed: int, end_ns: int, volatility: float = 1.0) -> None:
        self._seed = seed
        self._end_ns = end_ns
        self._volatility = volatility
        self._times: array[int] = array("q")
        self._prices: dict[str, array[float]] = {}

    @property
    def times(self) -> array[int]:
        """When each price was, oldest first."""
        if not self._times:
            self._times = array("q", (self._end_ns - age * 1_000_000_000 for age, _ in _ages()))
            self._times.reverse()
        return self._times

    def prices(self, asset: str) -> array[float]:
        """Return an underlying's prices, oldest first."""
        if asset not in self._prices:
            self._prices[asset] = self._walked(asset)
        return self._prices[asset]

    def _walked(self, asset: str) -> array[float]:
        gauss, exp = Random(f"{self._seed}:{asset}:past").gauss, math.exp
        scale = YEARLY_VOLATILITY[asset] * self._volatility * math.sqrt(1_000_000_000 / NS_PER_YEAR)
        anchor = now = math.log(START_PRICES[asset])
        moves = {apart: (scale * math.sqrt(apart), 1 - (1 - PULL_PER_S) ** apart) for apart, _ in SPANS}
        found = array("d")
        for _, apart in _ages():
            found.append(exp(now))
            sigma, pull = moves[apart]
            now += gauss(0.0, sigma) + pull * (anchor - now)
        found.reverse()
        return found


def _ages() -> Iterator[tuple[int, int]]:
    """Yield how many seconds before the end each price is, newest first, and how far behind it the next one lies."""
    age = made = 0
    for apart, until in SPANS:
        while age < until and made < COUNT:
            yield age, apart
            age += apart
            made += 1
