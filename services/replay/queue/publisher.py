"""Append batches to a session's stream: exactly once, in order, and never over the head of a slow reader.

The publisher is what the engine calls. `pipeline` sends and settles, `backpressure` knows what is unread and what may be
trimmed, `claim` keeps fence and lease, `stream` adopts, and `patience` waits. Nothing here retries behind the engine's
back, and every wait ends with `stopping`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from random import Random

from redis.exceptions import ResponseError

from fastpath.frame import MODE_LIVE, peek
from services.replay.queue.acknowledgement import Confirmation, Level
from services.replay.queue.backlog import Backlog, BacklogEntry
from services.replay.queue.backpressure import Backpressure
from services.replay.queue.claim import Claim
from services.replay.queue.errors import NotYet, QueueLost, RedisRefused, Stopped
from services.replay.queue.groups import GroupTracker
from services.replay.queue.model import Adopted, Checkpoint, Memory, QueueLimits, SinkExpectation, Watermark
from services.replay.queue.patience import WAIT_S_MAX, WAIT_S_MIN, Patience
from services.replay.queue.pipeline import LINGER_NS, Pipeline
from services.replay.queue.stream import Adoption
from services.replay.queue.transaction import Batch, refuse_unless_temporary
from services.replay.queue.wire import LOST, Wire
from services.runtime.clock import Clock
from services.runtime.cluster.slots import URL_FORMS
from services.runtime.errors import Bug
from services.runtime.log_fields import fields
from services.runtime.session.keys import SessionKeys

logger = logging.getLogger(__name__)


class Publisher:
    """The producing end of one session's stream; for one thread only.

    `on_state` gets "BACKPRESSURED" when a wait begins and every 250 ms while it lasts, "RUNNING" when it is over;
    `problem` says what is waited for. The figures (`backlog_records` and so on) may be read from any thread.
    """

    def __init__(
        self,
        *,
        url: str,
        keys: SessionKeys,
        limits: QueueLimits,
        sinks: SinkExpectation,
        live_configured: bool,
        stopping: threading.Event,
        clock: Clock,
        random: Random,
        on_state: Callable[[str], None],
        owner: str = "",
        acknowledged: Level = Level.MEMORY,
        durable_engine: bool = False,
        linger_ns: int = LINGER_NS,
        room_wait_s: float = WAIT_S_MIN,
    ) -> None:
        """`durable_engine`: it is known to acknowledge nothing that is not durable, so it is not asked. `room_wait_s`: the first wait
        for room.
        """
        self._random = random
        self._room_wait_s = room_wait_s
        # The process id keeps two producers apart whose random numbers were seeded alike.
        self._claim = Claim(keys, f"{random.getrandbits(96):024x}.{os.getpid():x}", owner=owner)
        try:
            self._wire = Wire(url, client_name=self._claim.holder.client_name, stopping=stopping, key=keys.ticks)
        except ValueError as exc:
            raise RedisRefused(f"the Redis URL cannot be used: {exc}; use {URL_FORMS}") from exc
        confirmation = Confirmation(acknowledged, clock, promised=durable_engine)
        self._adoption = Adoption(
            url=url,
            wire=self._wire,
            keys=keys,
            claim=self._claim,
            sinks=sinks,
            group_lease_s=limits.group_lease_s,
            live_configured=live_configured,
            confirmation=confirmation,
            stopping=stopping,
            clock=clock,
        )
        self._patience = Patience(stopping=stopping, clock=clock, random=random, on_state=on_state)
        self._backlog = Backlog(limits)
        self._backpressure = Backpressure(
            self._backlog, GroupTracker(expected=sinks.names, lease_s=limits.group_lease_s), limits
        )
        self._pipeline = Pipeline(
            wire=self._wire,
            keys=keys,
            claim=self._claim,
            backpressure=self._backpressure,
            patience=self._patience,
            confirmation=confirmation,
            clock=clock,
            linger_ns=linger_ns,
        )

        self._memory: Memory | None = None
        self._next = 0
        self._jump = 0
        """The one other sequence that may come next: the one that a gap marker announces."""

    # Figures

    @property
    def backlog_records(self) -> int:
        """Records that the slowest consumer group has not committed, as of the last poll."""
        return self._backlog.records

    @property
    def backlog_bytes(self) -> int:
        """Bytes of those records."""
        return self._backlog.size

    @property
    def oldest_sequence(self) -> int:
        """Return the oldest sequence retained; 0 when there is none."""
        return self._backlog.oldest_sequence

    @property
    def acknowledged(self) -> bool:
        """Whether everything published so far is in the stream, and as safe as MIDSTREAM_ACKNOWLEDGED says."""
        return self._pipeline.acknowledged

    @property
    def waiting(self) -> bool:
        """Whether the publisher waits for room, or for Redis."""
        return self._patience.waiting

    @property
    def waited_s(self) -> float:
        """Time spent in waiting for room, or for Redis, so far."""
        return self._patience.waited_s

    @property
    def reconnects(self) -> int:
        """Times the connection to Redis was made again."""
        return self._wire.reconnects

    @property
    def problem(self) -> str:
        """What is waited for, for people; empty when nothing is."""
        return self._patience.problem

    @property
    def redis_run_id(self) -> str:
        """The id of the Redis process that has the stream."""
        return self._pipeline.process.run_id

    # What the engine calls

    def adopt(self) -> Adopted:
        """Take the session over and find out where to go on.

        Waits for Redis as long as it takes. Raises SessionTaken, RedisRefused, Stopped; and Fenced when this producer
        had the session before and lost it. Batches that were not acknowledged are forgotten: reposition the source.
        """
        self._pipeline.ready = False
        while True:
            try:
                found = self._adoption.run(None if self._pipeline.doubtful else self._memory, self._new_epoch)
                break
            except LOST as exc:
                problem = f"Redis is unreachable: {exc}"
            except ResponseError as exc:
                refuse_unless_temporary(exc)
                problem = f"Redis refuses: {exc}"
            except (QueueLost, NotYet) as exc:
                # Somebody touched the keys in the midst of it; the next attempt sees what they are now.
                problem = str(exc)
            self._wire.close()
            self._patience.pause(problem)
        adopted = found.adopted
        self._next = adopted.next_sequence
        self._jump = adopted.gap.next_sequence if adopted.gap is not None else 0
        self._remember(adopted.epoch, found.seen, found.seen_live)
        self._pipeline.restart(found)
        self._patience.reached()
        self._patience.resume()
        return adopted

    def publish(
        self,
        batch: bytes,
        first_sequence: int,
        last_sequence: int,
        *,
        wake: threading.Event,
        arrival_time_ns: int,
        checkpoint: Checkpoint | None = None,
        urgent: bool = False,
        repeatable: bool = True,
        watermark_ns: int | None = None,
        order_state: bytes = b"",
    ) -> bool:
        """Append a batch; returns before Redis has acknowledged it.

        It leaves when eight batches are together, with the first call after `linger_ns`, with `tend` or `flush`, and at once
        when `urgent` or when a checkpoint goes with it (in the same transaction). False: nothing was appended, because
        `wake` was set while waiting for room; call again with the same batch. `batch` must not change afterwards.
        `watermark_ns`: nothing behind the batch arrives before it, which whoever merges partitions is told in the same transaction.
        `order_state` is stored in its transaction, for who adopts the session behind this batch.
        Not `repeatable`: counting from the beginning does not lead here again; live records never are.
        Raises Fenced, QueueLost, Stopped.
        """
        self._require_ready()
        mode = self._check(batch, first_sequence, last_sequence)
        entry = BacklogEntry(first_sequence, last_sequence, len(batch), arrival_time_ns)
        if (self._pipeline.blocked or not self._backlog.has_room(entry)) and not self._make_room(entry, wake):
            return False
        self._backpressure.append(entry)
        self._next, self._jump = last_sequence + 1, self._jump if self._jump > last_sequence + 1 else 0
        once = mode == MODE_LIVE or not repeatable
        self._remember(self._epoch, last_sequence, last_sequence if once else 0)
        if watermark_ns is not None:
            self._pipeline.tell(Watermark(last_sequence, watermark_ns))
        self._pipeline.append(Batch(entry, batch, order_state), checkpoint, urgent=urgent)
        return True

    def tell_watermark(self, arrival_time_ns: int) -> None:
        """Store that nothing behind what was published so far arrives before this; sends what lingers, too. Raises as `publish`."""
        self._require_ready()
        self._pipeline.tell(Watermark(self._next - 1, arrival_time_ns))
        self.tend()

    def save(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint, after everything published before; returns when Redis has it."""
        self._require_ready()
        self._pipeline.store(checkpoint)
        self.flush()

    def flush(self) -> None:
        """Wait until everything published is acknowledged. Raises Fenced, QueueLost, Stopped."""
        self._require_ready()
        pipeline, wait_s = self._pipeline, WAIT_S_MIN
        while not pipeline.settled:
            pipeline.advance()
            if pipeline.blocked:
                self._patience.wait_or_stop(pipeline.blocked, wait_s)
                wait_s = min(2 * wait_s, WAIT_S_MAX)
        self._patience.resume()

    def tend(self) -> None:
        """Renew the lease, look at the groups, trim, send what lingers; call it every 500 ms when idle."""
        self._require_ready()
        pipeline = self._pipeline
        if pipeline.idle:
            return
        pipeline.advance()
        if pipeline.blocked:
            self._patience.announce(pipeline.blocked)
        else:
            self._patience.resume()

    def entries_around(self, sequence: int, count: int = 2) -> list[bytes]:
        """Return `count` entries, the first of which begins at or before `sequence`, newest first, as far as they are retained.

        Everything published is flushed first.
        """
        self.flush()
        return self._pipeline.read_back(sequence, count=count)

    def close(self) -> None:
        """Give the session up so that another producer need not wait; what was not flushed is not appended any more."""
        if not self._wire.is_open:
            return
        try:
            if self._pipeline.ready:
                self._pipeline.release()
        except (*LOST, ResponseError, Stopped, QueueLost) as exc:
            logger.debug("lease not released", extra=fields(reason=exc))
        except Exception as exc:  # noqa: BLE001  closing must not hide what ended the engine
            logger.info("lease not released", extra=fields(reason=exc))
        finally:
            self._pipeline.close()

    def _make_room(self, entry: BacklogEntry, wake: threading.Event) -> bool:
        """Wait until `entry` fits; False when `wake` came first."""
        pipeline, patience, wait_s = self._pipeline, self._patience, self._room_wait_s
        wait_s_max = max(WAIT_S_MAX, 2 * wait_s)
        while True:
            # Readers cannot make room for what they have not got.
            pipeline.advance(poll=True)
            while not pipeline.acknowledged and not pipeline.blocked:
                pipeline.advance()
            if not pipeline.blocked and self._backlog.has_room(entry):
                patience.resume()
                return True
            if wake.is_set():
                patience.resume()
                return False
            patience.raise_if_stopping()
            patience.wait(pipeline.blocked or self._backpressure.holding, wake, wait_s)
            wait_s = min(2 * wait_s, wait_s_max)

    # Checks

    @property
    def _epoch(self) -> str:
        return "" if self._memory is None else self._memory.epoch

    def _remember(self, epoch: str, sequence: int, live_sequence: int) -> None:
        before = self._memory
        if before is not None and before.epoch == epoch:
            sequence, live_sequence = max(before.sequence, sequence), max(before.live_sequence, live_sequence)
        self._memory = Memory(epoch, sequence, live_sequence)

    def _check(self, batch: bytes, first_sequence: int, last_sequence: int) -> int:
        """Refuse what would leave a hole or a repeat; returns the mode of the batch."""
        head = peek(batch)
        if (head.epoch, head.first_sequence, head.last_sequence) != (self._epoch, first_sequence, last_sequence):
            raise Bug(
                f"the batch says {head.epoch} {head.first_sequence}..{head.last_sequence}, "
                f"the call says {self._epoch} {first_sequence}..{last_sequence}"
            )
        if first_sequence not in (self._next, self._jump) or last_sequence < first_sequence:
            raise Bug(f"records {first_sequence}..{last_sequence} do not follow {self._next - 1}")
        return head.mode

    def _require_ready(self) -> None:
        if not self._pipeline.ready:
            raise Bug("adopt() has to come first")

    def _new_epoch(self) -> str:
        return f"{self._random.getrandbits(64):016x}"
