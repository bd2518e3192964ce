"""The limiter in memory and through Redis: one body of tests, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

import pytest

from clients.resilience.call import Cost, LimitReport, Priority
from clients.resilience.errors import LimitReached
from clients.resilience.limiter import Counting, LimitRule, ScopeRules
from clients.resilience.limiter_memory import MemoryStore
from clients.resilience.limiter_queue import QueuedLimiter, StateStore
from clients.resilience.limiter_redis import RedisStore
from tests.support.limits_exchange import CountedLimit, CountingExchange, Kind
from tests.support.limits_redis import SwapServer
from tests.support.virtual_time import VirtualLoop, run_virtual

SCOPE = "exchange:spot"
WEIGHT = "exchange:spot:weight"
ORDERS = "exchange:spot:orders"


class Processes:
    """Makes limiters that share their limits, as processes do."""

    def __init__(self, loop: VirtualLoop, kind: str, rules: ScopeRules, *, share: float = 0.125) -> None:
        self.loop = loop
        self._kind = kind
        self._rules = rules
        self._share = share
        self._ids = itertools.count()
        self._memory = MemoryStore(rules, monotonic_ns=loop.monotonic_ns)
        self.redis = SwapServer(loop.wall_ns, random.Random(7))

    def start(self) -> QueuedLimiter:
        store: StateStore = self._memory
        if self._kind == "redis":
            store = RedisStore(
                self.redis.client(),
                self._rules,
                namespace="test",
                share=self._share,
                monotonic_ns=self.loop.monotonic_ns,
                wall_ns=self.loop.wall_ns,
            )
        return QueuedLimiter(
            {self._rules.scope: (self._rules, store)},
            monotonic_ns=self.loop.monotonic_ns,
            sleep=asyncio.sleep,
            new_id=lambda: f"permit-{next(self._ids)}",
        )


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def window(size: int = 100, interval_s: float = 60.0, **options: float) -> ScopeRules:
    return ScopeRules(SCOPE, (LimitRule(WEIGHT, size, interval_s, **options),))


async def settled(limiter: QueuedLimiter, units: int, report: LimitReport | None = None) -> None:
    """Make a call that is answered at once."""
    permit = await limiter.acquire([Cost(WEIGHT, units)], priority=Priority.NORMAL, deadline_s=0.5)
    if report is not None:
        permit.observe(report)
    await permit.settle(answered=True)


def known(used: int) -> LimitReport:
    return LimitReport(used={WEIGHT: used})


def run(kind: str, rules: ScopeRules, body: Callable[[Processes], Awaitable[None]]) -> None:
    async def main(loop: VirtualLoop) -> None:
        await body(Processes(loop, kind, rules))

    run_virtual(main)


@pytest.mark.quick
def test_units_are_reserved_before_a_call_and_refused_beyond_the_limit(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 10, known(10))
        await settled(limiter, 80)

        with pytest.raises(LimitReached) as refusal:
            await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=5.0)

        assert refusal.value.retry_after_s == pytest.approx(60.0, abs=2.5)
        assert WEIGHT in refusal.value.message

    run(kind, window(headroom=0.1), body)


def test_a_wait_that_fits_the_deadline_is_waited_for(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 90, known(90))
        started_s = processes.loop.time()

        await limiter.acquire([Cost(WEIGHT, 50)], priority=Priority.NORMAL, deadline_s=80.0)

        assert 60.0 <= processes.loop.time() - started_s <= 63.0

    run(kind, window(burst=1.0), body)


def test_a_header_that_shows_a_free_call_gives_its_units_back(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        for _ in range(50):
            await settled(limiter, 50, known(0))

        assert (await limiter.fill())[0].used == 0

    run(kind, window(burst=1.0), body)


def test_a_header_that_shows_what_others_used_holds_calls_back(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 1, known(85))

        with pytest.raises(LimitReached):
            await settled(limiter, 10)

    run(kind, window(burst=1.0), body)


def test_a_late_report_of_an_older_call_does_not_lower_what_a_newer_one_said(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        older = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0)
        newer = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0)
        newer.observe(known(60))
        await newer.settle(answered=True)
        older.observe(known(1))
        await older.settle(answered=True)

        assert (await limiter.fill())[0].used >= 60

    run(kind, window(burst=1.0), body)


def test_a_late_report_of_an_older_call_still_raises(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        older = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0)
        await settled(limiter, 1, known(5))
        older.observe(known(80))
        await older.settle(answered=True)

        assert (await limiter.fill())[0].used >= 80

    run(kind, window(burst=1.0), body)


def test_a_report_does_not_hide_calls_that_are_still_under_way(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await limiter.acquire([Cost(WEIGHT, 30)], priority=Priority.NORMAL, deadline_s=1.0)
        reporting = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0)
        await limiter.acquire([Cost(WEIGHT, 20)], priority=Priority.NORMAL, deadline_s=1.0)
        reporting.observe(known(1))
        await reporting.settle(answered=True)

        assert (await limiter.fill())[0].used >= 51

    run(kind, window(burst=1.0), body)


def test_recovery_calls_pass_when_normal_ones_wait(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 90, known(90))
        normal = asyncio.create_task(limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=90.0))
        await asyncio.sleep(1.0)

        await limiter.acquire([Cost(WEIGHT, 10)], priority=Priority.RECOVERY, deadline_s=0.5)

        assert not normal.done()
        await normal

    run(kind, window(headroom=0.1), body)


def test_recovery_calls_wait_too_when_nothing_is_left(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 1, known(100))

        with pytest.raises(LimitReached):
            await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.RECOVERY, deadline_s=5.0)

    run(kind, window(), body)


def test_nothing_of_a_scope_goes_out_inside_a_block_in_any_process_not_even_recovery_or_free_calls(kind: str) -> None:
    async def body(processes: Processes) -> None:
        one, other = processes.start(), processes.start()
        await settled(one, 1, LimitReport(blocks={SCOPE: 30.0}))

        for priority, units in itertools.product(Priority, (0, 1)):
            with pytest.raises(LimitReached) as refusal:
                await other.acquire([Cost(WEIGHT, units)], priority=priority, deadline_s=29.0)
            assert refusal.value.retry_after_s == pytest.approx(30.0, abs=0.2)
        started_s = processes.loop.time()
        await other.acquire([Cost(WEIGHT, 0)], priority=Priority.NORMAL, deadline_s=60.0)
        assert processes.loop.time() - started_s >= 29.8

    run(kind, window(), body)


def test_a_block_holds_in_its_process_before_the_call_is_settled(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        permit = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0)
        permit.observe(LimitReport(blocks={SCOPE: 30.0}))

        with pytest.raises(LimitReached):
            await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.RECOVERY, deadline_s=5.0)

    run(kind, window(), body)


def test_a_shorter_block_does_not_shorten_a_longer_one(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await limiter.block(SCOPE, 120.0)
        await limiter.block(SCOPE, 1.0)

        with pytest.raises(LimitReached) as refusal:
            await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=5.0)

        assert refusal.value.retry_after_s == pytest.approx(120.0, abs=0.2)

    run(kind, window(), body)


def test_a_blocked_limit_leaves_the_rest_of_its_scope_alone(kind: str) -> None:
    rules = ScopeRules(SCOPE, (LimitRule(WEIGHT, 100, 60.0), LimitRule(ORDERS, 10, 10.0)))

    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await limiter.block(ORDERS, 30.0)

        with pytest.raises(LimitReached):
            await limiter.acquire([Cost(WEIGHT, 1), Cost(ORDERS, 1)], priority=Priority.NORMAL, deadline_s=1.0)
        await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0)

    run(kind, rules, body)


def test_a_fresh_process_spreads_its_calls_until_it_knows_what_others_used(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        for _ in range(10):
            await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=0.1)

        with pytest.raises(LimitReached):
            await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=0.1)
        await limiter.acquire([Cost(WEIGHT, 10)], priority=Priority.NORMAL, deadline_s=10.0)

    run(kind, window(burst=0.1), body)


def test_the_first_report_ends_the_spreading(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 1, known(1))

        for _ in range(80):
            await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=0.01)

    run(kind, window(burst=0.1), body)


def test_a_call_without_answer_counts_until_it_can_no_longer_arrive_and_one_interval_more(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        permit = await limiter.acquire([Cost(WEIGHT, 100)], priority=Priority.RECOVERY, deadline_s=1.0)
        await permit.settle(answered=False)
        started_s = processes.loop.time()

        await limiter.acquire([Cost(WEIGHT, 100)], priority=Priority.RECOVERY, deadline_s=200.0)

        assert 90.0 <= processes.loop.time() - started_s <= 93.0

    run(kind, window(), body)


@pytest.mark.parametrize("how", ["released", "not sent"])
def test_units_of_a_call_that_was_never_sent_are_back_at_once(kind: str, how: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        for _ in range(5):
            permit = await limiter.acquire([Cost(WEIGHT, 100)], priority=Priority.RECOVERY, deadline_s=0.5)
            if how == "released":
                await permit.release()
            else:
                permit.not_sent()
                await permit.settle(answered=False)
            await permit.settle(answered=True)

        assert (await limiter.fill())[0].used == 0

    run(kind, window(), body)


def test_processes_share_one_limit(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiters = [processes.start() for _ in range(4)]
        for limiter in limiters:
            await settled(limiter, 20)

        with pytest.raises(LimitReached):
            await limiters[0].acquire([Cost(WEIGHT, 11)], priority=Priority.NORMAL, deadline_s=1.0)

    run(kind, window(burst=1.0), body)


def test_a_caller_that_is_cancelled_while_the_store_is_asked_keeps_nothing(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await limiter.fill()
        cancelled = 0
        for step in range(60):
            caller = asyncio.create_task(limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.RECOVERY, deadline_s=9.0))
            await asyncio.sleep(step * 0.0001)
            caller.cancel()
            await asyncio.wait({caller})
            if caller.cancelled():
                cancelled += 1
            else:
                await caller.result().release()
        await asyncio.sleep(0.1)

        assert (await limiter.fill())[0].used == 0
        assert limiter.waiting == 0
        assert cancelled >= (1 if kind == "memory" else 20)

    run(kind, window(burst=1.0), body)


def test_a_caller_that_is_cancelled_in_the_moment_it_is_granted_keeps_nothing(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()

        async def first() -> None:
            permit = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0)
            # Both were granted at once; the other one has not run since.
            second.cancel()
            await permit.release()

        other = asyncio.create_task(first())
        second = asyncio.create_task(limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1.0))
        await asyncio.wait({other, second})
        await asyncio.sleep(0.1)

        assert second.cancelled()
        assert (await limiter.fill())[0].used == 0

    run(kind, window(burst=1.0), body)


def test_big_calls_are_not_starved_by_small_ones(kind: str) -> None:
    # Refilled all the time, and small calls take what comes: only who waits its turn ever sees room for 80.
    rules = ScopeRules(SCOPE, (LimitRule(WEIGHT, 100, 10.0, Counting.BUCKET, headroom=0.0, burst=1.0),))

    async def body(processes: Processes) -> None:
        limiter = processes.start()
        done: list[str] = []

        async def small() -> None:
            while "big" not in done:
                permit = await limiter.acquire([Cost(WEIGHT, 5)], priority=Priority.NORMAL, deadline_s=1000.0)
                await permit.settle(answered=True)

        async def big() -> None:
            await asyncio.sleep(20.0)
            await limiter.acquire([Cost(WEIGHT, 80)], priority=Priority.NORMAL, deadline_s=1000.0)
            done.append("big")

        async with asyncio.timeout(40.0):
            await asyncio.gather(big(), *(small() for _ in range(10)))

    run(kind, rules, body)


def test_calls_that_need_another_limit_pass_those_that_wait(kind: str) -> None:
    rules = ScopeRules(SCOPE, (LimitRule(WEIGHT, 100, 60.0, burst=1.0), LimitRule(ORDERS, 10, 10.0, burst=1.0)))

    async def body(processes: Processes) -> None:
        limiter = processes.start()
        for _ in range(9):
            await limiter.acquire([Cost(ORDERS, 1)], priority=Priority.NORMAL, deadline_s=0.1)
        stuck = asyncio.create_task(
            limiter.acquire([Cost(WEIGHT, 1), Cost(ORDERS, 1)], priority=Priority.NORMAL, deadline_s=60.0)
        )
        await asyncio.sleep(0.1)

        await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=0.1)

        assert not stuck.done()
        await stuck

    run(kind, rules, body)


def test_sizes_follow_the_exchange(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await limiter.resize({WEIGHT: 1000})
        await settled(limiter, 1, LimitReport(used={WEIGHT: 1}))
        await settled(limiter, 800)
        await settled(limiter, 1, LimitReport(sizes={WEIGHT: 500}))

        assert (await limiter.fill())[0].size == 500

    run(kind, window(burst=1.0), body)


@pytest.mark.parametrize("size", [0, -5])
def test_a_size_that_allows_nothing_is_ignored(kind: str, size: int) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await limiter.resize({WEIGHT: size})

        assert (await limiter.fill())[0].size == 100

    run(kind, window(), body)


def test_a_call_that_never_fits_is_refused_at_once_without_a_time_to_come_back(kind: str) -> None:
    async def body(processes: Processes) -> None:
        with pytest.raises(LimitReached, match="more than") as refusal:
            await processes.start().acquire([Cost(WEIGHT, 101)], priority=Priority.RECOVERY, deadline_s=1000.0)

        assert refusal.value.retry_after_s is None

    run(kind, window(), body)


def test_more_callers_than_may_wait_are_refused(kind: str) -> None:
    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 90, known(90))
        waiting = [
            asyncio.create_task(limiter.acquire([Cost(WEIGHT, 5)], priority=Priority.NORMAL, deadline_s=65.0))
            for _ in range(1000)
        ]
        await asyncio.sleep(0.5)

        with pytest.raises(LimitReached, match="wait"):
            await limiter.acquire([Cost(WEIGHT, 5)], priority=Priority.NORMAL, deadline_s=65.0)

        await limiter.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, LimitReached) for result in results)
        with pytest.raises(LimitReached, match="closed"):
            await limiter.acquire([Cost(WEIGHT, 5)], priority=Priority.NORMAL, deadline_s=65.0)

    run(kind, window(), body)


@pytest.mark.parametrize(
    "costs",
    [[], [Cost("other", 1)], [Cost(WEIGHT, -1)], [Cost(SCOPE, 1)]],
    ids=["none", "unknown", "negative", "a scope"],
)
def test_costs_that_no_scope_can_count_are_refused(kind: str, costs: list[Cost]) -> None:
    async def body(processes: Processes) -> None:
        with pytest.raises(ValueError):
            await processes.start().acquire(costs, priority=Priority.NORMAL, deadline_s=1.0)

    run(kind, window(), body)


def test_a_bucket_refills_continuously(kind: str) -> None:
    rules = ScopeRules(SCOPE, (LimitRule(WEIGHT, 120, 60.0, Counting.BUCKET, headroom=0.0, burst=1.0),))

    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 120)
        started_s = processes.loop.time()

        await settled_within(limiter, 20, 60.0)

        assert processes.loop.time() - started_s == pytest.approx(10.0, abs=0.3)

    run(kind, rules, body)


async def settled_within(limiter: QueuedLimiter, units: int, deadline_s: float) -> None:
    permit = await limiter.acquire([Cost(WEIGHT, units)], priority=Priority.NORMAL, deadline_s=deadline_s)
    await permit.settle(answered=True)


def test_a_bucket_is_as_full_as_its_headers_say_when_others_use_it_too(kind: str) -> None:
    rules = ScopeRules(SCOPE, (LimitRule(WEIGHT, 120, 60.0, Counting.BUCKET, headroom=0.0, burst=1.0),))

    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 1, LimitReport(remaining={WEIGHT: 2}))

        with pytest.raises(LimitReached) as refusal:
            await limiter.acquire([Cost(WEIGHT, 12)], priority=Priority.NORMAL, deadline_s=1.0)

        assert refusal.value.retry_after_s == pytest.approx(5.0, abs=0.1)

    run(kind, rules, body)


def test_jitter_in_a_buckets_headers_does_not_make_it_fuller_than_we_know(kind: str) -> None:
    rules = ScopeRules(SCOPE, (LimitRule(WEIGHT, 120, 60.0, Counting.BUCKET, headroom=0.0, burst=1.0),))

    async def body(processes: Processes) -> None:
        limiter = processes.start()
        await settled(limiter, 100, LimitReport(remaining={WEIGHT: 119}))

        assert (await limiter.fill())[0].used == pytest.approx(100, abs=0.5)

    run(kind, rules, body)


@pytest.mark.cases(4)
@pytest.mark.parametrize("exchange_kind", list(Kind))
@pytest.mark.parametrize("headers", [True, False], ids=["headers", "no headers"])
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3, 4))])
def test_concurrent_callers_are_never_over_and_never_starved_whatever_the_delays(
    kind: str, exchange_kind: Kind, headers: bool, seed: int
) -> None:
    counting = Counting.BUCKET if exchange_kind is Kind.BUCKET else Counting.WINDOW
    rules = ScopeRules(
        SCOPE,
        (LimitRule(WEIGHT, 60, 10.0, counting, headroom=0.1), LimitRule(ORDERS, 15, 5.0, counting, headroom=0.1)),
        flight_s=10.0,
    )
    duration_s = 60.0

    async def body(processes: Processes) -> None:
        rng = random.Random(seed)
        exchange = CountingExchange(
            [
                CountedLimit(WEIGHT, 60, 10.0, exchange_kind, headers),
                CountedLimit(ORDERS, 15, 5.0, exchange_kind, headers),
            ],
            scope=SCOPE,
            now_ns=processes.loop.wall_ns,
            rng=rng,
        )
        limiters = [processes.start() for _ in range(3)]
        end_s = processes.loop.time() + duration_s
        served: dict[int, int] = {}
        recovery_waits_s: list[float] = []

        async def client(number: int) -> None:
            limiter = limiters[number % len(limiters)]
            while processes.loop.time() < end_s:
                costs = {WEIGHT: rng.choice([1, 1, 2, 5])} | ({ORDERS: 1} if rng.random() < 0.4 else {})
                # What turns out to be free at the exchange was reserved all the same.
                charged = {name: 0 if headers and rng.random() < 0.2 else units for name, units in costs.items()}
                recovery = number == 0
                priority = Priority.RECOVERY if recovery else Priority.NORMAL
                asked_s = processes.loop.time()
                permit = await limiter.acquire(
                    [Cost(name, units) for name, units in costs.items()], priority=priority, deadline_s=1000.0
                )
                if recovery:
                    recovery_waits_s.append(processes.loop.time() - asked_s)
                fate = rng.random()
                if fate < 0.05:
                    await permit.release()
                    continue
                report = await exchange.call(charged)
                if fate < 0.1:
                    # The answer was lost on its way, the call was not.
                    await permit.settle(answered=False)
                    continue
                permit.observe(report)
                await permit.settle(answered=True)
                served[number] = served.get(number, 0) + 1
                if recovery:
                    await asyncio.sleep(3.0)

        await asyncio.gather(*(client(number) for number in range(15)))

        assert exchange.over == 0
        assert exchange.inside_block == 0
        assert len(served) == 15
        assert min(served.values()) >= 2
        assert max(recovery_waits_s) < 15.0
        # Conservative, not idle: at least a third of what the tightest limit allows goes out.
        assert exchange.calls >= duration_s * 6 / 2.0 / 3

    run(kind, rules, body)


def test_the_limit_in_force_is_kept_when_others_had_used_most_of_it_before_a_cold_start(kind: str) -> None:
    """A fresh process must not burst: it does not know what others used."""

    async def body(processes: Processes) -> None:
        rng = random.Random(5)
        limit = CountedLimit(WEIGHT, 1000, 60.0, Kind.FIXED)
        exchange = CountingExchange([limit], scope=SCOPE, now_ns=processes.loop.wall_ns, rng=rng, travel_s=0.2)
        exchange.use(WEIGHT, 800)
        limiter = processes.start()

        async def client() -> None:
            for _ in range(5):
                permit = await limiter.acquire([Cost(WEIGHT, 2)], priority=Priority.NORMAL, deadline_s=1000.0)
                permit.observe(await exchange.call({WEIGHT: 2}))
                await permit.settle(answered=True)

        await asyncio.gather(*(client() for _ in range(100)))

        assert exchange.over == 0

    run(kind, window(size=1000, headroom=0.1, burst=0.1), body)


def test_o10_no_call_of_any_process_goes_out_inside_a_retry_after(kind: str) -> None:
    async def body(processes: Processes) -> None:
        rng = random.Random(3)
        limit = CountedLimit(WEIGHT, 100_000, 60.0, Kind.FIXED)
        exchange = CountingExchange([limit], scope=SCOPE, now_ns=processes.loop.wall_ns, rng=rng, travel_s=0.05)
        limiters = [processes.start() for _ in range(3)]
        learnt_ns: list[int] = []
        end_s = processes.loop.time() + 80.0

        async def client(limiter: QueuedLimiter) -> None:
            while processes.loop.time() < end_s:
                permit = await limiter.acquire([Cost(WEIGHT, 1)], priority=Priority.NORMAL, deadline_s=1000.0)
                report = await exchange.call({WEIGHT: 1})
                permit.observe(report)
                await permit.settle(answered=True)
                if report.blocks:
                    learnt_ns.append(processes.loop.wall_ns())
                await asyncio.sleep(0.5)

        async def throttling() -> None:
            await asyncio.sleep(5.0)
            exchange.throttle(60.0)

        throttled = asyncio.create_task(throttling())
        await asyncio.gather(*(client(limiters[number % 3]) for number in range(9)))
        await throttled

        # What was under way when the first refusal came back is all that the exchange saw inside its block.
        first_ns, until_ns = learnt_ns[0], processes.loop.wall_ns()
        inside = [at for at, _ in exchange.arrived if first_ns + 60_000_000 < at < first_ns + 59 * 10**9]
        assert inside == []
        assert exchange.inside_block <= 9
        assert any(first_ns + 60 * 10**9 <= at <= until_ns for at, _ in exchange.arrived)

    run(kind, window(size=100_000), body)
