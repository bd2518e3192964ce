"""How a subscriber gets the one stream of all partitions: from where, and what happens when it reads more slowly than records come.

As `delivery.py` has it for one stream: whoever iterates is the subscriber. It holds a step of each partition, and the latest of each ticker
where it wants no more than these.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from protos.common.v1 import market_pb2
from protos.common.v1.market_pb2 import Skipped
from services.runtime.errors import OutOfRange
from services.runtime.session.arrivals import begin_at
from services.runtime.session.batch_format import Batch
from services.runtime.session.behind import Behind
from services.runtime.session.delivery import Delivery, Hole
from services.runtime.session.hold import Hold
from services.runtime.session.stream_entries import FellBehind
from services.runtime.session.stream_tail import StreamTail
from services.runtime.session.woven_stream import Partitions, Position, WovenBatch, WovenStream
from services.runtime.tasks import end_task

NO_POSITION: Final = Position()


class WovenSent(NamedTuple):
    """A batch of the one stream, and what its policy left out before it. Without positions: more of the same news follows."""

    woven: WovenBatch
    skipped: Skipped | None = None
    is_last: bool = True


async def begin_oldest(tails: Sequence[StreamTail]) -> list[Position]:
    """Before the oldest record that each partition retains."""
    oldest = [await tail.entries.beginning_at(0) for tail in tails]
    return [NO_POSITION if each is None else Position(each.epoch, each.first_sequence - 1) for each in oldest]


async def begin_now(tails: Sequence[StreamTail]) -> list[Position]:
    """Behind the newest record of each partition."""
    newest = [await tail.newest() for tail in tails]
    return [NO_POSITION if each is None else Position(each.epoch, each.last_sequence) for each in newest]


async def begin_behind(tails: Sequence[StreamTail], named: dict[int, Position]) -> list[Position]:
    """Behind the positions that a reader names. Raises OutOfRange, saying which of them is none."""
    starts = await begin_oldest(tails)
    for partition, position in named.items():
        if not position.epoch and not position.sequence:
            continue
        newest = await tails[partition].newest()
        if newest is None or position.epoch not in ("", newest.epoch):
            has = "nothing is retained" if newest is None else f"the current epoch is `{newest.epoch}`"
            raise OutOfRange(f"`after` names epoch `{position.epoch}` of partition {partition}, but {has}")
        after, oldest = position.sequence or 0, (starts[partition].sequence or 0) + 1
        if after > newest.last_sequence:
            raise OutOfRange(
                f"`after` names record {after} of partition {partition}, beyond its last one, {newest.last_sequence}"
            )
        if after + 1 < oldest:
            raise OutOfRange(
                f"record {after + 1} of partition {partition} is no longer retained; the oldest retained is {oldest}"
            )
        starts[partition] = Position(newest.epoch, after)
    return starts


async def begin_arrival(tails: Sequence[StreamTail], time_ns: int) -> list[Position]:
    """Not behind the first record of each partition that arrived at a time or later. Raises OutOfRange."""
    found = [await begin_at(tail, time_ns) for tail in tails]
    return [Position(each.epoch, each.position) for each in found]


class WovenDelivery:
    """One subscriber."""

    def __init__(
        self,
        partitions: Partitions,
        starts: Sequence[Position],
        delivery: Delivery,
        *,
        merge_wait_s: float,
        arrival_time_ns: int | None = None,
        holds: Sequence[Hold] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """With `arrival_time_ns` what comes before the first tick of that time or a later one is left out."""
        self._partitions = partitions
        self._tails = partitions.tails
        self._batches = self._tails[0].batches
        self._delivery = delivery
        self._merge_wait_s = merge_wait_s
        self._arrival_time_ns = arrival_time_ns
        self._holds = holds
        self._sleep = sleep
        self.stream = self._stream(starts)

    def _stream(self, starts: Sequence[Position]) -> WovenStream:
        return WovenStream(self._partitions, starts, self._merge_wait_s)

    async def sent(self) -> AsyncGenerator[WovenSent, None]:
        """Yield what the subscriber gets, for ever. Raises FellBehind for those who are disconnected, and UnreadableEntry."""
        policies = {
            market_pb2.SUBSCRIBER_POLICY_CONFLATE: self._conflating,
            market_pb2.SUBSCRIBER_POLICY_SKIP: self._skipping,
        }
        async with aclosing(policies.get(self._delivery.policy, self._all)()) as sent:
            async for each in sent:
                yield each

    async def _all(self) -> AsyncGenerator[WovenSent, None]:
        async with aclosing(self._wanted()) as batches:
            async for woven in batches:
                for hold in self._holds:
                    hold.offer()
                yield WovenSent(woven)
                self.release()

    def release(self) -> None:
        """The subscriber has everything up to where the stream stands."""
        for partition, hold in enumerate(self._holds):
            settled = self.stream.settled(partition)
            if settled is not None:
                hold.take(settled)

    async def _wanted(self) -> AsyncGenerator[WovenBatch, None]:
        """The stream from the arrival time on that was asked for."""
        async with aclosing(self.stream.batches()) as batches:
            async for woven in batches:
                kept = self._from_arrival(woven)
                if kept is not None:
                    yield kept
                else:
                    self.release()

    def _from_arrival(self, woven: WovenBatch) -> WovenBatch | None:
        time_ns, batch = self._arrival_time_ns, woven.batch
        if time_ns is None:
            return woven
        if batch.last_arrival_time_ns is None or batch.last_arrival_time_ns < time_ns:
            return None
        self._arrival_time_ns = None
        first = self._batches.first_since(batch.payload, time_ns)
        payload = self._batches.cut(batch.payload, (first or batch.first_sequence) - 1)
        return None if payload is None else woven._replace(batch=self._batches.head(0, payload))

    async def _conflating(self) -> AsyncGenerator[WovenSent, None]:
        """The latest of each ticker, gathered while the subscriber is busy."""
        table, news_came = self._batches.table(), asyncio.Event()
        positions = list(self.stream.positions)

        async def gather() -> None:
            nonlocal positions
            try:
                async with aclosing(self._wanted()) as batches:
                    async for woven in batches:
                        table.take(woven.batch.payload)
                        positions = list(woven.positions)
                        news_came.set()
            finally:
                news_came.set()

        after, epoch = sum(each.sequence or 0 for each in positions), ""
        gathering = asyncio.create_task(gather(), name="conflating")
        try:
            while True:
                await news_came.wait()
                news_came.clear()
                if gathering.done():
                    gathering.result()
                if epoch not in ("", table.epoch):
                    after = 0
                news = table.since(after)
                after, epoch = table.last_sequence, table.epoch
                reached = list(positions)
                for number, (_, _, payload) in enumerate(news, 1):
                    woven = WovenBatch(self._batches.head(0, payload), reached)
                    yield WovenSent(woven, is_last=number == len(news))
                if news and self._delivery.interval_s:
                    await self._sleep(self._delivery.interval_s)
        finally:
            await end_task(gathering)

    async def _skipping(self) -> AsyncGenerator[WovenSent, None]:
        """Leave out what is older than it may be, in whole batches; it is merged all the same, which costs less than it takes to come."""
        hole = Hole(self._batches, None, "")
        most = self._delivery.lag_records_max
        while True:
            try:
                async with aclosing(self._wanted()) as batches:
                    async for woven in batches:
                        newest = self.newest
                        if most and woven.batch.last_sequence <= newest - most and woven.batch.last_sequence < newest:
                            hole.begin(woven.batch)
                        else:
                            yield WovenSent(woven, hole.before(woven.batch))
            except FellBehind:
                self.stream = self._stream(await begin_oldest(self._tails))
                hole.is_open = True

    @property
    def newest(self) -> int:
        """Number of the newest record that the tails have read, as the one stream counts."""
        return sum(
            max(tail.ring.end[1], position.sequence or 0)
            if tail.ring.end[0] in ("", position.epoch)
            else tail.ring.end[1]
            for tail, position in zip(self._tails, self.stream.positions, strict=True)
        )

    def behind(self, woven: WovenBatch) -> Behind:
        """How far the subscriber is behind with a batch."""
        arrival_ns = woven.batch.last_arrival_time_ns
        records = size = 0
        newest_ns = arrival_ns or 0
        for tail, (epoch, sequence) in zip(self._tails, woven.positions, strict=True):
            behind = tail.ring.behind(Batch(epoch, sequence or 0, sequence or 0, b""))
            records, size = records + behind.records, size + behind.bytes
            if behind.records:
                newest_ns = max(newest_ns, tail.ring.last_arrival_time_ns)
        return Behind(records, size, 0 if arrival_ns is None else newest_ns - arrival_ns)
