"""Notices a peer that is gone and a feed that is silent."""

from __future__ import annotations

from collections.abc import Callable

from clients.resilience.ports import MonotonicNs
from clients.sockets.errors import NotConnected
from clients.sockets.events import Event, Stale
from clients.sockets.policy import SocketPolicy, TextPing
from clients.sockets.session import Session


class Watch:
    """Looks at one connection whenever it is asked to, and says when to ask again."""

    def __init__(
        self, session: Session, policy: SocketPolicy, *, monotonic_ns: MonotonicNs, emit: Callable[[Event], None]
    ) -> None:
        self._session = session
        self._policy = policy
        self._monotonic_ns = monotonic_ns
        self._emit = emit
        self._told_ns = -1
        """Time of the last message when staleness was told; another message makes a new silence."""

    async def check(self, *, reading: bool) -> int | None:
        """Send a heartbeat, tell staleness or end the connection where it is time; return when to look again.

        While nothing is read (`reading` is False) silence says nothing; None then.
        """
        if not reading or self._session.closed is not None:
            return None
        # A feed that has been silent for too long is replaced even though its peer answers.
        moments = [await self._heartbeat()]
        if self._session.closed is None:
            moments += self._silence()
        return min(moments)

    async def _heartbeat(self) -> int:
        session, heartbeat = self._session, self._policy.heartbeat
        now_ns = self._monotonic_ns()
        if session.pinged_ns is None:
            regular = isinstance(heartbeat, TextPing) and heartbeat.regular
            since_ns = session.beaten_ns if regular else session.traffic_ns
            due_ns = since_ns + round(heartbeat.after_s * 1e9)
            if now_ns < due_ns:
                return due_ns
            try:
                await session.beat()
            except NotConnected:
                # Its end is being told through the link.
                return now_ns + round(heartbeat.timeout_s * 1e9)
        dead_ns = (session.pinged_ns or now_ns) + round(heartbeat.timeout_s * 1e9)
        if now_ns >= dead_ns:
            session.link.abort(f"no sign of life for {heartbeat.after_s + heartbeat.timeout_s:g} s")
        return dead_ns

    def _silence(self) -> list[int]:
        session = self._session
        now_ns = self._monotonic_ns()
        moments = []
        if self._policy.stale_after_s is not None and self._told_ns != session.message_ns:
            stale_ns = session.message_ns + round(self._policy.stale_after_s * 1e9)
            if now_ns >= stale_ns:
                self._told_ns = session.message_ns
                self._emit(Stale(session.number, (now_ns - session.message_ns) / 1e9))
            else:
                moments.append(stale_ns)
        if self._policy.reconnect_after_silence_s is not None:
            limit_ns = session.message_ns + round(self._policy.reconnect_after_silence_s * 1e9)
            if now_ns >= limit_ns:
                session.link.abort(f"no message for {self._policy.reconnect_after_silence_s:g} s")
            else:
                moments.append(limit_ns)
        return moments
