"""What it takes until a record counts as acknowledged: the node has it, a replica has it, a disk has it."""

from __future__ import annotations

import enum
import re
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from services.replay.queue.errors import RedisRefused
from services.replay.queue.wire import pack
from services.runtime.clock import Clock

ASK_MS: Final = 250
"""How long Redis may keep one question. Until it answers, the producer's thread does nothing else; then it asks again."""


class Level(enum.StrEnum):
    """What "acknowledged" means, weakest first."""

    MEMORY = "memory"
    REPLICA = "replica"
    DURABLE = "durable"


_QUESTIONS: Final = {
    Level.REPLICA: pack("WAIT", 1, ASK_MS),
    Level.DURABLE: pack("WAITAOF", 1, 0, ASK_MS),
}
_NEVER: Final = re.compile(r"NOPERM|(ERR )?unknown command|this user has no permissions", re.IGNORECASE)
_MISSING: Final = {
    Level.REPLICA: "no replica has confirmed",
    Level.DURABLE: "Redis has not synced its append-only file",
}


class Confirmation:
    """Asks Redis whether what this connection wrote is as safe as it has to be, and says for how long it has not been.

    The question is about everything that the connection has written. So a new connection has to write something before it asks
    about what an older one wrote; otherwise it asks about nothing, which every replica has.
    """

    def __init__(self, level: Level, clock: Clock, *, promised: bool = False) -> None:
        """`promised`: the engine acknowledges nothing before it is durable, so that nobody has to ask."""
        self.level = level
        self._clock = clock
        self.is_promised = promised and level is Level.DURABLE
        """Whether the engine is taken at its word."""
        self.question = b"" if self.is_promised else _QUESTIONS.get(level, b"")
        """The packed command; empty where everything that was executed counts."""
        self._missing_since_ns = 0

    @property
    def replies(self) -> int:
        """How many replies the question has."""
        return 1 if self.question else 0

    def missing(self, replies: list[Any]) -> str:
        """Return what is missing, for people, from the replies to the question; empty when it is confirmed.

        Raises RedisRefused where the engine does not know the question, RedisConnectionError when it cannot answer now.
        """
        if replies:
            answer = replies[0]
            if isinstance(answer, ResponseError):
                if not _NEVER.match(str(answer)):
                    # It is no primary any more, or not for long.
                    raise RedisConnectionError(f"Redis does not say what is {self.level}: {answer}")
                raise RedisRefused(
                    f"MIDSTREAM_ACKNOWLEDGED={self.level}: Redis cannot tell ({answer}); use memory, or another engine"
                )
            if not (answer[0] if isinstance(answer, list) else answer):
                return self._still_missing()
        self._missing_since_ns = 0
        return ""

    def _still_missing(self) -> str:
        now_ns = self._clock.monotonic_ns()
        self._missing_since_ns = self._missing_since_ns or now_ns - ASK_MS * 1_000_000
        seconds = (now_ns - self._missing_since_ns) // 1_000_000_000
        return f"{_MISSING[self.level]} for {seconds} s" if seconds else f"{_MISSING[self.level]} yet"
