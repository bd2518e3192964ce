"""Find where in what a stream retains a time begins: by halving, one entry per look."""

from __future__ import annotations

from services.runtime.errors import OutOfRange
from services.runtime.session.batch_format import Batch
from services.runtime.session.delivery import Begin
from services.runtime.session.stream_tail import StreamTail


async def begin_at(tail: StreamTail, time_ns: int) -> Begin:
    """Where a subscription begins that wants what arrived at a time or later. Raises OutOfRange.

    The batches are taken to be in the order of their arrival. Where a session was sent back in time they are not, and the place found is
    one of several: its batch reaches the time, and the one before it does not.
    """
    newest = await tail.newest()
    oldest = await _with_arrival(tail, await tail.entries.beginning_at(0), newest)
    if newest is None or oldest is None or oldest.last_arrival_time_ns is None:
        # Nothing that has a time yet.
        return Begin(arrival_time_ns=time_ns)
    if time_ns <= oldest.last_arrival_time_ns:
        await _check_retained(tail, oldest, time_ns)
        return Begin(oldest.first_sequence - 1, oldest.epoch, arrival_time_ns=time_ns)
    below, found = oldest, newest
    reached = newest.first_sequence
    while reached - below.first_sequence > 1:
        middle = (below.first_sequence + reached) // 2
        looked_at = await _with_arrival(tail, await tail.entries.beginning_at(middle), found)
        if looked_at is None or looked_at.first_sequence >= reached or _reaches(looked_at, time_ns):
            if looked_at is not None and looked_at.first_sequence < reached:
                found = looked_at
            reached = middle
        else:
            below = looked_at
    return Begin(found.first_sequence - 1, found.epoch, arrival_time_ns=time_ns)


def _reaches(batch: Batch, time_ns: int) -> bool:
    return batch.last_arrival_time_ns is not None and batch.last_arrival_time_ns >= time_ns


async def _with_arrival(tail: StreamTail, batch: Batch | None, end: Batch | None) -> Batch | None:
    """The batch, or the first one behind it that holds a tick; `end` where none before that does."""
    while batch is not None and batch.last_arrival_time_ns is None and end is not None:
        if batch.first_sequence >= end.first_sequence:
            return end
        batch = await tail.entries.beginning_at(batch.last_sequence + 1)
    return batch


async def _check_retained(tail: StreamTail, oldest: Batch, time_ns: int) -> None:
    first_ns = tail.batches.first_arrival_time_ns(oldest.payload)
    if first_ns is not None and time_ns < first_ns and await tail.entries.begins_later(oldest):
        raise OutOfRange(
            f"records from {time_ns} on are no longer retained; the oldest retained is {oldest.first_sequence}, "
            f"which arrived at {first_ns}"
        )
