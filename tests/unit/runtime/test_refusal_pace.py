"""Refused calls give back their place on their connection at a pace, each connection in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from services.runtime.metrics import Metrics
from services.runtime.refusal_pace import RefusalPace
from tests.support.virtual_time import VirtualLoop, run_virtual

Turns = Sequence[asyncio.Future[None] | None]


def held(turns: Turns) -> int:
    return sum(turn is not None and not turn.done() for turn in turns)


async def flood(pace: RefusalPace, seconds: float, peer: str = "flood") -> int:
    """Have as many calls refused as places are given back, for so long; return how many that were."""
    kept = [turn for turn in (pace.turn(peer) for _ in range(250)) if turn is not None]
    refused = 0
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    while loop.time() < end_s:
        await asyncio.sleep(0.01)
        back = sum(turn.done() for turn in kept)
        refused += back
        kept = [turn for turn in kept if not turn.done()] + [
            turn for turn in (pace.turn(peer) for _ in range(back)) if turn
        ]
    return refused


def test_a_burst_keeps_no_places_and_a_flood_has_them_back_at_the_pace() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=100, at_once=20)

        assert [pace.turn("burst") for _ in range(20)] == [None] * 20
        refused = await flood(pace, 10)

        assert 950 <= refused <= 1_050
        assert pace.held == 250

    run_virtual(case)


def test_when_a_flood_is_over_the_places_are_soon_there_again() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=100, at_once=20)
        await flood(pace, 1, "one")
        await flood(pace, 1, "another")
        assert pace.held > 400

        await asyncio.sleep(0.5)

        assert pace.held == 0

    run_virtual(case)


def test_a_burst_is_free_again_after_a_while() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=100, at_once=20)
        assert held([pace.turn("flood") for _ in range(50)]) == 30
        await asyncio.sleep(5)

        turns = [pace.turn("flood") for _ in range(21)]

        assert [turn is None for turn in turns] == [True] * 20 + [False]

    run_virtual(case)


def test_fewer_than_the_pace_keep_no_places() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=100, at_once=2)

        for _ in range(500):
            assert pace.turn("someone") is None
            await asyncio.sleep(0.011)

    run_virtual(case)


def test_connections_take_turns() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=100, at_once=5)
        flood = [pace.turn("flood") for _ in range(1_000)]
        other = [pace.turn("other") for _ in range(3)]

        await asyncio.sleep(0.08)
        assert held(other) == 1
        assert held(flood) == 992

        await asyncio.sleep(0.05)
        assert held(other) == 0

    run_virtual(case)


def test_calls_that_keep_their_place_are_bounded() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=1, at_once=0, held_max=10)

        turns = [pace.turn("flood") for _ in range(25)]

        assert pace.held == held(turns) == 10
        assert [turn is not None and turn.done() for turn in turns] == [True] * 15 + [False] * 10

    run_virtual(case)


def test_whoever_was_cancelled_meanwhile_is_passed_over() -> None:
    async def case(_loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=100, at_once=1)
        turns = [pace.turn("flood") for _ in range(5)][1:]
        for turn in turns[::2]:
            assert turn is not None
            turn.cancel()

        await asyncio.sleep(1)

        assert pace.held == held(turns) == 0

    run_virtual(case)


def test_at_the_end_all_go_and_no_more_are_held() -> None:
    async def case(loop: VirtualLoop) -> None:
        pace = RefusalPace(per_s=1, at_once=0)
        turns = [pace.turn(f"peer-{number % 7}") for number in range(500)]

        pace.end()

        assert pace.held == held(turns) == 0
        assert pace.turn("flood") is None
        assert not [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]

    run_virtual(case)


def test_what_waits_is_in_the_metrics_of_its_face() -> None:
    async def case(_loop: VirtualLoop) -> None:
        registry = CollectorRegistry()
        pace = RefusalPace(per_s=100, at_once=20)
        pace.count_in(Metrics(registry), "grpc")
        assert registry.get_sample_value("midstream_refusals_paced_total", {"face": "grpc"}) == 0

        for _ in range(30):
            pace.turn("flood")

        assert registry.get_sample_value("midstream_refusals_paced_total", {"face": "grpc"}) == 10
        assert registry.get_sample_value("midstream_refusals_waiting", {"face": "grpc"}) == 10
        pace.end()
        assert registry.get_sample_value("midstream_refusals_paced_total", {"face": "grpc"}) == 10
        assert registry.get_sample_value("midstream_refusals_waiting", {"face": "grpc"}) == 0

    run_virtual(case)
