"""Transactions that are bound to a fence, each in one round trip.

Behind every transaction the fence is watched and read again, for the next one: that one need not ask before it is sent. Redis executes it
only if nobody has touched the fence since it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import ExecAbortError, RedisError, ResponseError

from services.runtime.connection import at

Fill = Callable[[Any], object]
"""Puts commands into a transaction. It is called again where the transaction has to be sent again."""

_BEHIND: Final = 2
"""Replies to WATCH and HGET."""


class FencedConnection:
    """A connection of its own: any other command on it could end the watch. Nothing is ever sent twice from here. Made for one thread."""

    def __init__(self, client: Any, key: str, field: str) -> None:
        """The fence is a field of a hash. Nothing is sent before it is asked for."""
        self._client = client
        self._key = key
        self._watch = (("WATCH", key), ("HGET", key, field))
        self._pool: Any = None
        self._connection: Any = None
        self._is_watched = False
        self._fence: bytes | None = None

    def fence(self) -> bytes | None:
        """Return the fence as it was when the watch began that the next transaction is bound to."""
        if not self._is_watched or not self._is_in_step():
            self.close()
            self._pool = at(self._client, self._key).connection_pool
            self._connection = self._pool.get_connection()
            failure = self._settle(self._exchange(self._watch))
            if failure is not None:
                raise failure
        return self._fence

    def execute(self, fill: Fill, *, raise_on_error: bool) -> list[Any] | None:
        """Send what `fill` puts into a transaction, and return the replies; None when the fence was touched, with nothing executed.

        `fence` is called before. Raises what Redis answers with, and what redis-py raises where the outcome is unknown; then the next
        `fence` connects anew.
        """
        pipeline = self._client.pipeline(transaction=True)
        fill(pipeline)
        commands = [arguments for arguments, _ in pipeline.command_stack]
        replies = self._exchange((("MULTI",), *commands, ("EXEC",), *self._watch))
        *queued, done = replies[:-_BEHIND]
        self._settle(replies[-_BEHIND:])
        if isinstance(done, Exception):
            refused = (reply for reply in queued if isinstance(reply, Exception))
            raise next(refused, done) if isinstance(done, ExecAbortError) else done
        if done is not None and raise_on_error:
            for reply in done:
                if isinstance(reply, Exception):
                    raise reply
        return None if done is None else list(done)

    def close(self) -> None:
        """End the connection, and the watch with it."""
        self._is_watched = False
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None

    def _is_in_step(self) -> bool:
        """Tell whether the connection is open, as far as this end knows; redis-py would open another one, without the watch."""
        try:
            return bool(self._connection.is_connected) and not self._connection.can_read(0)
        except (RedisError, OSError):
            return False

    def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        connection = self._connection
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            return [_reply(connection) for _ in commands]
        except BaseException:
            self.close()
            raise

    def _settle(self, replies: Sequence[Any]) -> Exception | None:
        failure = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if failure is not None:
            self.close()
            return failure
        self._fence = replies[-1]
        self._is_watched = True
        return None


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as exc:
        return exc
