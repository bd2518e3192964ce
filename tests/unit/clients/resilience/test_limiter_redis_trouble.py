"""What the shared limiter does when Redis goes away, loses answers, forgets, or holds something else."""

from __future__ import annotations

import asyncio
import json
import logging
import random

import pytest

from clients.resilience.call import Cost, LimitReport, Priority
from clients.resilience.errors import LimitReached
from clients.resilience.limiter import LimitRule, ScopeRules
from clients.resilience.limiter_queue import QueuedLimiter
from clients.resilience.limiter_redis import redis_limiter
from tests.support.limits_exchange import CountedLimit, CountingExchange, Kind
from tests.support.limits_redis import SwapServer
from tests.support.log_records import said
from tests.support.virtual_time import VirtualLoop, run_virtual

SCOPE = "exchange:spot"
WEIGHT = "exchange:spot:weight"


def rules(**options: float) -> ScopeRules:
    return ScopeRules(SCOPE, (LimitRule(WEIGHT, 100, 60.0, **{"headroom": 0.0, "burst": 1.0} | options),))


def start(loop: VirtualLoop, server: SwapServer, scope: ScopeRules, *, share: float = 0.25) -> QueuedLimiter:
    return redis_limiter(
        server.client(),
        [scope],
        namespace="test",
        share=share,
        monotonic_ns=loop.monotonic_ns,
        wall_ns=loop.wall_ns,
        sleep=asyncio.sleep,
    )


async def call(limiter: QueuedLimiter, units: int, report: LimitReport | None = None) -> None:
    permit = await limiter.acquire([Cost(WEIGHT, units)], priority=Priority.NORMAL, deadline_s=0.5)
    if report is not None:
        permit.observe(report)
    await permit.settle(answered=True)


def test_without_redis_a_process_takes_its_share_only_and_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> int:
        server = SwapServer(loop.wall_ns, random.Random(1))
        server.away = True
        limiter = start(loop, server, rules(), share=0.25)
        for _ in range(25):
            await call(limiter, 1)
        with pytest.raises(LimitReached):
            await call(limiter, 1)
        assert limiter.degraded
        return len([record for record in caplog.records if record.levelno >= logging.ERROR])

    assert run_virtual(main) == 1


def test_what_everybody_had_used_counts_when_redis_goes_away() -> None:
    async def main(loop: VirtualLoop) -> int:
        server = SwapServer(loop.wall_ns, random.Random(1))
        limiters = [start(loop, server, rules(), share=0.25) for _ in range(4)]
        for limiter in limiters:
            await call(limiter, 15)
            await limiter.fill()
        for limiter in limiters:
            await limiter.fill()
        server.away = True
        made = 60
        for limiter in limiters:
            while True:
                try:
                    await call(limiter, 1)
                except LimitReached:
                    break
                made += 1
        return made

    assert 90 <= run_virtual(main) <= 100


def test_a_ban_is_kept_when_redis_goes_away_and_after_it_came_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        server = SwapServer(loop.wall_ns, random.Random(1))
        one, other = start(loop, server, rules()), start(loop, server, rules())
        await one.block(SCOPE, 300.0)
        with pytest.raises(LimitReached):
            await call(other, 1)
        server.away = True
        with pytest.raises(LimitReached):
            await call(other, 1)
        await other.block(SCOPE, 600.0)
        server.away = False
        await asyncio.sleep(2.0)
        with pytest.raises(LimitReached):
            await call(other, 1)
        assert not other.degraded
        with pytest.raises(LimitReached) as refusal:
            await call(one, 1)
        assert refusal.value.retry_after_s == pytest.approx(598.0, abs=1.0)

    run_virtual(main)


def test_what_was_used_alone_is_handed_in_when_redis_is_back_calls_under_way_included(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main(loop: VirtualLoop) -> tuple[float, float]:
        server = SwapServer(loop.wall_ns, random.Random(1))
        one, other = start(loop, server, rules(), share=0.5), start(loop, server, rules(), share=0.5)
        await call(other, 10)
        server.away = True
        await call(one, 20)
        permit = await one.acquire([Cost(WEIGHT, 7)], priority=Priority.NORMAL, deadline_s=0.5)
        server.away = False
        await asyncio.sleep(2.0)
        await one.fill()
        before = (await other.fill())[0].used
        permit.observe(LimitReport(used={WEIGHT: 37}))
        await permit.settle(answered=True)
        return before, (await other.fill())[0].used

    assert run_virtual(main) == (37, 37)
    assert "shared again" in caplog.text


def test_a_redis_that_came_back_empty_is_given_what_is_known() -> None:
    async def main(loop: VirtualLoop) -> float:
        server = SwapServer(loop.wall_ns, random.Random(1))
        limiter = start(loop, server, rules())
        await call(limiter, 80)
        server.texts.clear()
        await call(limiter, 1)
        return (await start(loop, server, rules()).fill())[0].used

    assert run_virtual(main) == 81


def test_lost_answers_of_redis_never_lead_beyond_the_limit() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, int]:
        rng = random.Random(11)
        server = SwapServer(loop.wall_ns, rng)
        server.lost_answers = 0.02
        exchange = CountingExchange(
            [CountedLimit(WEIGHT, 100, 60.0, Kind.ROLLING)], scope=SCOPE, now_ns=loop.wall_ns, rng=rng, travel_s=1.0
        )
        limiters = [start(loop, server, rules(), share=0.25) for _ in range(4)]
        end_s = loop.time() + 150.0

        async def client(limiter: QueuedLimiter) -> None:
            while loop.time() < end_s:
                permit = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1000.0)
                permit.observe(await exchange.call({WEIGHT: 1}))
                await permit.settle(answered=True)

        await asyncio.gather(*(client(limiter) for limiter in limiters for _ in range(3)))
        return exchange.over, exchange.calls

    over, calls = run_virtual(main)

    assert over == 0
    assert calls > 75


def test_a_call_that_redis_admitted_without_its_answer_arriving_is_counted_once_and_ends() -> None:
    async def main(loop: VirtualLoop) -> tuple[float, float]:
        server = SwapServer(loop.wall_ns, random.Random(1))
        limiter = start(loop, server, rules())
        await limiter.fill()
        server.lost_answers = 1.0
        permit = await limiter.acquire([Cost(WEIGHT, 10)], priority=Priority.NORMAL, deadline_s=0.5)
        server.lost_answers = 0.0
        await asyncio.sleep(2.0)
        during = (await limiter.fill())[0].used
        assert not limiter.degraded
        await permit.settle(answered=True)
        await asyncio.sleep(100.0)
        return during, (await limiter.fill())[0].used

    assert run_virtual(main) == (10, 0)


def test_many_processes_race_and_every_unit_is_counted() -> None:
    async def main(loop: VirtualLoop) -> tuple[float, int]:
        server = SwapServer(loop.wall_ns, random.Random(2), travel_s=0.005)
        limiters = [start(loop, server, rules()) for _ in range(8)]
        await asyncio.gather(*(call(limiter, 1) for limiter in limiters for _ in range(10)))
        assert not any(limiter.degraded for limiter in limiters)
        return (await limiters[0].fill())[0].used, server.lost_races

    used, lost_races = run_virtual(main)

    assert used == 80
    assert lost_races > 0


@pytest.mark.parametrize("text", ["nonsense", "[]", json.dumps({"format": 99}), "{}"])
def test_a_key_that_holds_something_else_makes_a_process_go_alone(text: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> None:
        server = SwapServer(loop.wall_ns, random.Random(1))
        server.texts[f"midstream:limits:test:{SCOPE}"] = text
        limiter = start(loop, server, rules())
        await call(limiter, 1)
        assert limiter.degraded
        assert server.texts[f"midstream:limits:test:{SCOPE}"] == text

    run_virtual(main)

    assert "cannot be used" in said(caplog.records)[0][1]["problem"]


def places(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a document."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (
        [at, *(place for key, part in parts for place in places(part, (*at, key)))]
        if at
        else [place for key, part in parts for place in places(part, (key,))]
    )


@pytest.mark.parametrize("bad", [None, "x", [], {}, float("nan"), True], ids=str)
def test_a_state_with_anything_wrong_anywhere_fails_no_call(bad: object) -> None:
    key = f"midstream:limits:test:{SCOPE}"

    async def main(loop: VirtualLoop) -> int:
        server = SwapServer(loop.wall_ns, random.Random(1))
        used = start(loop, server, rules(), share=1.0)
        await call(used, 1, LimitReport({WEIGHT: 7}))
        await used.acquire([Cost(WEIGHT, 2)], priority=Priority.NORMAL, deadline_s=0.5)
        good = server.texts[key]
        found = places(json.loads(good))
        for place in found:
            document = json.loads(good)
            at = document
            for part in place[:-1]:
                at = at[part]
            at[place[-1]] = bad
            server.texts[key] = json.dumps(document)
            # Whoever comes new, and whoever has counted before.
            for limiter in (start(loop, server, rules(), share=1.0), used):
                await call(limiter, 1)
        return len(found)

    assert run_virtual(main) > 20


@pytest.mark.parametrize("namespace", ["", "a b", "../x", "x" * 65, "UPPER"])
def test_only_fixed_names_become_keys(namespace: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        server = SwapServer(loop.wall_ns, random.Random(1))
        with pytest.raises(ValueError, match="key"):
            redis_limiter(server.client(), [rules()], namespace=namespace)

    run_virtual(main)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_no_part_is_refused(share: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        server = SwapServer(loop.wall_ns, random.Random(1))
        with pytest.raises(ValueError, match="share"):
            start(loop, server, rules(), share=share)

    run_virtual(main)
