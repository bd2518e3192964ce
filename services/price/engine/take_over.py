"""Begin to work through a partition: take it, learn where the sink stands in it, and find the logs that go on there."""

from __future__ import annotations

from random import Random
from typing import Final

from redis.exceptions import RedisError

from services.price.engine.claim import SinkClaim, SinkTaken
from services.price.engine.options import EngineOptions
from services.price.engine.order_proofs import PROOF_RECORDS, OrderProofs
from services.price.engine.position import Position
from services.price.engine.segments import Segment, open_segment
from services.runtime.backoff import Backoff
from services.runtime.connection import redacted
from services.runtime.engine_channel import EngineChannel
from services.runtime.errors import StartRefused, cannot_start
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.versions import NewerVersion

STANDBY_POLL_S: Final = 0.5


def take_over(options: EngineOptions, claim: SinkClaim, channel: EngineChannel) -> Segment | None:
    """Return the segment to write to, after standing by if need be; None when stopped meanwhile. Raises StartRefused."""
    backoff = Backoff(Random())
    told = ""
    while not channel.stopping.is_set():
        try:
            claim.take()
            # Behind the fence: whoever had the partition before announces nothing from here on.
            announced = claim.announced()
        except SinkTaken as taken:
            # Two servers wanted it at the same moment. The one that got no further gives it up with its next looks.
            if str(taken) != told:
                told = str(taken)
                channel.report("standby", reason=told)
            channel.stopping.wait(STANDBY_POLL_S)
            continue
        except (RedisError, OSError) as exc:
            told = ""
            channel.report("connecting", reason=redacted(f"Redis at {options.redis_url}: {exc}"))
            claim.disconnect()
            channel.stopping.wait(backoff.next_s())
            continue
        try:
            return open_segment(options.out, position_of(options, announced))
        except OSError as exc:
            raise cannot_start(
                exc,
                f"cannot write to `{options.out}`: {exc.strerror or exc}; make it writable or choose another MIDSTREAM_OUT",
            ) from exc
    return None


def position_of(options: EngineOptions, announced: bytes | None) -> Position | None:
    """Return where the sink stands; None where it has announced nothing yet. Raises StartRefused."""
    if announced is None:
        return None
    try:
        announcement = SinkAnnouncement.decode(options.sink, announced)
    except (ValueError, NewerVersion) as exc:
        raise StartRefused(f"{exc}, so nobody knows where partition {options.partition} goes on") from exc
    position, log, hand_over = announcement.position, announcement.log, announcement.hand_over
    if not position.epoch:
        return None
    if hand_over is None:
        raise StartRefused(
            f"sink `{options.sink}` announced in partition {options.partition} where it stands, and not what another needs to go on: "
            "an earlier release has written it. Delete the session's sinks, or start over in another session"
        )
    return Position(
        epoch=position.epoch,
        sequence=position.sequence,
        live_sequence=position.live_sequence,
        gap_next_sequence=hand_over.gap_next_sequence,
        cursor=position.cursor,
        kernel_state=hand_over.kernel_state,
        proofs=OrderProofs(log.proofs_every or PROOF_RECORDS, log.proofs),
        partition=options.partition,
        partitions=options.partitions,
    )
