"""Reads that several followers of a stream share: one for all who need it, and never an answer that is not theirs."""

from __future__ import annotations

import asyncio
import gc

import pytest

from services.runtime.session import shared_reads
from services.runtime.session.batch_format import Batch
from services.runtime.session.shared_reads import SharedReads

EPOCH = "epoch-1"
PER_BATCH = 10
PER_READ = 3
PATIENCE_S = 20.0


class Stream:
    """A stream of full batches, which counts its reads and answers when it is let."""

    def __init__(self, last_sequence: int) -> None:
        self.last_sequence = last_sequence
        self.reads: list[int] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None
        self._asked = asyncio.Event()
        self.payload = b"x" * 100

    def hold_answers(self) -> None:
        """Answer nothing that is asked from here on until `answers` is set."""
        self.answers.clear()
        self._asked.clear()

    async def after(self, position: int, epoch: str) -> list[Batch]:
        self.reads.append(position)
        self._asked.set()
        last, payload, error = self.last_sequence, self.payload, self.error
        await self.answers.wait()
        if error is not None:
            raise error
        ends = range(position + PER_BATCH, min(last, position + PER_READ * PER_BATCH) + 1, PER_BATCH)
        return [Batch(epoch, end - PER_BATCH + 1, end, payload) for end in ends]

    async def asked(self) -> None:
        """Wait until a read that has not been answered is under way."""
        async with asyncio.timeout(PATIENCE_S):
            await self._asked.wait()


async def follow(reads: SharedReads, position: int, *, to: int) -> list[int]:
    """The last sequences of the batches from a position to another."""
    taken: list[int] = []
    while position < to:
        batches = await reads.after(position, EPOCH)
        taken += [batch.last_sequence for batch in batches]
        position = taken[-1]
    return taken


def reading() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "stream-read"]


async def test_followers_that_catch_up_together_cost_one_read_of_each_part() -> None:
    stream = Stream(600)
    reads = SharedReads(stream.after)

    taken = await asyncio.gather(*(follow(reads, 0, to=600) for _ in range(4)))

    assert taken == [list(range(10, 601, 10))] * 4
    assert stream.reads == list(range(0, 600, 30))


async def test_follower_that_comes_a_little_later_reads_nothing_that_was_just_read() -> None:
    stream = Stream(600)
    reads = SharedReads(stream.after)
    await follow(reads, 0, to=300)
    stream.reads.clear()

    assert await follow(reads, 0, to=300) == list(range(10, 301, 10))
    assert stream.reads == []


async def test_follower_that_began_elsewhere_joins_at_the_next_batch_that_was_read() -> None:
    stream = Stream(600)
    reads = SharedReads(stream.after)
    await follow(reads, 0, to=300)
    stream.reads.clear()

    assert await follow(reads, 140, to=300) == list(range(150, 301, 10))
    assert stream.reads == []


async def test_positions_of_another_epoch_are_read_for_themselves() -> None:
    stream = Stream(30)
    reads = SharedReads(stream.after)
    await reads.after(0, EPOCH)

    batches = await reads.after(0, "epoch-2")

    assert {batch.epoch for batch in batches} == {"epoch-2"}
    assert stream.reads == [0, 0]


async def test_follower_that_leaves_does_not_take_the_answer_from_the_others() -> None:
    stream = Stream(30)
    stream.hold_answers()
    reads = SharedReads(stream.after)
    leaving = asyncio.ensure_future(reads.after(0, EPOCH))
    staying = asyncio.ensure_future(reads.after(0, EPOCH))
    await stream.asked()

    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    stream.answers.set()

    assert [batch.last_sequence for batch in await staying] == [10, 20, 30]
    assert stream.reads == [0]


async def test_failed_read_is_told_to_all_who_waited_and_the_next_one_asks_again() -> None:
    stream = Stream(30)
    stream.error = ConnectionError("gone")
    reads = SharedReads(stream.after)

    told = await asyncio.gather(reads.after(0, EPOCH), reads.after(0, EPOCH), return_exceptions=True)
    stream.error = None

    assert [str(each) for each in told] == ["gone", "gone"]
    assert [batch.last_sequence for batch in await reads.after(0, EPOCH)] == [10, 20, 30]


async def test_failed_read_that_nobody_waits_for_any_more_ends_quietly() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    stream = Stream(30)
    stream.error = ConnectionError("gone")
    stream.hold_answers()
    reads = SharedReads(stream.after)
    alone = asyncio.ensure_future(reads.after(0, EPOCH))
    await stream.asked()

    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    stream.answers.set()
    await asyncio.wait(reading())
    gc.collect()

    assert complaints == []


async def test_follower_asks_for_itself_when_there_was_nothing_for_the_one_before() -> None:
    stream = Stream(0)
    stream.hold_answers()
    reads = SharedReads(stream.after)
    before = asyncio.ensure_future(reads.after(0, EPOCH))
    await stream.asked()
    # The answer is under way, and says that there is nothing; now there is something.
    stream.last_sequence = 10
    later = asyncio.ensure_future(reads.after(0, EPOCH))
    await asyncio.sleep(0)
    stream.answers.set()

    assert await before == []
    assert [batch.last_sequence for batch in await later] == [10]


async def test_what_was_read_or_asked_for_before_a_change_of_the_stream_is_not_kept() -> None:
    stream = Stream(60)
    reads = SharedReads(stream.after)
    await reads.after(0, EPOCH)
    stream.hold_answers()
    under_way = asyncio.ensure_future(reads.after(30, EPOCH))
    await stream.asked()

    reads.forget()
    stream.answers.set()
    await under_way
    stream.payload = b"y" * 100

    assert {batch.payload for batch in await reads.after(0, EPOCH)} == {stream.payload}
    assert {batch.payload for batch in await reads.after(30, EPOCH)} == {stream.payload}


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_reads, "RECENT_BYTES_MAX", 1_000)
    stream = Stream(600)
    reads = SharedReads(stream.after)
    await follow(reads, 0, to=600)
    stream.reads.clear()

    await follow(reads, 500, to=600)
    assert stream.reads == []
    await reads.after(490, EPOCH)
    assert stream.reads == [490]


async def test_stopping_ends_what_is_under_way() -> None:
    stream = Stream(30)
    stream.hold_answers()
    reads = SharedReads(stream.after)
    waiting = asyncio.ensure_future(reads.after(0, EPOCH))
    await stream.asked()

    await reads.stop()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not reading()
