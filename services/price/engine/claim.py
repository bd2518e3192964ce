"""The hold of one engine on one partition of a sink: who may acknowledge, announce a position, and publish mids.

The fence is a token that only a takeover changes; every transaction is bound to it by WATCH, so that whoever was stopped and taken for
dead writes nothing when it wakes. The lease is for people and for the decision to take over. The fences of all sinks of a partition are
one hash: a takeover of another sink has a transaction sent again, no more.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol

import redis
from redis.exceptions import WatchError

from services.price.engine.fenced import FencedConnection, Fill
from services.runtime.connection import at, connect, drop_connections
from services.runtime.log_fields import fields
from services.runtime.session.holders import LEASE_MS, RENEW_NS, Holder, parse_holder
from services.runtime.session.keys import SessionKeys

logger = logging.getLogger(__name__)

REPLY_TIMEOUT_S: Final = 5.0
_ATTEMPTS: Final = 10
_TOUCH_MS: Final = 1 << 40
"""Thirty-five years, for which the fences may have an end between two commands."""
_ACKNOWLEDGE: Final = """#!lua flags=allow-oom
local fence = redis.call('HGET', KEYS[1], ARGV[1])
if fence == ARGV[2] then
    for index = 4, #ARGV do redis.call('XACK', KEYS[2], ARGV[3], ARGV[index]) end
end
return fence"""


class SinkFenced(Exception):
    """Another engine has taken the partition over: this one has nothing to say any more, and ends."""


class SinkTaken(Exception):
    """Another engine lives and has the partition."""


class Hold(Protocol):
    """What the sink's transactions are bound to."""

    def execute(self, client: Any, fill: Fill, *, raise_on_error: bool = True) -> list[Any]:
        """Send what `fill` puts into a transaction, and return the replies. Raises SinkFenced, with nothing executed."""

    def acknowledge(self, client: Any, stream: str, group: str, entries: Sequence[bytes]) -> None:
        """Acknowledge without a transaction: Redis 7.0 refuses every command of one while its memory is full. Raises SinkFenced."""

    def confirm(self) -> None:
        """Check on a new connection that the hold is still there. Raises SinkFenced."""

    def renew(self, now_ns: int) -> None:
        """Give a sign of life when one is due. Raises SinkFenced."""


class Unclaimed:
    """In a session of one partition the lock of the directory is all there is: whoever has it is the sink."""

    def execute(self, client: Any, fill: Fill, *, raise_on_error: bool = True) -> list[Any]:
        pipeline = client.pipeline(transaction=True)
        fill(pipeline)
        return list(pipeline.execute(raise_on_error))

    def acknowledge(self, client: Any, stream: str, group: str, entries: Sequence[bytes]) -> None:
        client.xack(stream, group, *entries)

    def confirm(self) -> None:
        pass

    def renew(self, now_ns: int) -> None:
        pass


class SinkClaim:
    """This engine's hold on one partition of one sink. Made for one thread."""

    def __init__(self, url: str, keys: SessionKeys, sink: str, *, token: str, owner: str = "") -> None:
        self._keys = keys
        self._sink = sink
        self._lease = keys.sink_lease(sink)
        self.holder = Holder(
            token=token,
            host=socket.gethostname(),
            pid=os.getpid(),
            client_name=f"midstream-price:{keys.session}/{keys.partition}:{sink}:{token}",
            owner=owner,
        )
        self._token = token.encode()
        # A connection of its own, which is there for as long as the engine lives: its name is the other half of the lease.
        self._client: Any = connect(url, client_name=self.holder.client_name, timeout_s=REPLY_TIMEOUT_S)
        self._fenced = FencedConnection(self._client, keys.sink_fences, sink)
        self._held = False
        self._replaced: bytes | None = None
        """The fence that ours took the place of."""
        self._renewed_ns = 0

    def take(self) -> None:
        """Write the fence and the lease; raises SinkTaken where somebody else lives, SinkFenced where they have what was ours."""
        for _ in range(_ATTEMPTS):
            with self._client.pipeline(transaction=True) as pipeline:
                pipeline.watch(self._keys.sink_fences, self._lease)
                fence = pipeline.hget(self._keys.sink_fences, self._sink)
                if self._held and fence not in (None, self._token, self._replaced):
                    raise SinkFenced(self._fenced_text())
                self._check_holder(parse_holder(pipeline.get(self._lease)))
                pipeline.multi()
                pipeline.hset(self._keys.sink_fences, self._sink, self._token)
                pipeline.set(self._lease, self.holder.encode(), px=LEASE_MS)
                try:
                    pipeline.execute()
                except WatchError:
                    continue
                except redis.exceptions.OutOfMemoryError:
                    self._make_room()
                    continue
            if fence != self._token:
                self._replaced = fence
            self._held = True
            return
        raise redis.ConnectionError(f"the fences of partition {self._keys.partition} could not be written")

    def _make_room(self) -> None:
        """Give up half of the retained mids to a full Redis, which waits for this very sink to acknowledge. Raises OutOfMemoryError."""
        retained = self._client.xlen(self._keys.mids)
        if retained < 2:
            raise redis.exceptions.OutOfMemoryError("Redis is full, and this sink keeps nothing there that could go")
        logger.warning("redis is full, mids are given up for a takeover", extra=fields(entries=retained // 2))
        # Whoever had the partition is gone: that was looked at just before.
        self._client.xtrim(self._keys.mids, maxlen=retained - retained // 2, approximate=False)

    def _check_holder(self, holder: Holder | None) -> None:
        if holder is None or holder.token == self.holder.token:
            return
        connected = at(self._client, self._lease).client_list()
        if any(client["name"] == holder.client_name for client in connected):
            if self._held:
                raise SinkFenced(self._fenced_text())
            raise SinkTaken(self._taken_text(f"process {holder.pid} on host {holder.host}"))
        logger.info("taking over from a dead sink", extra=fields(pid=holder.pid, host=holder.host))

    def announced(self) -> bytes | None:
        """Return what the sink announced last."""
        announced: bytes | None = self._client.hget(self._keys.sinks, self._sink)
        return announced

    def disconnect(self) -> None:
        """Connect anew with the next command."""
        self._fenced.close()
        drop_connections(self._client)

    def confirm(self) -> None:
        """Check that the hold is still there, and disarm what an older connection may still deliver.

        Its bytes may be in the socket of a stopped Redis, to be executed when it wakes up: touching the fences makes that transaction
        fail. An end in the far future touches them and needs no memory.
        """
        self.disconnect()
        if self._client.hget(self._keys.sink_fences, self._sink) != self._token:
            self.take()
        self._client.pexpire(self._keys.sink_fences, _TOUCH_MS)
        self._client.persist(self._keys.sink_fences)
        self._renewed_ns = 0

    def execute(self, client: Any, fill: Fill, *, raise_on_error: bool = True) -> list[Any]:
        """As the protocol says; `client` is for who has no connection of its own to do it on."""
        for _ in range(_ATTEMPTS):
            self._verify(self._fenced.fence())
            answers = self._fenced.execute(fill, raise_on_error=raise_on_error)
            if answers is not None:
                return answers
        raise redis.ConnectionError(f"the fences of partition {self._keys.partition} do not come to rest")

    def acknowledge(self, client: Any, stream: str, group: str, entries: Sequence[bytes]) -> None:
        """As the protocol says. One that reaches a Redis late is for entries that are committed, so it does no harm."""
        fences = self._keys.sink_fences
        self._verify(client.eval(_ACKNOWLEDGE, 2, fences, stream, self._sink, self._token, group, *entries))

    def renew(self, now_ns: int) -> None:
        if now_ns - self._renewed_ns < RENEW_NS:
            return
        self._renewed_ns = now_ns
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hget(self._keys.sink_fences, self._sink)
        pipeline.pexpire(self._lease, LEASE_MS)
        fence, prolonged = pipeline.execute()
        self._verify(fence)
        if not prolonged:
            # It ran out while this process or its disk was stopped, and nobody had room for the partition.
            try:
                self.execute(self._client, lambda lease: lease.set(self._lease, self.holder.encode(), px=LEASE_MS))
            except redis.exceptions.OutOfMemoryError:
                # Without one it may be taken for dead. What it writes until then is as good.
                logger.warning("redis is full, the lease of the sink is not written", extra=fields(sink=self._sink))

    def release(self) -> None:
        """Let others take over at once, and have no connection any more."""
        try:
            if self._held:
                self.execute(self._client, lambda pipeline: pipeline.delete(self._lease))
        except SinkFenced:
            logger.debug("lease is another sink's")
        except (redis.RedisError, OSError) as exc:
            logger.info("lease of the sink not given up", extra=fields(reason=exc))
        finally:
            self._fenced.close()
            self._client.close()

    def _verify(self, fence: bytes | None) -> None:
        if fence == self._token:
            return
        self._fenced.close()
        if fence is None or fence == self._replaced:
            raise redis.ConnectionError("Redis has lost that this sink took the partition over")
        raise SinkFenced(self._fenced_text())

    def _taken_text(self, by: str) -> str:
        return (
            f"standing by: partition {self._keys.partition} of session `{self._keys.session}` is worked through for sink "
            f"`{self._sink}` by {by}"
        )

    def _fenced_text(self) -> str:
        return (
            f"partition {self._keys.partition} of session `{self._keys.session}` was taken over by another engine of sink "
            f"`{self._sink}` while this one was away; it acknowledged and published nothing since, and ends"
        )
