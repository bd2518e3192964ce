"""The provider without a port: parameters and a time in, an answer out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from services.simulators.market_data.faults import ProviderFaults
from services.simulators.market_data.quota import RequestCount
from services.simulators.market_data.schedule import Publication, Schedule, ScheduleOptions
from services.simulators.power_hours import MarketHour, NoSuchHour, named_hour

__all__ = ["NoValue", "ProviderAnswer", "ReferencePriceProvider"]

PARAMETERS: Final = ("delivery_day", "delivery_hour")

NoValue = Literal["null", "missing", "404"]
"""How an hour without any deal looks: `value` and `last_update` null, left out, or no such resource."""


@dataclass(frozen=True)
class ProviderAnswer:
    """An HTTP answer, and how long it takes."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class ReferencePriceProvider:
    """Answers `GET /reference-price`. What it says depends on options and time alone; only the quota remembers requests."""

    def __init__(
        self,
        options: ScheduleOptions | None = None,
        *,
        faults: ProviderFaults | None = None,
        quota: RequestCount | None = None,
        no_value: NoValue = "null",
        unit: str = "euro/mwh",
    ) -> None:
        self.schedule = Schedule(options, faults)
        self.quota = RequestCount() if quota is None else quota
        self._no_value: NoValue = no_value
        self._unit = unit
        self._answers = 0

    def answer(self, params: Mapping[str, str], now_ns: int) -> ProviderAnswer:
        """Return what the provider says at a moment."""
        faults = self.schedule.faults
        delay_s = faults.slow_s(now_ns)
        wait_s = self.quota.admit(now_ns)
        if wait_s > 0:
            body = {"error_message": "quota exceeded: at most 50 requests a minute and 1,000 an hour"}
            return ProviderAnswer(429, body, {"Retry-After": str(math.ceil(wait_s))}, delay_s)
        if faults.down(now_ns):
            return ProviderAnswer(503, {"error_message": "the service is down"}, delay_s=delay_s)
        missing = [name for name in PARAMETERS if not params.get(name)]
        if missing:
            return ProviderAnswer(400, {"error_message": f"missing parameter: {', '.join(missing)}"}, delay_s=delay_s)
        day, label = (params[name] for name in PARAMETERS)
        try:
            hour = named_hour(day, label)
        except NoSuchHour as exc:
            return ProviderAnswer(400, {"error_message": str(exc)}, delay_s=delay_s)
        return self._priced(hour, now_ns, delay_s)

    def publication(self, hour: MarketHour, now_ns: int) -> Publication | None:
        """Return what is true, faults of single answers aside: for tests to compare with."""
        return self.schedule.current(hour, now_ns)

    def _priced(self, hour: MarketHour, now_ns: int, delay_s: float) -> ProviderAnswer:
        self._answers += 1
        publication = self.schedule.current(hour, now_ns)
        if self.schedule.faults.out_of_order(now_ns) and self._answers % 2 == 0:
            publication = self.schedule.before(hour, now_ns)
        body: dict[str, Any] = {"delivery_day": hour.day_text, "delivery_hour": hour.label}
        if publication is not None:
            stamp = datetime.fromtimestamp(publication.stamp_s, tz=UTC).isoformat()
            body |= {"last_update": stamp, "unit": self._unit, "value": publication.value_e2 / 100}
        elif self._no_value == "404":
            return ProviderAnswer(
                404, {"error_message": f"no deals yet for {hour.day_text} {hour.label}"}, delay_s=delay_s
            )
        elif self._no_value == "null":
            body |= {"last_update": None, "unit": self._unit, "value": None}
        else:
            body |= {"unit": self._unit}
        return ProviderAnswer(200, body, delay_s=delay_s)
