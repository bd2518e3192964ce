"""Every attempt takes a slot of the quota before it leaves, and what never left gives it back."""

from __future__ import annotations

import asyncio

import pytest

from clients.http import NotSent
from clients.power.reference.errors import ProviderThrottled, ProviderUnavailable
from clients.resilience.errors import LimitReached
from tests.support.reference_client import HOUR, PRICE, AbsentQuotaLedger, Desk, always
from tests.support.virtual_time import VirtualLoop, run_virtual


@pytest.mark.quick
def test_every_attempt_takes_a_slot() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, lambda number: (503, b"", {}) if number % 2 else (200, PRICE, {}), count=5)

        # Two attempts each; the fifth slot is for the first half of the third.
        for _ in range(2):
            await desk.client.get(HOUR)
        with pytest.raises((LimitReached, ProviderUnavailable)):
            await desk.client.get(HOUR)

        assert len(desk.transport.requests) == 5

    run_virtual(main)


def test_a_request_that_never_left_gives_its_slot_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, lambda _: NotSent("refused"))

        with pytest.raises(NotSent):
            await desk.client.get(HOUR)

        assert [use.used for use in await desk.quota.usage()] == [0]

    run_virtual(main)


def test_after_a_429_nothing_leaves_until_the_provider_says() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, lambda number: (429, b"", {"retry-after": "30"}) if number == 1 else (200, PRICE, {}))
        with pytest.raises(ProviderThrottled):
            await desk.client.get(HOUR)

        with pytest.raises(LimitReached) as caught:
            await desk.client.get(HOUR)
        await asyncio.sleep(31)

        assert (await desk.client.get(HOUR)).value_e4 == 277_400
        assert caught.value.retry_after_s == pytest.approx(30, abs=1.5)
        assert desk.limiter.throttled == 1
        assert len(desk.transport.requests) == 2

    run_virtual(main)


def test_without_a_ledger_nothing_leaves() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, always(200, PRICE), ledger=AbsentQuotaLedger())

        with pytest.raises(LimitReached):
            await desk.client.get(HOUR)

        assert desk.transport.requests == []

    run_virtual(main)
