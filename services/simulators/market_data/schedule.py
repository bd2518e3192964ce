"""Decide when the simulated provider publishes a price, and which one counts for an hour at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from services.simulators.market_data.faults import ProviderFaults
from services.simulators.power_hours import MarketHour, hours_of_day
from services.simulators.power_prices import drawn_gauss, drawn_uniform, fair_price_e2

__all__ = ["Publication", "Schedule", "ScheduleOptions", "Scope"]

SECOND_NS: Final = 1_000_000_000
LOOK_BACK: Final = 400
"""Publications looked through for one that took place: two and a half days without any is as good as none."""

Scope = Literal["all", "day", "hour"]
"""Whether a new price comes for all hours at once, for each day or for each hour at its own time."""


@dataclass(frozen=True)
class ScheduleOptions:
    """How the provider publishes."""

    seed: int = 20230221
    interval_s: int = 600
    phase_s: int = 0
    """How far behind the full ten minutes; consumers are not to assume 0."""
    delay_min_s: float = 0.0
    delay_max_s: float = 30.0
    """A publication comes late by a random time between the two."""
    scope: Scope = "all"
    first_value_max_s: float = 7_200.0
    """An hour has its first deal, and so its first value, at a random time up to this after trading in it began."""
    gate_lead_s: float = 0.0


@dataclass(frozen=True)
class Publication:
    """One price as it was published."""

    number: int
    """Counts intervals since 1970."""
    time_ns: int
    """When it came out; also its stamp, in whole seconds."""
    value_e2: int

    @property
    def stamp_s(self) -> int:
        """The stamp as the provider writes it."""
        return self.time_ns // SECOND_NS


class Schedule:
    """A pure function of seed, hour and time; two providers with the same options agree."""

    def __init__(self, options: ScheduleOptions | None = None, faults: ProviderFaults | None = None) -> None:
        self.options = ScheduleOptions() if options is None else options
        self.faults = ProviderFaults() if faults is None else faults

    def published_ns(self, number: int, hour: MarketHour) -> int:
        """Return when publication `number` comes out for an hour."""
        options = self.options
        key: tuple[object, ...] = {"all": (), "day": (hour.day,), "hour": (hour.day, hour.hour)}[options.scope]
        phase_s = float(options.phase_s)
        if key:
            phase_s += int(drawn_uniform(0, options.interval_s, options.seed, "phase", *key))
        nominal_ns = round((number * options.interval_s + phase_s) * 1e9)
        delay_s = drawn_uniform(options.delay_min_s, options.delay_max_s, options.seed, "delay", number, *key)
        return nominal_ns + round((delay_s + self.faults.late_s(nominal_ns)) * 1e9)

    def current(self, hour: MarketHour, now_ns: int) -> Publication | None:
        """Return what counts for an hour now; None while there was no deal in it. After gate closure the last one is final."""
        latest = self.number_at(hour, now_ns)
        return None if latest is None else self._publication(hour, latest)

    def before(self, hour: MarketHour, now_ns: int) -> Publication | None:
        """Return the publication in front of the current one, which a confused server may still hand out."""
        latest = self.number_at(hour, now_ns)
        earlier = None if latest is None else self._newest(hour, latest - 1)
        return None if earlier is None else self._publication(hour, earlier)

    def number_at(self, hour: MarketHour, now_ns: int) -> int | None:
        """Return the number of the newest publication of an hour."""
        end_ns = min(now_ns, hour.closes_ns(round(self.options.gate_lead_s * 1e9)) - 1)
        interval_ns = self.options.interval_s * SECOND_NS
        # The newest whose nominal time has come; delays and phases push it further back, never forward.
        number = end_ns // interval_ns
        while number * interval_ns > 0 and self.published_ns(number, hour) > end_ns:
            number -= 1
        return self._newest(hour, number)

    def first_deal_ns(self, hour: MarketHour) -> int:
        """Return when the first deal of an hour is made: trading begins with the local day before."""
        opening_ns = hours_of_day(hour.day - timedelta(days=1))[0].starts_s[0] * SECOND_NS
        options = self.options
        wait_s = drawn_uniform(0.0, options.first_value_max_s, options.seed, "first", hour.day, hour.hour)
        return opening_ns + round(wait_s * 1e9)

    def _newest(self, hour: MarketHour, number: int) -> int | None:
        """Return `number` or the nearest before it that took place and has a value."""
        first_ns = self.first_deal_ns(hour)
        for candidate in range(number, number - LOOK_BACK, -1):
            published_ns = self.published_ns(candidate, hour)
            if published_ns < first_ns:
                return None
            if not self.faults.missing(published_ns):
                return candidate
        return None

    def _publication(self, hour: MarketHour, number: int) -> Publication:
        published_ns = self.published_ns(number, hour)
        valued = number
        while self.faults.unchanged(self.published_ns(valued, hour)):
            valued -= 1
        drift = drawn_gauss(250.0, self.options.seed, "value", hour.day, hour.hour, valued)
        value_e2 = fair_price_e2(self.options.seed, hour.day, hour.hour) + round(drift)
        return Publication(number, published_ns, value_e2)
