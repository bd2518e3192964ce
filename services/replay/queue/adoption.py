"""Decide where a producer goes on, from what the queue, the sinks and this process know; no I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fastpath.frame import MARKER_GAP, MODE_LIVE
from fastpath.records import Marker
from services.replay.queue.model import Adopted, Memory, StoredCheckpoint, Tail
from services.runtime.log_fields import fields
from services.runtime.session.announcement import SinkPosition

logger = logging.getLogger(__name__)

_TAKEN_OVER: Final = "another Redis took over, perhaps without all live records behind {}; the numbering starts over"


@dataclass(frozen=True)
class Evidence:
    """Everything known when a producer adopts a session."""

    tail: Tail | None
    """Newest entry of the stream; None when it is missing or empty."""
    stored: StoredCheckpoint | None
    sinks: tuple[SinkPosition, ...]
    """Announcements made to this very Redis process."""
    silent: tuple[str, ...]
    """Expected sinks that announced nothing within their grace."""
    memory: Memory | None
    """None: this process has not produced yet."""
    time_ns: int
    changed: bool = False
    """Another process answers than the one that stored the checkpoint, and there are replicas: it may lack what readers have seen."""
    may_turn: bool = False
    """The session has a feed, or was asked for what is not applied yet: what is gone need not be what comes now in its place."""


def decide(evidence: Evidence, new_epoch: Callable[[], str]) -> Adopted:
    """Return where to go on, so that no sink gets anything twice, and nothing is missing without a gap marker."""
    if evidence.tail is not None:
        if _may_have_been_seen(evidence, evidence.tail.epoch, evidence.tail.last):
            return _behind_tail(evidence, evidence.tail, new_epoch)
        return _from_tail(evidence, evidence.tail)
    sinks = _of_one_epoch(evidence)
    if sinks:
        return _from_sinks(evidence, sinks, new_epoch)
    memory = evidence.memory
    if memory is not None and memory.live_sequence == 0:
        # Everything of this epoch can be read again, and the order is deterministic: the same numbers mean the same
        # records.
        return _adopted(evidence, epoch=memory.epoch, next_sequence=1, cursor=b"")
    reason = "the queue was lost and no sink knows the position; the numbering starts over"
    return _new_epoch(evidence, new_epoch, cursor=b"", reason=reason if _was_live(evidence) else "")


def _may_have_been_seen(evidence: Evidence, epoch: str, last: int) -> bool:
    """Tell whether numbers behind `last` may be known, to somebody who does not tell, with records that cannot be read again.

    Sinks tell what they have seen, subscribers do not. A producer that was there remembers what it has numbered; one that was not
    must not give a number again that may have had another content.
    """
    if not evidence.changed or (evidence.memory is not None and evidence.memory.epoch == epoch):
        return False
    if _was_live(evidence) or (evidence.tail is not None and evidence.tail.mode == MODE_LIVE):
        return True
    sinks = [sink for sink in evidence.sinks if sink.epoch == epoch]
    if any(sink.live_sequence > last or 0 < sink.live_sequence == sink.sequence for sink in sinks):
        return True
    # It may have turned behind `last`. Another numbering goes on for all sinks from one place, so they have to be at one: history
    # that one of them has and another has not is exact only under its own numbers.
    return evidence.may_turn and not evidence.silent and len({max(sink.sequence, last) for sink in sinks}) <= 1


def _behind_tail(evidence: Evidence, tail: Tail, new_epoch: Callable[[], str]) -> Adopted:
    ahead = [sink for sink in evidence.sinks if sink.epoch == tail.epoch and sink.sequence > tail.last]
    furthest = max(ahead, key=lambda sink: sink.sequence, default=None)
    cursor = tail.cursor if furthest is None else furthest.cursor
    return _new_epoch(evidence, new_epoch, cursor=cursor, reason=_TAKEN_OVER.format(tail.last))


def _from_tail(evidence: Evidence, tail: Tail) -> Adopted:
    sinks = [sink for sink in evidence.sinks if sink.epoch == tail.epoch]
    memory = evidence.memory
    if memory is not None and memory.epoch != tail.epoch:
        memory = None
    for sink in evidence.sinks:
        if sink.sequence and sink.epoch != tail.epoch:
            logger.error(
                "sink follows another epoch",
                extra=fields(sink=sink.name, its_epoch=sink.epoch, queue_epoch=tail.epoch, sequence=sink.sequence),
            )
    seen = max([sink.sequence for sink in sinks] + [memory.sequence if memory else 0], default=0)
    seen_live = max([sink.live_sequence for sink in sinks] + [memory.live_sequence if memory else 0], default=0)
    gap: Marker | None = None
    if seen_live <= tail.last:
        if evidence.memory is None and _was_live(evidence):
            gap = _gap(evidence, "the producer was restarted")
        return _adopted(evidence, epoch=tail.epoch, next_sequence=tail.last + 1, cursor=tail.cursor, gap=gap)
    # Numbers jump here, so whatever a sink has seen must not come again: its cursor is the one to go on with.
    furthest = max(sinks, key=lambda sink: sink.sequence, default=None)
    cursor = furthest.cursor if furthest is not None and furthest.sequence > tail.last else tail.cursor
    reason = f"records {tail.last + 1} to {seen} were lost with the queue"
    gap = _gap(evidence, reason, next_sequence=seen + 1)
    return _adopted(evidence, epoch=tail.epoch, next_sequence=tail.last + 1, cursor=cursor, gap=gap)


def _from_sinks(evidence: Evidence, sinks: Sequence[SinkPosition], new_epoch: Callable[[], str]) -> Adopted:
    slowest = min(sinks, key=lambda sink: sink.sequence)
    fastest = max(sinks, key=lambda sink: sink.sequence)
    epoch = fastest.epoch
    memory = evidence.memory
    if _may_have_been_seen(evidence, epoch, slowest.sequence):
        return _new_epoch(evidence, new_epoch, cursor=fastest.cursor, reason=_TAKEN_OVER.format(slowest.sequence))
    remembered = memory if memory is not None and memory.epoch == epoch else None
    live_of_sinks = max(sink.live_sequence for sink in sinks)
    live = max(live_of_sinks, remembered.live_sequence if remembered else 0)
    if live_of_sinks > slowest.sequence:
        reason = f"live records up to {live_of_sinks} were lost with the queue before sink `{slowest.name}` had them"
        return _new_epoch(evidence, new_epoch, cursor=fastest.cursor, reason=reason)
    if live > slowest.sequence:
        seen = max(fastest.sequence, remembered.sequence if remembered else 0)
        gap = _gap(
            evidence, f"records {slowest.sequence + 1} to {seen} were lost with the queue", next_sequence=seen + 1
        )
        return _adopted(evidence, epoch=epoch, next_sequence=slowest.sequence + 1, cursor=fastest.cursor, gap=gap)
    if evidence.silent and _may_have_more(evidence, epoch, slowest.sequence):
        # A sink that is not up yet may have records that are not published again under their numbers, and would skip others.
        reason = "the queue was lost, and some sinks have not told what they had of it; the numbering starts over"
        return _new_epoch(evidence, new_epoch, cursor=fastest.cursor, reason=reason)
    if evidence.silent and live == 0:
        # A sink that is not up yet may be at any position; all of it can be read again, and who has it skips it.
        logger.warning(
            "publishing from the beginning for sinks that did not announce",
            extra=fields(sinks=list(evidence.silent)),
        )
        return _adopted(evidence, epoch=epoch, next_sequence=1, cursor=b"")
    restarted = evidence.memory is None and _was_live(evidence)
    return _adopted(
        evidence,
        epoch=epoch,
        next_sequence=slowest.sequence + 1,
        cursor=slowest.cursor,
        gap=_gap(evidence, "the producer was restarted") if restarted else None,
    )


def _of_one_epoch(evidence: Evidence) -> list[SinkPosition]:
    """Return the sinks that agree on an epoch, with those that have nothing yet; empty when there is no such epoch."""
    epochs = {sink.epoch for sink in evidence.sinks if sink.sequence}
    if evidence.memory is not None and evidence.memory.epoch in epochs:
        epochs = {evidence.memory.epoch}
    if len(epochs) != 1:
        if epochs:
            logger.error("sinks follow different epochs, starting a new one", extra=fields(epochs=sorted(epochs)))
        return []
    return [sink for sink in evidence.sinks if not sink.sequence or sink.epoch in epochs]


def _was_live(evidence: Evidence) -> bool:
    if evidence.stored is not None:
        return evidence.stored.checkpoint.effective.mode == MODE_LIVE
    if evidence.tail is not None:
        return evidence.tail.mode == MODE_LIVE
    if evidence.memory is not None:
        return evidence.memory.live_sequence > 0
    return any(sink.sequence and sink.live_sequence == sink.sequence for sink in evidence.sinks)


def _may_have_more(evidence: Evidence, epoch: str, sequence: int) -> bool:
    """Tell whether behind `sequence` there were numbers that counting on does not lead to again, and that this process did not give."""
    stored = evidence.stored
    if evidence.memory is not None or stored is None or stored.epoch != epoch:
        return False
    return stored.checkpoint.effective.mode == MODE_LIVE or stored.checkpoint.unrepeatable > sequence


def _gap(evidence: Evidence, reason: str, *, next_sequence: int = 0) -> Marker:
    return Marker(
        kind=MARKER_GAP,
        previous_mode=MODE_LIVE,
        mode=MODE_LIVE,
        time_ns=evidence.time_ns,
        reason=reason,
        next_sequence=next_sequence,
    )


def _new_epoch(evidence: Evidence, new_epoch: Callable[[], str], *, cursor: bytes, reason: str) -> Adopted:
    fresh = evidence.memory is None and evidence.stored is None and not any(s.sequence for s in evidence.sinks)
    gap = _gap(evidence, reason) if reason else None
    return _adopted(evidence, epoch=new_epoch(), next_sequence=1, cursor=cursor, gap=gap, fresh=fresh)


def _adopted(
    evidence: Evidence,
    *,
    epoch: str,
    next_sequence: int,
    cursor: bytes,
    gap: Marker | None = None,
    fresh: bool = False,
) -> Adopted:
    checkpoint = None
    if evidence.stored is not None:
        checkpoint = evidence.stored.checkpoint
        if evidence.stored.epoch != epoch:
            # Seams and the sequence belong to the numbering that ended; mode, pause, speed and revision stay.
            checkpoint = replace(checkpoint, seams=(), sequence=0, unrepeatable=0, countable=False)
    return Adopted(epoch=epoch, next_sequence=next_sequence, cursor=cursor, checkpoint=checkpoint, gap=gap, fresh=fresh)
