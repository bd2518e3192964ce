"""Append batches to a session's stream: exactly once, in order, and never over the head of a slow reader.

How it holds together:

- Every append is one MULTI/EXEC, bound by WATCH to the fence (another producer) and to the stream (somebody deleted
it). The
  commands that bind the next transaction travel behind EXEC, so there is no extra round trip; the next transaction is
  sent only after their replies said that the fence is still ours. Commands of consumer groups do not touch a watched
  stream.
- One transaction may be unanswered while the next one is filled, so encoding overlaps Redis.
- When a reply is lost, the outcome is read from the stream: entry ids are sequences, so what is in is known, and the
rest is sent
  again. The newest entry is never trimmed, because it is the record of what is in.
- Nothing here retries behind the engine's back, and every wait ends with `stopping`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from random import Random
from typing import Any, Final

from redis.exceptions import ResponseError

from fastpath.frame import MODE_LIVE, peek
from services.replay.queue.backlog import Backlog, Entry
from services.replay.queue.claim import RENEW_NS, Claim
from services.replay.queue.errors import Fenced, QueueLost, RedisRefused, Stopped
from services.replay.queue.groups import GroupTracker, parse_id
from services.replay.queue.model import Adopted, Checkpoint, Memory, QueueLimits, SinkExpectation
from services.replay.queue.stream import Adoption, read_groups, tail_sequence
from services.replay.queue.transaction import Batch, Outcome, Transaction, is_temporary
from services.replay.queue.wire import LOST, Wire, pack
from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.clock import Clock
from services.runtime.errors import Bug
from services.runtime.faults import fault
from services.runtime.keys import SessionKeys

logger = logging.getLogger(__name__)

BATCHES_PER_TRANSACTION: Final = 8
"""In paired runs with 4,096 ticks each, 8 carried 1.0 to 1.5 times what 4 did."""
LINGER_NS: Final = 2_000_000
"""How long a batch may wait for others to share its transaction."""
POLL_NS: Final = 500_000_000
"""How old the knowledge about consumer groups may be."""
_WAIT_S_MIN: Final = 0.001
_WAIT_S_MAX: Final = 0.02
_HEARTBEAT_NS: Final = 250_000_000
_RECONNECT: Final = BackoffPolicy(base_s=0.02, cap_s=1.0)


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
    ) -> None:
        self._keys = keys
        self._limits = limits
        self._stopping = stopping
        self._clock = clock
        self._random = random
        self._on_state = on_state
        # The process id keeps two producers apart whose random numbers were seeded alike.
        self._claim = Claim(keys, f"{random.getrandbits(96):024x}.{os.getpid():x}")
        try:
            self._wire = Wire(url, client_name=self._claim.holder.client_name, stopping=stopping)
        except ValueError as exc:
            raise RedisRefused(f"the Redis URL cannot be used: {exc}; use redis://, rediss:// or unix://") from exc
        self._adoption = Adoption(
            url=url,
            wire=self._wire,
            keys=keys,
            claim=self._claim,
            sinks=sinks,
            live_configured=live_configured,
            stopping=stopping,
            clock=clock,
        )
        self._backlog = Backlog(limits)
        self._groups = GroupTracker(expected=sinks.names, lease_s=limits.group_lease_s)
        self._backoff = Backoff(random, _RECONNECT)

        self._memory: Memory | None = None
        self._ready = False
        self._next = 0
        self._jump = 0
        """The one other sequence that may come next: the one that a gap marker announces."""
        self._filling: list[Batch] = []
        self._filling_since_ns = 0
        self._checkpoint: Checkpoint | None = None
        self._inflight: Transaction | None = None
        self._tail = 0
        """First sequence of the newest acknowledged entry; 0 before the first."""
        self._length = 0
        self._blocked = ""
        """Why Redis executes nothing at the moment; empty when it does."""
        self._renewed_ns = 0
        self._polled_ns = 0
        self._since_poll = [0, 0]
        self._poll_after = [0, 0]

        self.redis_run_id = ""
        self.waiting = False
        self.problem = ""
        """What is waited for, for people; empty when nothing is."""
        self._heartbeat_ns = 0

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
        """Whether everything published so far is in the stream."""
        return self._inflight is None and not self._filling

    # What the engine calls

    def adopt(self) -> Adopted:
        """Take the session over and find out where to go on.

        Waits for Redis as long as it takes. Raises SessionTaken, RedisRefused, Stopped; and Fenced when this producer
        had the session before and lost it. Batches that were not acknowledged are forgotten: reposition the source.
        """
        self._ready = False
        while True:
            try:
                found = self._adoption.run(self._memory, self._new_epoch)
                break
            except LOST as exc:
                self._pause(f"Redis is unreachable: {exc}")
            except ResponseError as exc:
                self._refuse_unless_temporary(exc)
                self._pause(f"Redis refuses: {exc}")
        adopted = found.adopted
        self.redis_run_id = found.run_id
        self._filling.clear()
        self._checkpoint = None
        self._inflight = None
        self._blocked = ""
        self._tail, self._length = found.tail, found.length
        self._next = adopted.next_sequence
        self._jump = adopted.gap.next_sequence if adopted.gap is not None else 0
        self._remember(adopted.epoch, found.seen, found.seen_live)
        self._backlog.restart(found.entries)
        self._renewed_ns = self._polled_ns = self._clock.monotonic_ns()
        self._since_poll, self._poll_after = [0, 0], [0, 0]
        self._backoff.reset()
        self._ready = True
        self._resume()
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
    ) -> bool:
        """Append a batch; returns before Redis has acknowledged it.

        It leaves when eight batches are together, with the first call after 2 ms, with `tend` or `flush`, and at once
        when `urgent` or when a checkpoint goes with it (in the same transaction). False: nothing was appended, because
        `wake` was set while waiting for room; call again with the same batch. `batch` must not change afterwards.
        Raises Fenced, QueueLost, Stopped.
        """
        self._require_ready()
        mode = self._check(batch, first_sequence, last_sequence)
        entry = Entry(first_sequence, last_sequence, len(batch), arrival_time_ns)
        if (self._blocked or not self._backlog.has_room(entry)) and not self._make_room(entry, wake):
            return False
        now_ns = self._clock.monotonic_ns()
        if not self._filling:
            self._filling_since_ns = now_ns
        self._filling.append(Batch(entry, batch))
        self._backlog.append(entry)
        self._since_poll[0] += entry.size
        self._since_poll[1] += last_sequence - first_sequence + 1
        self._next, self._jump = last_sequence + 1, self._jump if self._jump > last_sequence + 1 else 0
        self._remember(self._epoch, last_sequence, last_sequence if mode == MODE_LIVE else 0)
        if checkpoint is not None:
            self._checkpoint = checkpoint
        full = len(self._filling) >= BATCHES_PER_TRANSACTION
        if full or urgent or checkpoint is not None or now_ns - self._filling_since_ns >= LINGER_NS:
            self._advance()
        return True

    def save(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint, after everything published before; returns when Redis has it."""
        self._require_ready()
        self._checkpoint = checkpoint
        self.flush()

    def flush(self) -> None:
        """Wait until everything published is acknowledged. Raises Fenced, QueueLost, Stopped."""
        self._require_ready()
        wait_s = _WAIT_S_MIN
        while self._inflight is not None or self._filling or self._checkpoint is not None:
            self._advance()
            if self._blocked:
                self._wait(self._blocked, self._stopping, wait_s)
                self._raise_if_stopping()
                wait_s = min(2 * wait_s, _WAIT_S_MAX)
        self._resume()

    def tend(self) -> None:
        """Renew the lease, look at the groups, trim, send what lingers; call it every 500 ms when idle."""
        self._require_ready()
        now_ns = self._clock.monotonic_ns()
        if self.acknowledged and not self._blocked and not self._lease_is_due(now_ns) and not self._poll_is_due(now_ns):
            return
        self._advance()
        if self._blocked:
            self._wait(self._blocked, self._stopping, 0.0)

    def close(self) -> None:
        """Give the session up so that another producer need not wait; what was not flushed is not appended any more."""
        if not self._wire.is_open:
            return
        try:
            if self._ready:
                if self._inflight is not None:
                    self._wire.read(self._inflight.queued + 5)
                self._claim.arm(self._wire)
                self._claim.release(self._wire)
        except (*LOST, ResponseError, Stopped, QueueLost) as exc:
            logger.debug("lease not released: %s", exc)
        except Exception as exc:  # noqa: BLE001  closing must not hide what ended the engine
            logger.info("lease not released: %s", exc)
        finally:
            self._ready = False
            self._inflight = None
            self._wire.close()

    # Room

    def _make_room(self, entry: Entry, wake: threading.Event) -> bool:
        """Wait until `entry` fits; False when `wake` came first."""
        wait_s = _WAIT_S_MIN
        while True:
            # Readers cannot make room for what they have not got.
            self._advance(poll=True)
            while not self.acknowledged and not self._blocked:
                self._advance()
            if not self._blocked and self._backlog.has_room(entry):
                self._resume()
                return True
            if wake.is_set():
                self._resume()
                return False
            self._raise_if_stopping()
            self._wait(self._blocked or self._groups.holding, wake, wait_s)
            wait_s = min(2 * wait_s, _WAIT_S_MAX)

    # The pipeline

    def _advance(self, *, poll: bool = False) -> None:
        """Settle the transaction before, then send the next one if there is anything to send."""
        while True:
            try:
                self._complete()
                if poll or self._blocked or self._poll_is_due(self._clock.monotonic_ns()):
                    self._poll()
                if self._blocked:
                    self._relieve()
                self._send()
                return
            except (Fenced, QueueLost):
                self._ready = False
                raise
            except LOST as exc:
                self._recover(exc)
            except ResponseError as exc:
                self._refuse_unless_temporary(exc)
                self._recover(exc)

    def _send(self) -> None:
        transaction = self._next_transaction()
        if not transaction:
            return
        if transaction.checkpoint is not None:
            fault("before_checkpoint")
        if transaction.batches:
            fault("before_xadd")
        self._inflight = transaction
        del self._filling[: len(transaction.batches)]
        if self._filling:
            self._filling_since_ns = self._clock.monotonic_ns()
        self._wire.send(list(transaction.chunks(self._keys.ticks, self._claim.arming, create=not self._tail)))
        if transaction.batches:
            fault("after_xadd")

    def _next_transaction(self) -> Transaction:
        now_ns = self._clock.monotonic_ns()
        transaction = Transaction()
        if self._lease_is_due(now_ns):
            self._renewed_ns = now_ns
            transaction.commands["lease"] = self._claim.renewal()
        floor = self._trim_floor()
        if floor:
            transaction.commands["trim"] = self._claim.trim(floor, self._groups.ignored)
        transaction.batches = self._filling[:BATCHES_PER_TRANSACTION]
        if self._checkpoint is not None and len(transaction.batches) == len(self._filling):
            transaction.checkpoint, self._checkpoint = self._checkpoint, None
            transaction.commands["checkpoint"] = pack(
                *("HSET", self._keys.checkpoint, "epoch", self._epoch, "run_id", self.redis_run_id),
                *transaction.checkpoint.fields(),
            )
        return transaction

    def _trim_floor(self) -> int:
        """Return up to where to trim, 0 for not now; never the newest entry that is in: it tells how far we came."""
        floor = min(self._backlog.trim_floor(thrifty=bool(self._blocked)), self._tail)
        return floor if floor > self._backlog.oldest_sequence else 0

    def _relieve(self) -> None:
        """Do without a transaction what must go on while Redis takes none: trim, and keep the lease."""
        now_ns = self._clock.monotonic_ns()
        if self._lease_is_due(now_ns):
            self._renewed_ns = now_ns
            self._claim.renew(self._wire)
        floor = self._trim_floor()
        if floor:
            self._note_trim(self._wire.call_packed(self._claim.trim(floor, self._groups.ignored)))
            # The trim touched the stream that the next transaction is bound to.
            self._length = self._claim.arm(self._wire)

    def _note_trim(self, result: list[Any] | None) -> None:
        if result is None:
            raise Fenced("another producer took the session over")
        self._length -= int(result[0])
        self._backlog.trimmed(parse_id(result[1]))

    def _complete(self) -> None:
        """Read the replies to the transaction under way and act on them."""
        transaction = self._inflight
        if transaction is None:
            return
        replies = self._wire.read(transaction.queued + 5)
        outcome = transaction.outcome(replies[:-3])
        _, fence, length = replies[-3:]
        if outcome.error is not None:
            self._claim.verify(fence)
            self._refuse_unless_temporary(outcome.error)
            self._settle()
            self._blocked = f"Redis refuses: {outcome.error}"
            return
        if outcome.touched:
            self._claim.verify(fence)
            self._settle()
            return
        self._inflight = None
        self._blocked = ""
        self._acknowledge(transaction, outcome)
        self._claim.verify(fence)
        if length != self._length:
            # Entries that somebody deleted do not matter as long as the newest one is there.
            self._settle()
        self._backoff.reset()
        if transaction.checkpoint is not None:
            fault("after_checkpoint")

    def _acknowledge(self, transaction: Transaction, outcome: Outcome) -> None:
        for batch, added in zip(transaction.batches, outcome.added, strict=True):
            if isinstance(added, ResponseError):
                raise QueueLost(
                    f"Redis refused entry 0-{batch.entry.first}: {added}; somebody else wrote to the stream"
                )
            if added is None:
                raise QueueLost("the stream is gone: somebody deleted it")
            self._tail = batch.entry.first
            self._length += 1
        for name, result in outcome.results.items():
            if isinstance(result, ResponseError):
                raise RedisRefused(f"Redis refused to write the {name}: {result}")
            if name == "trim":
                self._note_trim(result)
            elif name == "lease":
                self._claim.lease_gone = result == 0

    def _settle(self) -> None:
        """Find out from the armed stream which entries under way are in; keep the others for the next transaction."""
        # Until both answers are here nothing is changed, so that losing the connection again loses nothing else.
        newest = tail_sequence(self._wire, self._keys.ticks, self._epoch)
        length = int(self._wire.call("XLEN", self._keys.ticks))
        transaction, self._inflight = self._inflight, None
        batches = transaction.batches if transaction is not None else []
        expected = {self._tail, *(batch.entry.first for batch in batches)}
        if newest not in expected or newest < self._tail:
            raise QueueLost(
                f"the newest entry is 0-{newest}, it should be 0-{max(expected)} or at least 0-{self._tail}"
            )
        left = [batch for batch in batches if batch.entry.first > newest]
        if length != self._length + len(batches) - len(left):
            logger.warning(
                "stream has another length than what we put in: found=%d; only the producer may trim it", length
            )
        self._tail = newest
        if left:
            self._filling_since_ns = self._clock.monotonic_ns()
        self._filling[:0] = left
        executed = bool(batches) and not left
        if transaction is not None and self._checkpoint is None and not executed:
            self._checkpoint = transaction.checkpoint
        self._length = length

    def _recover(self, cause: Exception) -> None:
        """Connect again, make sure that nothing of the old connection comes in late, and settle."""
        logger.warning("connection to Redis lost: %s", cause)
        while True:
            self._pause(f"Redis is unreachable: {cause}")
            try:
                self._wire.open()
                self._claim.confirm(self._wire)
                self._claim.arm(self._wire)
                self.redis_run_id = self._adoption.read_run_id()
                self._settle()
            except LOST as exc:
                cause = exc
            except ResponseError as exc:
                self._refuse_unless_temporary(exc)
                cause = exc
            else:
                logger.info("connected to Redis again: run_id=%s resending=%d", self.redis_run_id, len(self._filling))
                self._resume()
                return

    # Groups

    def _lease_is_due(self, now_ns: int) -> bool:
        return now_ns - self._renewed_ns >= RENEW_NS

    def _poll_is_due(self, now_ns: int) -> bool:
        return (
            now_ns - self._polled_ns >= POLL_NS
            or self._since_poll[0] > self._poll_after[0]
            or self._since_poll[1] > self._poll_after[1]
        )

    def _poll(self) -> None:
        """Ask how far the groups are. Nothing is under way on the connection."""
        now_ns = self._clock.monotonic_ns()
        read_groups(self._wire, self._keys.ticks, self._groups, now_ns)
        self._backlog.commit(self._groups.committed())
        self._polled_ns = now_ns
        self._since_poll = [0, 0]
        self._poll_after = [self._backlog.room // 2, max(0, self._limits.high_records - self._backlog.records) // 2]

    # Waiting

    def _pause(self, problem: str) -> None:
        """Wait before the next attempt to reach Redis; raises Stopped."""
        self._wire.close()
        self._wait(problem, self._stopping, self._backoff.next_s())
        self._raise_if_stopping()

    def _wait(self, problem: str, event: threading.Event, seconds: float) -> None:
        now_ns = self._clock.monotonic_ns()
        if not self.waiting:
            logger.info("waiting: %s", problem)
        if not self.waiting or problem != self.problem or now_ns - self._heartbeat_ns >= _HEARTBEAT_NS:
            self.waiting, self.problem, self._heartbeat_ns = True, problem, now_ns
            self._on_state("BACKPRESSURED")
        event.wait(seconds)

    def _resume(self) -> None:
        if self.waiting:
            self.waiting, self.problem = False, ""
            self._on_state("RUNNING")

    def _raise_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise Stopped("told to stop")

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
        if not self._ready:
            raise Bug("adopt() has to come first")

    def _refuse_unless_temporary(self, error: ResponseError) -> None:
        if not is_temporary(error):
            raise RedisRefused(f"Redis refuses to work for us: {error}") from error

    def _new_epoch(self) -> str:
        return f"{self._random.getrandbits(64):016x}"
