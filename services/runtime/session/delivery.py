"""How a subscriber gets what it follows: where it begins, and what happens when it reads more slowly than records come.

Whoever iterates is the subscriber: it asks for the next batch when its client has taken the one before. So a slow client holds nothing but
a place in the stream and one step of batches, and nobody waits for it, except the session that it asked to wait (`hold.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from protos.common.v1 import market_pb2
from protos.common.v1.market_pb2 import Skipped, SubscriberPolicy
from services.runtime.errors import InvalidRequest
from services.runtime.session.batch_format import Batch, BatchFormat
from services.runtime.session.hold import Hold
from services.runtime.session.stream_entries import FellBehind
from services.runtime.session.stream_tail import StreamTail

INTERVAL_MS_MAX: Final = 3_600_000


class Request(Protocol):
    """What requests of streams have in common."""

    policy: SubscriberPolicy
    with_lag: bool
    conflate_interval_ms: int
    lag_records_max: int


@dataclass(frozen=True)
class Delivery:
    """What a subscriber asked for."""

    policy: SubscriberPolicy = market_pb2.SUBSCRIBER_POLICY_UNSPECIFIED
    with_lag: bool = False
    interval_s: float = 0.0
    lag_records_max: int = 0

    @classmethod
    def of(cls, request: Request) -> Delivery:
        """Check what a request says. Raises InvalidRequest."""
        if request.policy not in SubscriberPolicy.values():
            raise InvalidRequest(
                "policy", f"must be one of {', '.join(SubscriberPolicy.keys())} (got {request.policy})"
            )
        if request.conflate_interval_ms and request.policy != market_pb2.SUBSCRIBER_POLICY_CONFLATE:
            raise InvalidRequest("conflate_interval_ms", "is for SUBSCRIBER_POLICY_CONFLATE alone")
        if request.conflate_interval_ms > INTERVAL_MS_MAX:
            raise InvalidRequest(
                "conflate_interval_ms", f"must be at most {INTERVAL_MS_MAX} (got {request.conflate_interval_ms})"
            )
        if request.lag_records_max and request.policy != market_pb2.SUBSCRIBER_POLICY_SKIP:
            raise InvalidRequest("lag_records_max", "is for SUBSCRIBER_POLICY_SKIP alone")
        return cls(request.policy, request.with_lag, request.conflate_interval_ms / 1e3, request.lag_records_max)


@dataclass(frozen=True)
class Begin:
    """Where a subscription begins."""

    position: int | None = None
    """Behind this sequence; None is with whatever the stream holds first."""
    epoch: str = ""
    latest: bool = False
    """With the latest of each ticker; the position does not count then."""
    arrival_time_ns: int | None = None
    """With the first record behind the position that arrived at this time or later."""


class Sent(NamedTuple):
    """A batch, and what its policy left out before it."""

    batch: Batch
    skipped: Skipped | None = None


async def deliver(
    tail: StreamTail,
    begin: Begin,
    delivery: Delivery,
    hold: Hold | None = None,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[Sent, None]:
    """Yield what a subscriber gets, for ever. Raises FellBehind for those who are disconnected, and UnreadableEntry.

    `hold` is told what is passed over; what is yielded is for whoever iterates to tell.
    """
    position, epoch = begin.position, begin.epoch
    if begin.latest:
        news = await tail.latest.since(0, "")
        for batch in news.batches:
            yield Sent(batch)
        position, epoch = news.last_sequence, news.epoch
        if hold is not None:
            hold.take(position)
    elif begin.arrival_time_ns is not None:
        position, epoch = await _arrival(tail, begin, begin.arrival_time_ns, hold)
    if delivery.policy == market_pb2.SUBSCRIBER_POLICY_CONFLATE:
        conflating = _conflating(tail, position or 0, epoch, delivery.interval_s, sleep)
        async with aclosing(conflating):
            async for sent in conflating:
                yield sent
    elif delivery.policy == market_pb2.SUBSCRIBER_POLICY_SKIP:
        skipping = _skipping(tail, position, epoch, delivery.lag_records_max)
        async with aclosing(skipping):
            async for sent in skipping:
                yield sent
    else:
        async with aclosing(tail.follow(position, epoch)) as batches:
            async for batch in batches:
                yield Sent(batch)


async def _arrival(tail: StreamTail, begin: Begin, time_ns: int, hold: Hold | None) -> tuple[int | None, str]:
    """Wait for the first record behind a position that arrives at a time or later; return the place before it."""
    position, epoch = begin.position, begin.epoch
    while True:
        for batch in await tail.step(position, epoch):
            arrival_time_ns = batch.last_arrival_time_ns
            if arrival_time_ns is not None and arrival_time_ns >= time_ns:
                first = tail.batches.first_since(batch.payload, time_ns)
                return (first or batch.first_sequence) - 1, batch.epoch
            position, epoch = batch.last_sequence, batch.epoch
            if hold is not None:
                hold.take(position)


async def _conflating(
    tail: StreamTail, position: int, epoch: str, interval_s: float, sleep: Callable[[float], Awaitable[None]]
) -> AsyncGenerator[Sent, None]:
    while True:
        end = tail.ring.end
        news = await tail.latest.since(position, epoch)
        for batch in news.batches:
            yield Sent(batch)
        if news.batches:
            position, epoch = news.last_sequence, news.epoch
            if interval_s:
                await sleep(interval_s)
        await tail.grown(end)


async def _skipping(
    tail: StreamTail, position: int | None, epoch: str, lag_records_max: int
) -> AsyncGenerator[Sent, None]:
    hole = Hole(tail.batches, position, epoch)
    while True:
        try:
            batches = await tail.step(position, epoch)
        except FellBehind as exc:
            position, epoch = exc.oldest_sequence - 1, exc.epoch
            hole.is_open = True
            continue
        for batch in batches:
            newest_epoch, newest = tail.ring.end
            if lag_records_max and newest_epoch == batch.epoch and newest >= batch.first_sequence + lag_records_max:
                boundary = await tail.boundary(newest - lag_records_max)
                if boundary >= batch.last_sequence:
                    hole.begin(batch)
                    position, epoch = boundary, batch.epoch
                    break
            yield Sent(batch, hole.before(batch))
            position, epoch = batch.last_sequence, batch.epoch


class Hole:
    """What a subscriber does not get, from what it got last to what it gets next."""

    def __init__(self, batches: BatchFormat, position: int | None, epoch: str) -> None:
        self._batches = batches
        self._expected = None if position is None else (epoch, position + 1)
        """What comes next unless something is skipped; None for whatever comes first."""
        self._arrival_time_ns = 0
        self.is_open = False

    def begin(self, batch: Batch) -> None:
        """Leave out what comes next."""
        self.is_open = True
        self._expected = self._expected or (batch.epoch, batch.first_sequence)

    def before(self, batch: Batch) -> Skipped | None:
        """Say what is missing before a batch that is sent; of a numbering that started over, what lies before it in that."""
        skipped = self._skipped(batch) if self.is_open else None
        self.is_open = False
        self._expected = (batch.epoch, batch.last_sequence + 1)
        self._arrival_time_ns = batch.last_arrival_time_ns or self._arrival_time_ns
        return skipped

    def _skipped(self, batch: Batch) -> Skipped | None:
        epoch, first = self._expected or (batch.epoch, batch.first_sequence)
        if epoch not in ("", batch.epoch):
            first = 1
        if first >= batch.first_sequence:
            return None
        return Skipped(
            records=batch.first_sequence - first,
            first_sequence=first,
            last_sequence=batch.first_sequence - 1,
            from_arrival_time_ns=self._arrival_time_ns,
            to_arrival_time_ns=self._batches.first_arrival_time_ns(batch.payload) or 0,
        )
