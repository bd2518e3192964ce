"""Prices that move: one seeded random walk per underlying, so that spot, perpetual and dated contracts stay consistent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Final

from services.simulators.venue.day import Day, DayFigures

START_PRICES: Final[Mapping[str, float]] = {"BTC": 65_000.0, "ETH": 3_200.0, "SOL": 150.0}
YEARLY_VOLATILITY: Final[Mapping[str, float]] = {"BTC": 0.6, "ETH": 0.75, "SOL": 0.95}
NS_PER_YEAR: Final = 365 * 86_400 * 1_000_000_000
PULL: Final = 2e-6
"""Share of the distance to its start that a price loses per step: weeks of steps stay within an exchange's price filters."""
STEPS_MAX: Final = 20_000
"""Steps walked one by one; a longer pause is jumped over, with the same variance."""


class PriceWalk:
    """Prices on a fixed grid of steps. The price at a step is a function of seed and step, not of who asked when.

    `extra` steps can be taken ahead of the clock; they stay ahead.
    """

    def __init__(self, *, seed: int, start_ns: int, step_ns: int, volatility: float = 1.0) -> None:
        self._randoms = {asset: Random(f"{seed}:{asset}") for asset in START_PRICES}
        self.start_ns = start_ns
        self._step_ns = step_ns
        self._scale = volatility * math.sqrt(step_ns / NS_PER_YEAR)
        self._logs = {asset: math.log(price) for asset, price in START_PRICES.items()}
        self._anchors = dict(self._logs)
        self._days = {asset: DayFigures(price, step_ns=step_ns) for asset, price in START_PRICES.items()}
        self._extra = 0
        self.step = 0

    def due(self, now_ns: int) -> int:
        """Return how many steps the clock is ahead of the walk."""
        return max(0, (now_ns - self.start_ns) // self._step_ns + self._extra - self.step)

    def take(self) -> None:
        """Walk one step."""
        self.step += 1
        for asset, random in self._randoms.items():
            sigma = YEARLY_VOLATILITY[asset] * self._scale
            pull = PULL * (self._anchors[asset] - self._logs[asset])
            self._logs[asset] += random.gauss(0.0, 1.0) * sigma + pull
            self._days[asset].note(self.step, self.price(asset))

    def jump(self, steps: int) -> None:
        """Walk many steps at once."""
        self.step += steps
        for asset, random in self._randoms.items():
            sigma = YEARLY_VOLATILITY[asset] * self._scale * math.sqrt(steps)
            pull = (1 - (1 - PULL) ** steps) * (self._anchors[asset] - self._logs[asset])
            self._logs[asset] += random.gauss(0.0, 1.0) * sigma + pull
            self._days[asset].note(self.step, self.price(asset), steps=steps)

    def ahead(self, steps: int) -> None:
        """Make that many more steps due."""
        self._extra += steps

    def price(self, asset: str) -> float:
        """Return the underlying's price now."""
        return math.exp(self._logs[asset])

    def day(self, asset: str) -> Day:
        """Return what the underlying's last 24 hours were."""
        return self._days[asset].day()

    def set_price(self, asset: str, price: float) -> None:
        """Move the underlying there, and let it stay around there."""
        self._logs[asset] = self._anchors[asset] = math.log(price)
