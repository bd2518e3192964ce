"""The fence and the lease: who may append to a session's stream.

The fence is a token that only a takeover changes; every transaction is bound to it by WATCH. The lease is for people
and for the decision to take over: a producer is alive while its lease is there *and* Redis still has its connection. A
killed producer loses the connection at once, a stopped one its lease after LEASE_MS.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from typing import Any, Final

from services.replay.queue.errors import Fenced, QueueLost, SessionTaken
from services.replay.queue.groups import TRIM_SCRIPT
from services.replay.queue.wire import Wire, pack
from services.runtime.log_fields import fields
from services.runtime.session.holders import LEASE_MS, RENEW_NS, Holder, has_client, parse_holder
from services.runtime.session.keys import SessionKeys

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 10
_TOUCH_MS: Final = 1 << 40
"""Thirty-five years, for which a fence may have an end between two commands."""


class Claim:
    """This producer's hold on one session."""

    def __init__(self, keys: SessionKeys, token: str, *, owner: str = "") -> None:
        self._keys = keys
        self.holder = Holder(
            token=token,
            host=socket.gethostname(),
            pid=os.getpid(),
            client_name=f"midstream-replay:{keys.session}/{keys.partition}:{token}",
            owner=owner,
        )
        self._token = token.encode()
        self._held = False
        self._replaced: bytes | None = None
        """The fence that ours took the place of."""
        self.lease_gone = False
        """The lease vanished and must be written again, not only prolonged."""
        self._renewed_ns = 0
        self.arming = pack("WATCH", keys.fence, keys.ticks) + pack("GET", keys.fence) + pack("XLEN", keys.ticks)
        """Binds the next transaction to the fence and to the stream as they are now."""

    def take(self, wire: Wire) -> None:
        """Write the fence and the lease; raises SessionTaken, or Fenced when somebody else holds what was ours."""
        keys = self._keys
        for _ in range(_ATTEMPTS):
            wire.call("WATCH", keys.fence, keys.lease)
            fence = wire.call("GET", keys.fence)
            if self._held and fence not in (None, self._token, self._replaced):
                raise Fenced(self._fenced_text())
            holder = parse_holder(wire.call("GET", keys.lease))
            if holder is not None and holder.token != self.holder.token:
                if has_client(wire.call("CLIENT", "LIST"), holder.client_name):
                    if self._held:
                        raise Fenced(self._fenced_text())
                    raise SessionTaken(self._taken_text(f"process {holder.pid} on host {holder.host}"))
                logger.info("taking over from a dead producer", extra=fields(pid=holder.pid, host=holder.host))
            written = self._execute(
                wire,
                pack("SET", keys.fence, self.holder.token),
                pack("SET", keys.lease, self.holder.encode(), "PX", LEASE_MS),
            )
            if written is not None:
                if fence != self._token:
                    self._replaced = fence
                self._held = True
                self.lease_gone = False
                return
        raise SessionTaken(self._taken_text("another producer that is just starting"))

    def confirm(self, wire: Wire) -> None:
        """Check on a new connection that the session is ours, and disarm what the old one may still deliver.

        Bytes of a lost connection may be in the socket of a stopped Redis, to be executed when it wakes up. Touching
        the fence makes that transaction fail if it was not executed yet. An end in the far future touches it and needs no memory,
        unlike a transaction. Where the fence is an heir's, that one tries its transaction once more.
        """
        self.verify(wire.call("GETEX", self._keys.fence, "PX", _TOUCH_MS))
        wire.call("PERSIST", self._keys.fence)
        self.renew(wire)

    def arm(self, wire: Wire) -> int:
        """Bind the next transaction; returns the length of the stream. Raises Fenced or QueueLost."""
        wire.send([self.arming])
        _, fence, length = wire.read(3)
        self.verify(fence)
        return int(length)

    def verify(self, fence: object) -> None:
        """Raise unless `fence` is our own token."""
        if fence is None:
            raise QueueLost("the fence is gone: somebody deleted the session's keys, or Redis lost them")
        if isinstance(fence, Exception):
            raise fence
        if fence == self._replaced:
            raise QueueLost("the fence is that of the producer before: Redis has lost that we took over")
        if fence != self._token:
            raise Fenced(self._fenced_text())

    def renewal_is_due(self, now_ns: int) -> bool:
        """Tell whether the lease should be prolonged now."""
        return now_ns - self._renewed_ns >= RENEW_NS

    def note_renewal(self, now_ns: int) -> None:
        """Remember that the lease is being prolonged."""
        self._renewed_ns = now_ns

    def renewal(self) -> bytes:
        """Return the packed command that prolongs the lease, for a transaction."""
        if self.lease_gone:
            return pack("SET", self._keys.lease, self.holder.encode(), "PX", LEASE_MS)
        return pack("PEXPIRE", self._keys.lease, LEASE_MS)

    def renew(self, wire: Wire) -> None:
        """Prolong the lease outside of a transaction; works without memory. At worst it prolongs an heir's."""
        self.lease_gone = not wire.call("PEXPIRE", self._keys.lease, LEASE_MS)

    def trim(self, floor: int, ignored: Iterable[bytes]) -> bytes:
        """Return the packed command that trims the stream up to `floor` while the fence is ours."""
        keys = self._keys
        return pack("EVAL", TRIM_SCRIPT, 2, keys.ticks, keys.fence, self._token, floor, *ignored)

    def replace(self, wire: Wire, source: str, target: str, *, exists: bool) -> None:
        """Put the stream `source` in the place of `target` (or nothing, when it does not exist) while the fence is ours."""
        wire.call("WATCH", self._keys.fence)
        self.verify(wire.call("GET", self._keys.fence))
        command = pack("RENAME", source, target) if exists else pack("DEL", target)
        if self._execute(wire, command) is None:
            raise QueueLost("the fence was touched while the stream was written anew")

    def release(self, wire: Wire) -> None:
        """Delete the lease, on an armed connection."""
        self._execute(wire, pack("DEL", self._keys.lease))

    @staticmethod
    def _execute(wire: Wire, *commands: bytes) -> list[Any] | None:
        wire.send([b"".join((pack("MULTI"), *commands, pack("EXEC")))])
        replies = wire.read(len(commands) + 2)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        executed: list[Any] | None = replies[-1]
        return executed

    def _taken_text(self, by: str) -> str:
        return (
            f"session `{self._keys.session}` is being produced by {by}; "
            "stop that one first, or choose another name with --session (MIDSTREAM_SESSION)"
        )

    def _fenced_text(self) -> str:
        return (
            f"session `{self._keys.session}` was taken over by another producer while this one was away; "
            "nothing more was appended, this one ends"
        )
