"""The last price of every hour that closed is had in the end, whatever was away meanwhile; a wrong stamp freezes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from clients.power.calendar import DeliveryHour, delivery_hour
from services.power.etl.planner import PAST_CLEAR_NS
from services.simulators.market_data.faults import Fault, ProviderFaults
from services.simulators.market_data.provider import ReferencePriceProvider
from services.simulators.market_data.quota import RequestCount
from services.simulators.power_hours import MarketHour
from tests.support.quota_ledger import MemoryQuotaLedger
from tests.support.reference_desk import (
    SECOND_NS,
    MemoryStore,
    ProviderTransport,
    delays,
    make_poller,
    new_loop_at,
    poll_for,
)
from tests.support.virtual_time import VirtualLoop

DAY = "2026-11-29"
MINUTE_NS = 60 * SECOND_NS


def utc_ns(hour: int, minute: int = 0) -> int:
    return round(datetime(2026, 11, 29, hour, minute, tzinfo=UTC).timestamp()) * SECOND_NS


class Rig:
    """A provider, a database and pollers that come and go, in virtual time."""

    def __init__(self, start_ns: int, provider: ReferencePriceProvider, seed: int = 1) -> None:
        self.loop = VirtualLoop()
        new_loop_at(self.loop, start_ns)
        self.rng = random.Random(seed)
        self.provider = provider
        self.transport = ProviderTransport(provider, self.loop, self.rng)
        self.store = MemoryStore(self.loop)
        self.ledger = MemoryQuotaLedger()

    def run(self, seconds: float) -> None:
        poller = make_poller(self.loop, self.transport, self.store, self.ledger, self.rng)
        self.loop.run_until_complete(poll_for(poller, seconds))

    def away(self, seconds: int) -> None:
        self.loop.jump_wall_ns(seconds * SECOND_NS)

    def is_final(self, hour: DeliveryHour) -> bool:
        """Whether the newest price here is the last one that the provider gave, and known to be."""
        publication = self.provider.publication(MarketHour(hour.day, hour.hour), self.loop.wall_ns())
        have = self.store.first_seen().get(hour, [])
        same = bool(have) and publication is not None and have[-1][0] == publication.stamp_s * SECOND_NS
        return same and hour in self.store.finals

    def unfinished(self, day: str, first: int, last: int) -> list[str]:
        hours = [delivery_hour(day, f"{hour:02d}-{hour + 1:02d}") for hour in range(first, last + 1)]
        return [hour.label for hour in hours if not self.is_final(hour)]


@pytest.fixture
def rigs() -> Iterator[list[Rig]]:
    made: list[Rig] = []
    yield made
    for rig in made:
        rig.loop.close()


@pytest.mark.cases(2)
@pytest.mark.parametrize("minutes", [8, 15, 20, 30, 90])
def test_an_outage_over_a_closure_costs_no_last_price(rigs: list[Rig], minutes: int) -> None:
    down_ns = utc_ns(9, 50)
    faults = ProviderFaults([Fault("down", down_ns, down_ns + minutes * MINUTE_NS)])
    rig = Rig(utc_ns(9), ReferencePriceProvider(faults=faults, quota=RequestCount()))
    rigs.append(rig)

    rig.run((50 + minutes + 60) * 60)

    closed = 10 + (50 + minutes + 60) // 60 - 1
    assert rig.unfinished(DAY, 11, closed) == []


def test_hours_that_closed_while_nobody_asked_are_completed(rigs: list[Rig]) -> None:
    rig = Rig(utc_ns(20, 30), ReferencePriceProvider(quota=RequestCount()))
    rigs.append(rig)
    rig.run(1_200)
    for label in ("09-10", "21-22"):
        rig.store.deals.add(delivery_hour(DAY, label))
    rig.away(3 * 3_600)

    rig.run(2 * 3_600)

    # Both have deals; the other two had a price, and closed meanwhile.
    assert rig.unfinished(DAY, 21, 23) == []
    assert rig.is_final(delivery_hour(DAY, "09-10"))


def test_a_first_start_in_the_afternoon_completes_the_day(rigs: list[Rig]) -> None:
    rig = Rig(utc_ns(14, 5), ReferencePriceProvider(quota=RequestCount()))
    rigs.append(rig)

    rig.run(3_600)

    assert rig.unfinished(DAY, 0, 15) == []


def test_a_deal_that_comes_late_for_a_past_hour_gets_its_price(rigs: list[Rig]) -> None:
    rig = Rig(utc_ns(14, 5), ReferencePriceProvider(quota=RequestCount()))
    rigs.append(rig)
    hour = delivery_hour("2026-11-26", "09-10")
    rig.run(600)
    assert not rig.is_final(hour)

    rig.store.deals.add(hour)
    rig.run(3_600)

    assert rig.is_final(hour)


def test_looking_back_keeps_to_the_quota_and_delays_nothing_else(rigs: list[Rig]) -> None:
    # Just after the market's midnight, when the most hours are on offer and every slot of a minute is needed.
    alone, beside = (Rig(utc_ns(23, 5), ReferencePriceProvider(quota=RequestCount())) for _ in range(2))
    rigs += [alone, beside]
    for days in range(1, 8):
        beside.store.deals |= {
            delivery_hour(f"2026-11-{29 - days}", f"{hour:02d}-{hour + 1:02d}") for hour in range(24)
        }

    for rig in (alone, beside):
        rig.run(100 * 60)

    worst = [
        max(
            found.seconds
            for found in delays(
                rig.provider, rig.store, start_ns=utc_ns(23, 15), end_ns=utc_ns(23, 15) + 90 * MINUTE_NS
            )
        )
        for rig in (alone, beside)
    ]
    assert len(beside.store.finals) > len(alone.store.finals) + 120
    assert beside.transport.statuses.keys() == {200}
    assert worst[1] <= worst[0] + 1.0, f"a price was {worst[1]} s late instead of {worst[0]} s"
    assert PAST_CLEAR_NS > MINUTE_NS
