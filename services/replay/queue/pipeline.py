"""Sending transactions and settling what became of them: every entry exactly once, in order.

- Every append is one MULTI/EXEC, bound by WATCH to the fence (another producer) and to the stream (somebody deleted
  it). The commands that bind the next transaction travel behind EXEC, so there is no extra round trip; the next
  transaction is sent only after their replies said that the fence is still ours. Commands of consumer groups do not
  touch a watched stream.
- One transaction may be unanswered while the next one is filled, so encoding overlaps Redis.
- When a reply is lost, the outcome is read from the stream: entry ids are sequences, so what is in is known, and the
  rest is sent again. The newest entry is never trimmed, because it is the record of what is in.
- Where more than one node has to have what is acknowledged, the question (WAIT) travels behind the transaction. What is in and
  not confirmed is asked about again, and never appended again, unless a change of primary lost it: then the same bytes go out
  under the same ids.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from redis.exceptions import ResponseError

from services.replay.queue.acknowledgement import Confirmation
from services.replay.queue.backpressure import Backpressure
from services.replay.queue.claim import Claim
from services.replay.queue.errors import Fenced, QueueLost, RedisRefused
from services.replay.queue.groups import parse_id
from services.replay.queue.model import Checkpoint, RedisProcess, Watermark
from services.replay.queue.patience import Patience
from services.replay.queue.stream import Found, read_process, tail_sequence
from services.replay.queue.transaction import Batch, Transaction, TransactionOutcome, refuse_unless_temporary
from services.replay.queue.wire import LOST, Wire, pack
from services.runtime.clock import Clock
from services.runtime.faults import fault
from services.runtime.log_fields import fields
from services.runtime.session.effects import EFFECTS_MAX
from services.runtime.session.holders import LEASE_MS
from services.runtime.session.keys import SessionKeys

logger = logging.getLogger(__name__)

BATCHES_PER_TRANSACTION: Final = 8
"""In paired runs with 4,096 ticks each, 8 carried 1.0 to 1.5 times what 4 did."""
LINGER_NS: Final = 2_000_000
"""How long a batch may wait for others to share its transaction."""
SHARED_LINGER_NS: Final = 30_000_000
"""The same for one of several partitions. Its rows are some of those that it reads, and its engine shares the cores: a batch takes longer
to fill, and within 2 ms none had company. Redis and the sink then pay for a transaction, a wake-up and a read per batch."""


class Pipeline:
    """Batches on their way into the stream: those that wait for company, and the transaction under way.

    `ready` is False before the first adoption, and again after Fenced or QueueLost.
    """

    def __init__(
        self,
        *,
        wire: Wire,
        keys: SessionKeys,
        claim: Claim,
        backpressure: Backpressure,
        patience: Patience,
        confirmation: Confirmation,
        clock: Clock,
        linger_ns: int = LINGER_NS,
    ) -> None:
        self._wire = wire
        self._keys = keys
        self._claim = claim
        self._backpressure = backpressure
        self._patience = patience
        self._confirmation = confirmation
        self._clock = clock
        self._linger_ns = linger_ns

        self._epoch = ""
        self._filling: list[Batch] = []
        self._filling_since_ns = 0
        self._checkpoint: Checkpoint | None = None
        self._stored: Checkpoint | None = None
        """The last one that was executed."""
        self._watermark: Watermark | None = None
        self._told: Watermark | None = None
        """The last one that was sent."""
        self._inflight: Transaction | None = None
        self._unconfirmed: Transaction | None = None
        """Executed, and not as safe yet as it has to be to count as acknowledged."""
        self._tail = 0
        """First sequence of the newest entry that is in; 0 before the first."""
        self._length = 0

        self.ready = False
        self.blocked = ""
        """Why Redis executes nothing at the moment; empty when it does."""
        self.process = RedisProcess("", replicated=False, promoted=False)
        """Who has the stream."""
        self.doubtful = False
        """Another producer may have had the session since, on a node that is gone: what this one remembers is not all there was."""
        self._heard_ns = 0
        """When Redis last said that the session is ours."""

    @property
    def acknowledged(self) -> bool:
        """Whether every batch is in the stream, and confirmed where that is asked for."""
        return self._inflight is None and self._unconfirmed is None and not self._filling

    @property
    def settled(self) -> bool:
        """Whether Redis has everything, checkpoints included."""
        return self.acknowledged and self._checkpoint is None and self._watermark is None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do at the moment, not even keeping the lease or looking at the groups."""
        now_ns = self._clock.monotonic_ns()
        return (
            self.acknowledged
            and self._watermark is None
            and not self.blocked
            and not self._claim.renewal_is_due(now_ns)
            and not self._backpressure.poll_is_due(now_ns)
        )

    def restart(self, found: Found) -> None:
        """Go on where adoption armed the connection; whatever was on its way is forgotten."""
        self._epoch, self.process, self.doubtful = found.adopted.epoch, found.process, False
        self._filling.clear()
        self._checkpoint = self._stored = None
        self._watermark = self._told = None
        self._inflight = self._unconfirmed = None
        self._tail, self._length = found.tail, found.length
        self.blocked = ""
        now_ns = self._clock.monotonic_ns()
        self._backpressure.restart(found.entries, now_ns)
        self._claim.note_renewal(now_ns)
        self._heard_ns = now_ns
        self.ready = True

    def append(self, batch: Batch, checkpoint: Checkpoint | None, *, urgent: bool) -> None:
        """Add a batch, and send when there is enough or when it cannot wait. Raises Fenced, QueueLost, Stopped."""
        now_ns = self._clock.monotonic_ns()
        if not self._filling:
            self._filling_since_ns = now_ns
        self._filling.append(batch)
        if checkpoint is not None:
            self._checkpoint = checkpoint
        full = len(self._filling) >= BATCHES_PER_TRANSACTION
        if full or urgent or checkpoint is not None or now_ns - self._filling_since_ns >= self._linger_ns:
            self.advance()

    def store(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint stored behind every batch so far; `advance` sends it."""
        self._checkpoint = checkpoint

    def tell(self, watermark: Watermark) -> None:
        """Have a watermark stored with the batches before it, or behind them; `advance` sends it. The last one counts."""
        self._watermark = watermark

    def advance(self, *, poll: bool = False) -> None:
        """Settle the transaction before, then send the next one if there is anything to send."""
        while True:
            try:
                self._complete()
                self._confirm()
                if poll or self.blocked or self._backpressure.poll_is_due(self._clock.monotonic_ns()):
                    self.poll()
                if self.blocked:
                    self._relieve()
                self._send()
                return
            except (Fenced, QueueLost):
                self.ready = False
                raise
            except LOST as exc:
                self._recover(exc)
            except ResponseError as exc:
                refuse_unless_temporary(exc)
                self._recover(exc)

    def poll(self) -> None:
        """Ask how far the groups are. Nothing is under way on the connection."""
        self._backpressure.poll(self._wire, self._keys.ticks, self._clock.monotonic_ns())

    def read_back(self, sequence: int, *, count: int) -> list[bytes]:
        """Return up to `count` entries that begin at or before `sequence`, newest first. Nothing is under way on the connection."""
        while True:
            try:
                found = self._wire.call("XREVRANGE", self._keys.ticks, f"0-{sequence}", "-", "COUNT", count)
            except LOST as exc:
                self._recover(exc)
                continue
            return [fields[1] for _, fields in found]

    def release(self) -> None:
        """Take the replies that are due and give up the lease; raises whatever stands in the way."""
        if self._inflight is not None:
            self._wire.read(self._inflight.queued + 5 + self._confirmation.replies)
        self._claim.arm(self._wire)
        self._claim.release(self._wire)

    def close(self) -> None:
        """Drop the connection, and what was under way."""
        self.ready = False
        self._inflight = self._unconfirmed = None
        self._wire.close()

    # Sending

    def _send(self) -> None:
        if self._unconfirmed is not None:
            # One at a time, so that what a change of primary can lose is in our hands.
            return
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
        behind = self._claim.arming + self._confirmation.question
        self._wire.send(list(transaction.chunks(self._keys.ticks, behind, create=not self._tail)))
        if transaction.batches:
            fault("after_xadd")

    def _next_transaction(self) -> Transaction:
        now_ns = self._clock.monotonic_ns()
        transaction = Transaction()
        if self._claim.renewal_is_due(now_ns):
            self._claim.note_renewal(now_ns)
            transaction.commands["lease"] = self._claim.renewal()
        floor = self._trim_floor()
        if floor:
            transaction.commands["trim"] = self._claim.trim(floor, self._backpressure.ignored)
        transaction.batches = self._filling[:BATCHES_PER_TRANSACTION]
        if self._watermark is not None and len(transaction.batches) == len(self._filling):
            transaction.watermark, self._watermark = self._watermark, None
            self._told = transaction.watermark
            transaction.commands["watermark"] = pack(
                "SET", self._keys.watermark, transaction.watermark.encode(self._epoch)
            )
        if transaction.batches and (newest := transaction.batches[-1]).order_state:
            transaction.commands["order"] = pack(
                *("HSET", self._keys.order, "epoch", self._epoch, "sequence", newest.entry.last),
                *("state", newest.order_state),
            )
        if self._checkpoint is not None and len(transaction.batches) == len(self._filling):
            transaction.checkpoint, self._checkpoint = self._checkpoint, None
            transaction.commands["checkpoint"] = pack(
                *("HSET", self._keys.checkpoint, "epoch", self._epoch, "run_id", self.process.run_id),
                *("replicated", int(self.process.replicated)),
                *transaction.checkpoint.fields(),
            )
            for effect in transaction.checkpoint.effects:
                transaction.commands[f"effect {effect.number}"] = pack(
                    *("XADD", self._keys.effects, "MAXLEN", "=", EFFECTS_MAX),
                    *(f"0-{effect.number}", "effect", effect.encode()),
                )
        return transaction

    def _relieve(self) -> None:
        """Do without a transaction what must go on while Redis takes none: trim, and keep the lease."""
        now_ns = self._clock.monotonic_ns()
        if self._claim.renewal_is_due(now_ns):
            self._claim.note_renewal(now_ns)
            self._claim.renew(self._wire)
        floor = self._trim_floor()
        if floor:
            self._note_trim(self._wire.call_packed(self._claim.trim(floor, self._backpressure.ignored)))
            # The trim touched the stream that the next transaction is bound to.
            self._length = self._claim.arm(self._wire)

    def _trim_floor(self) -> int:
        return self._backpressure.trim_floor(self._tail, thrifty=bool(self.blocked))

    def _note_trim(self, result: list[Any] | None) -> None:
        if result is None:
            raise Fenced("another producer took the session over")
        self._length -= int(result[0])
        self._backpressure.trimmed(parse_id(result[1]))

    # Settling

    def _complete(self) -> None:
        """Read the replies to the transaction under way and act on them."""
        transaction = self._inflight
        if transaction is None:
            return
        replies = self._wire.read(transaction.queued + 5)
        confirmed = self._wire.read(self._confirmation.replies)
        outcome = transaction.outcome(replies[:-3])
        _, fence, length = replies[-3:]
        if outcome.error is not None:
            self._claim.verify(fence)
            refuse_unless_temporary(outcome.error)
            self._settle()
            self.blocked = f"Redis refuses: {outcome.error}"
            return
        if outcome.touched:
            self._claim.verify(fence)
            self._settle()
            return
        self._inflight = None
        transaction.tail_before = self._tail
        self._note_executed(transaction, outcome)
        self._unconfirmed = transaction
        self._take_confirmation(confirmed)
        self._claim.verify(fence)
        if length != self._length:
            # Entries that somebody deleted do not matter as long as the newest one is there.
            self._settle()
        self._heard_ns = self._clock.monotonic_ns()
        self._patience.reached()
        if transaction.checkpoint is not None:
            fault("after_checkpoint")

    def _confirm(self) -> None:
        """Ask again about what was executed and not confirmed."""
        if self._unconfirmed is not None:
            self._wire.send([self._confirmation.question])
            self._take_confirmation(self._wire.read(self._confirmation.replies))

    def _take_confirmation(self, replies: list[Any]) -> None:
        self.blocked = self._confirmation.missing(replies)
        if not self.blocked:
            self._unconfirmed = None

    def _note_executed(self, transaction: Transaction, outcome: TransactionOutcome) -> None:
        for batch, added in zip(transaction.batches, outcome.added, strict=True):
            if isinstance(added, ResponseError):
                raise QueueLost(
                    f"Redis refused entry 0-{batch.entry.first}: {added}; somebody else wrote to the stream"
                )
            if added is None:
                raise QueueLost("the stream is gone: somebody deleted it")
            self._tail = batch.entry.first
            self._length += 1
        self._stored = transaction.checkpoint or self._stored
        for name, result in outcome.results.items():
            if isinstance(result, ResponseError):
                if name.startswith("effect") and "equal or smaller" in str(result):
                    continue  # it is there: a checkpoint whose reply was lost went out again
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
                "stream has another length than what we put in; only the producer may trim it",
                extra=fields(found=length),
            )
        executed = bool(batches) and not left
        if len(left) < len(batches) and self._confirmation.question:
            # They are on this node; who else has them is not known.
            self._unconfirmed = Transaction(
                batches=batches[: len(batches) - len(left)],
                checkpoint=transaction.checkpoint if transaction is not None and executed else None,
                tail_before=self._tail,
            )
        self._tail = newest
        if left:
            self._filling_since_ns = self._clock.monotonic_ns()
        self._filling[:0] = left
        if transaction is not None and not executed:
            self._checkpoint = self._checkpoint or transaction.checkpoint
            self._watermark = self._watermark or transaction.watermark
        self._length = length

    def _take_back(self) -> None:
        """Count what was not confirmed as under way again: another primary may not have it."""
        transaction, self._unconfirmed = self._unconfirmed, None
        if transaction is not None:
            self._inflight, self._tail = transaction, transaction.tail_before
            self._length -= len(transaction.batches)

    def _note_process(self, process: RedisProcess) -> None:
        """Have the last checkpoint written again where another process answers: it may not have what followed the newest entry."""
        if process.run_id != self.process.run_id and self._checkpoint is None:
            self._checkpoint = self._stored
        if process.run_id != self.process.run_id and self._watermark is None:
            self._watermark = self._told
        self.process = process

    def _check_absence(self, process: RedisProcess) -> None:
        """Raise QueueLost when somebody else may have had the session on a node that is gone: this one's fence does not tell."""
        absent_ns = self._clock.monotonic_ns() - self._heard_ns
        if process.run_id != self.process.run_id and process.replicated and absent_ns > LEASE_MS * 1_000_000:
            self.doubtful = True
            raise QueueLost(
                f"another Redis answers after {absent_ns / 1e9:.0f} s, in which another producer may have had the session"
            )

    def _recover(self, cause: Exception) -> None:
        """Connect again, make sure that nothing of the old connection comes in late, and settle."""
        logger.warning("connection to Redis lost", extra=fields(reason=cause))
        self._take_back()
        while True:
            self._wire.close()
            verb = "refuses" if isinstance(cause, ResponseError) else "is unreachable"
            self._patience.pause(f"Redis {verb}: {cause}")
            try:
                self._wire.open()
                self._claim.confirm(self._wire)
                self._claim.arm(self._wire)
                process = read_process(self._wire)
                self._check_absence(process)
                self._settle()
                self._note_process(process)
            except LOST as exc:
                cause = exc
            except ResponseError as exc:
                refuse_unless_temporary(exc)
                cause = exc
            else:
                logger.info(
                    "connected to Redis again", extra=fields(run_id=self.process.run_id, resending=len(self._filling))
                )
                self._patience.resume()
                return
