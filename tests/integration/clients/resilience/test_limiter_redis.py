"""The shared limiter on a real Redis: real script, real clock, real processes' worth of connections."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from clients.resilience.call import Cost, LimitReport, Priority
from clients.resilience.errors import LimitReached
from clients.resilience.limiter import Counting, LimitRule, ScopeRules
from clients.resilience.limiter_queue import QueuedLimiter
from clients.resilience.limiter_redis import PREFIX, RedisStore, redis_limiter
from services.runtime.connection import connect_async
from tests.support.redis_server import RedisForTests

SCOPE = "exchange:spot"
WEIGHT = "exchange:spot:weight"
RULES = ScopeRules(SCOPE, (LimitRule(WEIGHT, 100, 60.0, headroom=0.1, burst=1.0),))
PATIENCE_S = 30.0
"""For Redis and for a turn. Who finds the limits full is refused at once: nothing here waits so long but beside other tests."""


class Cluster:
    """Limiters with connections of their own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.namespace = f"t{uuid.uuid4().hex[:12]}"
        self._clients: list[redis.asyncio.Redis] = []
        self._limiters: list[QueuedLimiter] = []

    def start(self, rules: ScopeRules = RULES, *, share: float = 0.25) -> QueuedLimiter:
        client = connect_async(self._url, client_name="test", timeout_s=PATIENCE_S)
        limiter = redis_limiter(client, [rules], namespace=self.namespace, share=share)
        self._clients.append(client)
        self._limiters.append(limiter)
        return limiter

    async def close(self) -> None:
        for limiter in self._limiters:
            await limiter.close()
        for client in self._clients:
            await client.aclose()


@pytest.fixture
async def cluster(redis_url: str) -> AsyncIterator[Cluster]:
    made = Cluster(redis_url)
    yield made
    client = connect_async(redis_url, client_name="test")
    await client.delete(f"{PREFIX}{made.namespace}:{SCOPE}")
    await client.aclose()
    await made.close()


async def call(limiter: QueuedLimiter, units: int, report: LimitReport | None = None) -> None:
    permit = await limiter.acquire([Cost(WEIGHT, units)], priority=Priority.NORMAL, deadline_s=PATIENCE_S)
    if report is not None:
        permit.observe(report)
    await permit.settle(answered=True)


async def test_concurrent_processes_count_every_unit_once(cluster: Cluster) -> None:
    limiters = [cluster.start() for _ in range(4)]

    await asyncio.gather(*(call(limiter, 1) for limiter in limiters for _ in range(20)))

    assert not any(limiter.degraded for limiter in limiters)
    assert (await limiters[0].fill())[0].used == 80
    with pytest.raises(LimitReached):
        await call(limiters[1], 11)


async def test_blocks_and_reports_reach_other_processes(cluster: Cluster) -> None:
    one, other = cluster.start(), cluster.start()
    await call(one, 1, LimitReport(used={WEIGHT: 85}))
    with pytest.raises(LimitReached):
        await call(other, 10)

    await one.block(SCOPE, 30.0)

    with pytest.raises(LimitReached) as refusal:
        await other.acquire([Cost(WEIGHT, 0)], priority=Priority.RECOVERY, deadline_s=5.0)
    assert refusal.value.retry_after_s == pytest.approx(30.0, abs=2.0)


async def test_a_process_that_starts_later_knows_what_was_used(cluster: Cluster) -> None:
    await call(cluster.start(), 60)

    assert (await cluster.start().fill())[0].used == 60


async def test_a_bucket_refills_by_the_servers_clock(cluster: Cluster) -> None:
    rules = ScopeRules(SCOPE, (LimitRule(WEIGHT, 1000, 1.0, Counting.BUCKET, headroom=0.0, burst=1.0),))
    limiter = cluster.start(rules)
    await call(limiter, 1000)

    await call(limiter, 200)

    assert 0 < (await limiter.fill())[0].used <= 1000


async def test_the_key_expires_when_nobody_uses_it_any_more(cluster: Cluster, redis_url: str) -> None:
    await call(cluster.start(), 1)
    client = connect_async(redis_url, client_name="test")

    expires_ms = await client.pttl(f"{PREFIX}{cluster.namespace}:{SCOPE}")

    await client.aclose()
    assert 4 * 86_400_000 < expires_ms < 5 * 86_400_000


async def test_killing_redis_leaves_a_share_and_a_restart_shares_again(new_redis: Callable[..., RedisForTests]) -> None:
    server = new_redis()
    cluster = Cluster(server.url)
    one, other = cluster.start(share=0.5), cluster.start(share=0.5)
    await call(one, 40)
    await other.fill()
    server.kill()

    await call(one, 10)
    assert one.degraded
    with pytest.raises(LimitReached):
        await one.acquire([Cost(WEIGHT, 40)], priority=Priority.NORMAL, deadline_s=0.1)
    server.restart()
    async with asyncio.timeout(20.0):
        while one.degraded or other.degraded:
            # Each question is an attempt to come back, one a second at most.
            await asyncio.gather(one.fill(), other.fill())

    # The restarted Redis is empty: what both knew, and what one used alone, is there again.
    assert (await one.fill())[0].used >= 50
    assert (await other.fill())[0].used == (await one.fill())[0].used
    await cluster.close()


async def test_a_suspended_redis_delays_a_call_by_no_more_than_the_time_limit(
    new_redis: Callable[..., RedisForTests],
) -> None:
    server = new_redis()
    client = connect_async(server.url, client_name="test", timeout_s=5.0)
    store = RedisStore(client, RULES, namespace="test", timeout_s=0.2)
    limiter = QueuedLimiter({SCOPE: (RULES, store)})
    await call(limiter, 1)
    server.suspend()

    async with asyncio.timeout(5.0):
        await call(limiter, 1)

    assert limiter.degraded
    server.resume()
    await limiter.close()
    await client.aclose()


async def test_a_client_that_retries_by_itself_is_refused(redis_url: str) -> None:
    client = redis.asyncio.Redis.from_url(redis_url, retry=Retry(NoBackoff(), 3))

    with pytest.raises(ValueError, match="retries by itself"):
        RedisStore(client, RULES, namespace="test")

    await client.aclose()
