"""A seeded list of deals, each with the moment at which it is sent. It reads no clock, so a test can have a day of it at once."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from services.simulators.power_hours import MarketHour, open_hours
from services.simulators.power_prices import fair_price_e2, hour_random

__all__ = ["Kind", "PowerExchangeScript", "ScriptOptions", "ScriptedDeal", "deal_message"]

SECOND_NS: Final = 1_000_000_000
REVISABLE: Final = 50
"""Of so many of the latest deals one is corrected or canceled."""
CANCELED_SHARE: Final = 0.3
"""Of revisions: the others are corrections."""
QUANTITY_MAX_E1: Final = 120
"""12 MW: what small plants trade."""

Kind = Literal["deal_confirmation", "trade_confirmation"]


@dataclass(frozen=True)
class ScriptOptions:
    """What the deals are like."""

    seed: int = 20230221
    gap_min_s: float = 5.0
    gap_max_s: float = 10.0
    """Deals follow each other after a random time between the two."""
    traders: tuple[str, ...] = tuple(f"flex_trader_{number}" for number in range(1, 6))
    gate_lead_s: float = 0.0
    """How long before delivery an hour closes."""
    kind: Kind = "deal_confirmation"
    quarter_share: float = 0.0
    """Part of the deals that are for a quarter of an hour."""
    markets: tuple[str, ...] = ()
    """Markets that deals name; empty: they name none."""
    revision_share: float = 0.0
    """Part of the messages that correct or cancel an earlier deal."""
    deals_max: int | None = None
    """The script ends after so many; None never."""


@dataclass(frozen=True)
class ScriptedDeal:
    """A deal before it is written down."""

    time_ns: int
    """When it is executed and sent."""
    id: str
    price_e2: int
    quantity_e1: int
    direction: str
    delivery: MarketHour
    trader_id: str
    market: str = ""
    executed_ns: int = 0
    """When it was executed, where it is a revision of an earlier deal; 0: when it is sent."""
    revision: int = 1
    canceled: bool = False

    @property
    def key(self) -> str:
        """Its name on the exchange's list."""
        return self.id if self.revision == 1 else f"{self.id}#{self.revision}"

    def message(self, kind: Kind = "deal_confirmation") -> str:
        """Return it as it goes over the wire: a confirmation, a correction, or a cancellation, which names only its deal."""
        if self.revision == 1:
            return deal_message(self.fields(), kind)
        what = kind.partition("_")[0]
        if self.canceled:
            return json.dumps({f"{what}_cancellation": {"id": self.id, "revision": self.revision}})
        return json.dumps({f"{what}_correction": {**self.fields(), "revision": self.revision}})

    def fields(self) -> dict[str, Any]:
        """Return what stands in the message."""
        market = {"market": self.market} if self.market else {}
        return {
            "id": self.id,
            "price": self.price_e2 / 100,
            "quantity": self.quantity_e1 / 10,
            "direction": self.direction,
            "delivery_day": self.delivery.day_text,
            "delivery_hour": self.delivery.label,
            "trader_id": self.trader_id,
            "execution_time": datetime.fromtimestamp(
                (self.executed_ns or self.time_ns) // SECOND_NS, tz=UTC
            ).isoformat(),
            **market,
        }


def deal_message(fields: dict[str, Any], kind: Kind = "deal_confirmation") -> str:
    """Return a message of the exchange as it goes over the wire."""
    return json.dumps({kind: fields})


class PowerExchangeScript:
    """Iterates over deals. Prices, traders and gaps depend on the seed; ids also on the start, so that no two runs share one."""

    def __init__(self, start_ns: int, options: ScriptOptions | None = None) -> None:
        self.options = ScriptOptions() if options is None else options
        if not 0 <= self.options.gap_min_s <= self.options.gap_max_s:
            raise ValueError(f"a gap of {self.options.gap_min_s} to {self.options.gap_max_s} s cannot be")
        self._random = hour_random(self.options.seed, "deals")
        self._ids = hour_random(self.options.seed, "ids", start_ns)
        # Of their own, so that prices do not depend on them.
        self._kinds = hour_random(self.options.seed, "kinds")
        self._latest: deque[ScriptedDeal] = deque(maxlen=REVISABLE)
        self._time_ns = start_ns
        self._made = 0

    def __iter__(self) -> Iterator[ScriptedDeal]:
        return self

    def __next__(self) -> ScriptedDeal:
        if self.options.deals_max is not None and self._made >= self.options.deals_max:
            raise StopIteration
        self._made += 1
        return self._draw()

    def _draw(self) -> ScriptedDeal:
        options, random = self.options, self._random
        self._time_ns += round(random.uniform(options.gap_min_s, options.gap_max_s) * 1e9)
        hours = open_hours(self._time_ns, round(options.gate_lead_s * 1e9))
        # The next hours are traded most.
        delivery = hours[min(int(random.expovariate(0.25)), len(hours) - 1)]
        if self._latest and self._kinds.random() < options.revision_share:
            return self._revised()
        if self._kinds.random() < options.quarter_share:
            delivery = replace(delivery, minute=self._kinds.choice((0, 15, 30, 45)))
        fair_e2 = fair_price_e2(options.seed, delivery.day, delivery.hour)
        deal = ScriptedDeal(
            time_ns=self._time_ns,
            id=f"{self._ids.getrandbits(128):032x}",
            price_e2=fair_e2 + round(random.gauss(0.0, 400.0)),
            quantity_e1=random.randint(1, QUANTITY_MAX_E1),
            direction=random.choice(("buy", "sell")),
            delivery=delivery,
            trader_id=random.choice(options.traders),
            market=self._kinds.choice(options.markets) if options.markets else "",
        )
        self._latest.append(deal)
        return deal

    def _revised(self) -> ScriptedDeal:
        """Correct or cancel one of the latest deals."""
        place = self._kinds.randrange(len(self._latest))
        before = self._latest[place]
        deal = replace(
            before,
            time_ns=self._time_ns,
            executed_ns=before.executed_ns or before.time_ns,
            revision=before.revision + 1,
            canceled=self._kinds.random() < CANCELED_SHARE,
            price_e2=before.price_e2 + self._kinds.randint(-500, 500),
        )
        if deal.canceled:
            del self._latest[place]
        else:
            self._latest[place] = deal
        return deal
