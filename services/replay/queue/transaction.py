"""One MULTI/EXEC of the producer, followed by the commands that arm the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from services.replay.queue.backlog import BacklogEntry
from services.replay.queue.errors import RedisRefused
from services.replay.queue.model import Checkpoint, Watermark
from services.replay.queue.wire import pack
from services.runtime.redis_refusals import temporary_code

_MULTI = pack("MULTI")
_EXEC = pack("EXEC")


class Batch(NamedTuple):
    """An encoded TickBatch and its place in the stream."""

    entry: BacklogEntry
    encoded: bytes
    order_state: bytes = b""
    """What to store with it about the order so far; empty is nothing."""


@dataclass
class Transaction:
    """What is sent at once, and what came back.

    Redis executes all of it or nothing: it is refused as a whole when the fence or the stream was touched since the
    arming, and when memory is short.
    """

    batches: list[Batch] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    watermark: Watermark | None = None
    commands: dict[str, bytes] = field(default_factory=dict)
    """Other packed commands by name, in order."""
    tail_before: int = 0
    """First sequence of the newest entry before it, once it was executed."""

    def __bool__(self) -> bool:
        return bool(self.batches or self.commands)

    def chunks(self, ticks: str, arm: bytes, *, create: bool) -> Iterator[bytes]:
        """Yield the bytes to send; payloads are not copied.

        Only the very first entry may `create` the stream: a stream that vanished must not come back with a hole at its
        start.
        """
        pending = _MULTI
        for batch in self.batches:
            options = () if create else ("NOMKSTREAM",)
            create = False
            head = pack("XADD", ticks, *options, f"0-{batch.entry.first}", "b")
            # The payload is one more argument than `pack` sees; it follows on its own, so that it is not copied.
            count = b"*%d\r\n" % (5 + len(options))
            pending += count + head[head.index(b"\r\n") + 2 :] + b"$%d\r\n" % len(batch.encoded)
            yield pending
            yield batch.encoded
            pending = b"\r\n"
        yield b"".join((pending, *self.commands.values(), _EXEC, arm))

    @property
    def queued(self) -> int:
        return len(self.batches) + len(self.commands)

    def outcome(self, replies: list[Any]) -> TransactionOutcome:
        """Read the replies to MULTI, to every command and to EXEC."""
        executed = replies[-1]
        refusals = [reply for reply in replies if isinstance(reply, ResponseError)]
        if refusals:
            # The first says why; EXEC's own says only that it was discarded.
            return TransactionOutcome(error=refusals[0])
        if executed is None:
            return TransactionOutcome(touched=True)
        named = dict(zip(self.commands, executed[len(self.batches) :], strict=True))
        return TransactionOutcome(added=executed[: len(self.batches)], results=named)


@dataclass(frozen=True)
class TransactionOutcome:
    """What became of a transaction."""

    added: list[Any] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    touched: bool = False
    """Nothing was executed: the fence or the stream was changed by somebody."""
    error: ResponseError | None = None
    """Nothing was executed: Redis refused."""


def refuse_unless_temporary(error: ResponseError) -> None:
    """Raise RedisRefused unless waiting may help: memory, disk, a failover, a long script."""
    if temporary_code(error) is None:
        raise RedisRefused(f"Redis refuses to work for us: {error}") from error
