"""The hold on a partition of a sink in a real Redis: one at a time, and nothing is executed for who has lost it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from services.price.engine.claim import SinkClaim, SinkFenced, SinkTaken
from services.runtime.connection import connect
from services.runtime.session.holders import parse_holder
from services.runtime.session.keys import SessionKeys

Make = Callable[..., SinkClaim]


@pytest.fixture
def keys(session: str) -> SessionKeys:
    return SessionKeys(session, 1)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    client = connect(redis_url, client_name="test-claims")
    yield client
    client.close()


@pytest.fixture
def make(redis_url: str, keys: SessionKeys) -> Iterator[Make]:
    made: list[SinkClaim] = []

    def make(token: str, sink: str = "price") -> SinkClaim:
        made.append(SinkClaim(redis_url, keys, sink, token=token, owner=f"owner-{token}"))
        return made[-1]

    yield make
    for claim in made:
        claim.release()


def hang(client: Any, keys: SessionKeys) -> None:
    """Do what ten seconds do to the lease of one that hangs."""
    assert client.delete(keys.sink_lease("price")) == 1


def write(claim: SinkClaim, client: Any, keys: SessionKeys, text: str) -> None:
    claim.execute(client, lambda pipeline: pipeline.hset(keys.sinks, "price", text))


def test_one_that_lives_keeps_it_and_one_that_is_gone_loses_it(make: Make, client: Any, keys: SessionKeys) -> None:
    first, second = make("1"), make("2")
    first.take()
    first.take()
    with pytest.raises(SinkTaken, match=r"partition 1 .* for sink `price` by process \d+ on host"):
        second.take()
    # Another sink of the partition has nothing to do with it.
    other = make("3", sink="other")
    other.take()
    write(first, client, keys, "first")
    first.release()
    second.take()
    holder = parse_holder(client.get(keys.sink_lease("price")))
    assert holder is not None
    assert (holder.token, holder.owner) == ("2", "owner-2")
    assert second.announced() == b"first"


def test_one_that_was_taken_for_dead_executes_nothing(make: Make, client: Any, keys: SessionKeys) -> None:
    first, second = make("1"), make("2")
    first.take()
    write(first, client, keys, "first")
    hang(client, keys)
    second.take()
    write(second, client, keys, "second")

    for attempt in (
        lambda: write(first, client, keys, "late"),
        lambda: first.renew(1 << 62),
        first.confirm,
        first.take,
    ):
        with pytest.raises(SinkFenced, match="was taken over by another engine of sink `price`"):
            attempt()
    first.release()
    assert client.hget(keys.sinks, "price") == b"second"
    assert client.exists(keys.sink_lease("price"))


def test_a_lease_that_ran_out_is_written_again_where_nobody_had_room(
    make: Make, client: Any, keys: SessionKeys
) -> None:
    claim = make("1")
    claim.take()
    hang(client, keys)
    claim.renew(1 << 62)
    assert parse_holder(client.get(keys.sink_lease("price"))) == claim.holder


@pytest.mark.parametrize("fence", [None, "0"], ids=["lost", "that of the one before"])
def test_what_redis_has_lost_is_taken_again(make: Make, client: Any, keys: SessionKeys, fence: str | None) -> None:
    before, claim = make("0"), make("1")
    before.take()
    hang(client, keys)
    claim.take()
    client.delete(keys.sink_fences)
    if fence is not None:
        client.hset(keys.sink_fences, "price", fence)

    with pytest.raises(redis.ConnectionError, match="Redis has lost"):
        write(claim, client, keys, "x")
    assert client.hget(keys.sinks, "price") is None
    claim.confirm()
    write(claim, client, keys, "y")
    assert client.hget(keys.sinks, "price") == b"y"
    assert client.ttl(keys.sink_fences) == -1


def test_a_transaction_is_sent_again_when_another_sink_took_the_partition_meanwhile(
    make: Make, client: Any, keys: SessionKeys
) -> None:
    claim, filled = make("1"), 0
    claim.take()

    def fill(pipeline: Any) -> None:
        nonlocal filled
        filled += 1
        if filled == 1:
            make("2", sink="other").take()
        pipeline.hset(keys.sinks, "price", filled)

    claim.execute(client, fill)
    assert client.hget(keys.sinks, "price") == b"2"


def test_what_an_older_connection_may_still_deliver_is_disarmed(make: Make, client: Any, keys: SessionKeys) -> None:
    claim = make("1")
    claim.take()
    with client.pipeline(transaction=True) as late:
        late.watch(keys.sink_fences)
        late.multi()
        late.hset(keys.sinks, "price", "late")
        claim.confirm()
        with pytest.raises(redis.WatchError):
            late.execute()


def end_connections(client: Any, claim: SinkClaim) -> None:
    """Do what Redis does to connections that are idle for too long, and firewalls to others."""
    ours = [each["id"] for each in client.client_list() if each["name"] == claim.holder.client_name]
    assert ours
    for each in ours:
        client.client_kill_filter(_id=each)


def test_a_connection_that_ended_between_transactions_takes_the_watch_with_it(
    make: Make, client: Any, keys: SessionKeys
) -> None:
    first, second = make("1"), make("2")
    first.take()
    write(first, client, keys, "first")
    end_connections(client, first)
    write(first, client, keys, "again")
    assert client.hget(keys.sinks, "price") == b"again"

    hang(client, keys)
    end_connections(client, first)
    second.take()
    with pytest.raises(SinkFenced, match="was taken over"):
        write(first, client, keys, "late")
    assert client.hget(keys.sinks, "price") == b"again"


def test_what_redis_refuses_is_raised_or_returned_and_the_next_transaction_is_bound_again(
    make: Make, client: Any, keys: SessionKeys
) -> None:
    claim = make("1")
    claim.take()

    def fill(pipeline: Any) -> None:
        pipeline.hset(keys.sinks, "price", "x")
        pipeline.lpush(keys.sinks, "no list")

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        claim.execute(client, fill)
    done, refused = claim.execute(client, fill, raise_on_error=False)
    assert (done, str(refused)[:9]) == (0, "WRONGTYPE")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        claim.execute(client, lambda pipeline: pipeline.execute_command("HSET", keys.sinks))
    hang(client, keys)
    make("2").take()
    with pytest.raises(SinkFenced):
        write(claim, client, keys, "late")
    assert client.hget(keys.sinks, "price") == b"x"


def test_a_full_redis_gives_up_mids_for_a_takeover_that_makes_room(make: Make, client: Any, keys: SessionKeys) -> None:
    first, second = make("1"), make("2")
    first.take()
    for number in range(1, 33):
        client.xadd(keys.mids, {"b": b"x" * (64 << 10)}, id=f"0-{number}")
    hang(client, keys)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - (256 << 10))
    try:
        second.take()
        assert client.hget(keys.sink_fences, "price") == b"2"
        left = [entry_id for entry_id, _ in client.xrange(keys.mids)]
        assert 0 < len(left) < 32
        assert left[-1] == b"0-32"
        # Nothing of that kind is left, and the lease is not what counts.
        client.config_set("maxmemory", 1)
        hang(client, keys)
        second.renew(1 << 62)
        client.xtrim(keys.mids, maxlen=1, approximate=False)
        with pytest.raises(redis.exceptions.OutOfMemoryError, match="keeps nothing there that could go"):
            make("3").take()
    finally:
        client.config_set("maxmemory", 0)
    second.confirm()


def test_a_full_redis_takes_acknowledgements_from_who_has_the_partition_alone(
    make: Make, client: Any, keys: SessionKeys
) -> None:
    first, second = make("1"), make("2")
    first.take()
    client.xgroup_create(keys.ticks, "price", id="0", mkstream=True)
    entries = [client.xadd(keys.ticks, {"b": b"x"}) for _ in range(3)]
    client.xreadgroup("price", "sink", {keys.ticks: ">"})

    client.config_set("maxmemory", 1)
    try:
        first.acknowledge(client, keys.ticks, "price", entries[:2])
        assert client.xpending(keys.ticks, "price")["pending"] == 1
    finally:
        client.config_set("maxmemory", 0)
    hang(client, keys)
    second.take()
    with pytest.raises(SinkFenced, match="was taken over"):
        first.acknowledge(client, keys.ticks, "price", entries)
    assert client.xpending(keys.ticks, "price")["pending"] == 1
