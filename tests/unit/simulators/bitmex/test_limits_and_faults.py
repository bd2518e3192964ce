"""Buckets, bans, planned errors, clock of the simulated BitMEX."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import pytest

from services.simulators.bitmex.limits import LimitOptions
from tests.support.simulated_calls import BitmexCalls, admin, set_faults, virtual_bitmex
from tests.support.virtual_time import VirtualLoop, run_virtual

ORDER = "/api/v1/order"


@pytest.mark.quick
def test_two_buckets_are_announced_and_refill_continuously() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)

        answers = [await calls.limit() for _ in range(11)]
        assert [one.status for one in answers] == [200] * 10 + [429]
        first = answers[0].headers
        assert (first["x-ratelimit-limit"], first["x-ratelimit-remaining"]) == ("120", "119")
        assert (first["x-ratelimit-limit-1s"], first["x-ratelimit-remaining-1s"]) == ("10", "9")
        assert answers[10].headers["retry-after"] == "1"
        assert (await calls.signed("GET", ORDER)).status == 200, "queries do not draw on the second's bucket"
        await asyncio.sleep(0.2)
        again = [(await calls.limit()).status for _ in range(3)]

        assert again == [200, 200, 429]

    run_virtual(main)


def test_strangers_have_thirty_a_minute_per_address() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)

        statuses = [(await calls.get("/api/v1/instrument", symbol="XBTUSD")).status for _ in range(31)]
        other = await BitmexCalls(calls.venue, address="10.0.0.9").get("/api/v1/instrument", symbol="XBTUSD")

        assert statuses == [200] * 30 + [429]
        assert other.status == 200

    run_virtual(main)


def test_address_that_keeps_failing_is_banned_for_an_hour() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop, limits=LimitOptions(errors_per_minute=5))

        failed = [(await calls.get("/api/v1/orderBook/L2", symbol="NOSUCH")).status for _ in range(8)]
        await asyncio.sleep(3500)
        still = await calls.get("/api/v1/instrument", symbol="XBTUSD")
        await asyncio.sleep(120)
        free = await calls.get("/api/v1/instrument", symbol="XBTUSD")

        assert failed == [400] * 6 + [403] * 2
        assert (still.status, free.status) == (403, 200)

    run_virtual(main)


def test_load_shedding_is_told_from_a_plain_503_and_both_take_from_the_bucket() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        set_faults(calls.venue, f"error=overloaded@POST {ORDER},count=1; error=unavailable,executed=yes,count=1")

        shed = await calls.limit(clOrdID="shed")
        plain = await calls.limit(clOrdID="plain")

        assert (shed.status, shed.message) == (503, "The system is currently overloaded. Please try again later.")
        assert (plain.status, plain.message) == (503, "Service unavailable")
        assert shed.headers["x-ratelimit-remaining-1s"] == "9"
        assert [one["client_id"] for one in admin(calls.venue, "GET", "/sim/orders")] == ["plain"]

    run_virtual(main)


def test_only_the_date_header_and_the_root_document_tell_the_time() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        admin(calls.venue, "PUT", "/sim/clock", {"skew_seconds": 90})

        answer = await calls.get("/api/v1")

        shown = parsedate_to_datetime(answer.headers["date"]).timestamp()
        assert abs(shown - loop.wall_ns() / 1e9 - 90) <= 1
        assert abs(answer.payload["timestamp"] / 1000 - loop.wall_ns() / 1e9 - 90) <= 1
        late = await calls.signed("GET", ORDER, expires_in_s=-1)
        assert late.status == 401

    run_virtual(main)


def test_new_order_appears_late_in_queries_when_planned() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        set_faults(calls.venue, f"lag=3@GET {ORDER}")
        await calls.limit(clOrdID="mine")

        before = await calls.signed("GET", ORDER, filter='{"clOrdID":"mine"}')
        await asyncio.sleep(3)
        after = await calls.signed("GET", ORDER, filter='{"clOrdID":"mine"}')

        assert (len(before.payload), len(after.payload)) == (0, 1)

    run_virtual(main)
