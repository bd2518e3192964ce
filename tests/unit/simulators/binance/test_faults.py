"""What a fault does to a request of the simulated Binance, and what the books say afterwards."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.simulators.venue.messages import Fate
from tests.support.simulated_calls import BinanceCalls, admin, set_faults, virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual

API, FAPI = "/api/v3/order", "/fapi/v1/order"


def orders(calls: BinanceCalls, client_id: str = "mine") -> list[dict[str, object]]:
    found: list[dict[str, object]] = admin(calls.venue, "GET", f"/sim/orders?client_id={client_id}")
    return found


@pytest.mark.quick
@pytest.mark.parametrize(
    ("fault", "fate", "processed"),
    [
        ("drop", Fate.CUT, 0),
        ("swallow", Fate.NEVER, 0),
        ("lose", Fate.CUT, 1),
        ("stall", Fate.NEVER, 1),
        ("truncate", Fate.TRUNCATED, 1),
        ("garbage", Fate.WHOLE, 1),
        ("error=unknown", Fate.WHOLE, 0),
        ("error=unknown,executed=yes", Fate.WHOLE, 1),
        ("error=502", Fate.WHOLE, 0),
    ],
)
def test_fault_strikes_once_and_is_processed_or_not_as_planned(fault: str, fate: Fate, processed: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        head, _, options = fault.partition(",")
        set_faults(calls.venue, f"{head}@POST {API},count=1" + (f",{options}" if options else ""))

        struck = await calls.limit(newClientOrderId="mine")

        assert struck.fate is fate
        assert len(orders(calls)) == processed
        assert (await calls.limit(newClientOrderId="next")).status == 200
        asked = admin(calls.venue, "GET", f"/sim/requests?method=POST&path={API}")["requests"]
        assert [one["fate"] for one in asked] == [fate.value, "whole"]
        assert "signature" not in asked[0]["parameters"]

    run_virtual(main)


def test_latency_delays_processing_and_answer_latency_only_the_answer() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        set_faults(calls.venue, "latency=2@GET /api/v3/time; answer-latency=3@GET /fapi/v1/time")
        begun = loop.time()

        before = await calls.get("/api/v3/time")
        took = loop.time() - begun
        after = await calls.get("/fapi/v1/time")

        assert took == pytest.approx(2, abs=0.01)
        assert loop.time() - begun == pytest.approx(5, abs=0.01)
        assert after.payload["serverTime"] - before.payload["serverTime"] < 100

    run_virtual(main)


@pytest.mark.parametrize(
    ("path", "window", "wait_s", "code"),
    [
        (API, "5000", 4, 200),
        (API, "5000", 6, -1021),
        (FAPI, "5000", 6, -5028),
        (API, "60000", 12, -1007),
        (FAPI, "60000", 12, -1007),
    ],
)
def test_engine_queue_refuses_what_has_grown_too_old_and_answers_are_given_up_first(
    path: str, window: str, wait_s: int, code: int
) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        set_faults(calls.venue, f"queue={wait_s}@POST *")

        answer = await calls.limit(path, newClientOrderId="mine", recvWindow=window)
        at_answer = len(orders(calls))
        await asyncio.sleep(30)

        assert (answer.status if answer.status == 200 else answer.code) == code
        assert at_answer == (1 if code == 200 else 0)
        # An order whose answer was given up is still in the queue, and gets through.
        assert len(orders(calls)) == (0 if code in (-1021, -5028) else 1)

    run_virtual(main)


def test_held_engine_keeps_requests_waiting_until_released() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        admin(calls.venue, "POST", "/sim/matching/hold")
        placing = asyncio.create_task(calls.limit(newClientOrderId="mine"))
        await asyncio.sleep(3)
        assert not placing.done()

        admin(calls.venue, "POST", "/sim/matching/release")

        assert (await placing).status == 200

    run_virtual(main)


def test_flapping_is_up_and_down_by_the_clock() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        set_faults(calls.venue, "flap=10/5")

        fates = []
        for _ in range(6):
            fates.append((await calls.get("/api/v3/ping")).fate)
            await asyncio.sleep(5)

        up, down = Fate.WHOLE, Fate.CUT
        assert fates == [up, up, down, up, up, down]

    run_virtual(main)


@pytest.mark.parametrize(
    "name", ["unknown", "unavailable", "internal", "throttled", "timeout", "unexpected", "firewall"]
)
def test_every_planned_error_has_its_own_body(name: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        set_faults(calls.venue, f"error={name}")

        answer = await calls.get("/fapi/v1/time")

        assert answer.status >= 400
        assert (answer.payload is None) == (name == "firewall")

    run_virtual(main)


def test_six_hours_of_campaign_take_seconds() -> None:
    """Engines are for campaigns in virtual time: hours of orders and steps have to be quick."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        for number in range(6 * 6):
            await calls.limit(newClientOrderId=f"n{number}")
            await asyncio.sleep(600)
            await calls.signed("DELETE", API, symbol="BTCUSDT", origClientOrderId=f"n{number}")

    begun = time.process_time()
    run_virtual(main)

    # Ninety thousand steps; the bound is for a machine ten times slower than the slowest seen.
    assert time.process_time() - begun < 20
