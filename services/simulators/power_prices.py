"""Worth of power in the simulated market: deals and reference prices move around the same curve."""

from __future__ import annotations

import math
from datetime import date
from functools import lru_cache
from random import Random
from typing import Final

__all__ = ["drawn_gauss", "drawn_uniform", "fair_price_e2", "hour_random"]

# EUR/MWh by local hour: nights are cheap, noon is sunny, evenings are short of everything.
_DAY: Final = (
    *(46.0, 42.5, 40.0, 39.0, 41.0, 49.5, 66.0, 82.0, 85.5, 71.0, 55.0, 43.0),
    *(35.5, 31.0, 33.5, 44.0, 60.5, 84.0, 101.5, 108.0, 93.5, 77.0, 64.5, 53.0),
)


def hour_random(seed: int, *key: object) -> Random:
    """Return randomness that depends on the seed and the key alone, in every process."""
    return Random("/".join(map(str, (seed, *key))))


# Seeding costs more than everything else, and a virtual day asks for the same few thousand draws again and again.
@lru_cache(maxsize=65_536)
def drawn_uniform(low: float, high: float, seed: int, *key: object) -> float:
    """Return the draw of a key, evenly between the two."""
    return hour_random(seed, *key).uniform(low, high)


@lru_cache(maxsize=65_536)
def drawn_gauss(spread: float, seed: int, *key: object) -> float:
    """Return the draw of a key, around zero."""
    return hour_random(seed, *key).gauss(0.0, spread)


@lru_cache(maxsize=4_096)
def fair_price_e2(seed: int, day: date, hour: int) -> int:
    """Return the price around which an hour is traded, in cents per MWh. Sunny Sundays go below zero, as they do."""
    random = hour_random(seed, "fair", day)
    level = random.gauss(0.0, 9.0)
    sun = random.uniform(0.0, 40.0 if 4 <= day.month <= 9 else 15.0) * (1.6 if day.isoweekday() > 5 else 1.0)
    shine = max(0.0, math.cos((hour + 0.5 - 13.0) / 12.0 * math.pi)) ** 2
    own = hour_random(seed, "fair", day, hour).gauss(0.0, 2.0)
    return round((_DAY[hour] + level - sun * shine + own) * 100)
