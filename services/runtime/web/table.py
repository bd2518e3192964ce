"""Every connection of one listener: what it is doing, since when, and which one goes when there is room for no more."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from enum import Enum
from typing import Final, Protocol

from services.runtime.addresses import network_of
from services.runtime.exposure import is_local_address
from services.runtime.figures import Figure
from services.runtime.log_fields import fields
from services.runtime.metrics import Metrics
from services.runtime.web.limits import BODIES_BYTES_MAX, WebLimits

__all__ = ["TABLE_FIGURES", "Connection", "ConnectionTable", "Phase", "Wire"]

logger = logging.getLogger(__name__)

TABLE_FIGURES: Final = (
    Figure("midstream_web_connections", "gauge", "Connections of the web port"),
    Figure("midstream_web_streams", "gauge", "Event streams and websockets of the web port"),
    Figure("midstream_web_ended_total", "counter", "Connections, streams and requests of the web port that a limit ended or refused"),
)  # fmt: skip

REPORT_S: Final = 10.0
"""Ends of connections are summed up in a line at most that often: an attack must not fill the disk."""


class Phase(Enum):
    """What a connection is doing."""

    HEAD = "header"
    """Its request's headers are not complete; nothing is known about it yet."""
    IDLE = "idle"
    """Answered, and nothing of another request is there."""
    BODY = "body"
    """Its request's body is not complete."""
    ANSWER = "answer"
    """Its request is complete and being answered."""
    STREAM = "stream"
    """An event stream or a websocket."""


class Wire(Protocol):
    """The transport below a connection, as far as the table needs it."""

    def unsent(self) -> int:
        """Bytes that wait for the reader."""

    def sent(self) -> int:
        """Bytes that have gone to the system so far."""

    def end(self, phase: Phase) -> None:
        """End the connection, with a word where there is still somebody to read it."""

    def cut(self) -> None:
        """End it at once; what waits is lost."""


class Connection:
    """One row of the table. The table alone changes it."""

    __slots__ = ("_mark", "_mark_sent", "address", "ended", "local", "opened_s", "phase", "received", "since_s", "wire")

    def __init__(self, address: str, local: bool, now_s: float, wire: Wire) -> None:
        self.address = address
        self.local = local
        self.opened_s = now_s
        self.phase = Phase.HEAD
        self.since_s = now_s
        self.received = 0
        self.wire = wire
        self.ended = False
        self._mark = now_s
        self._mark_sent = 0

    def overdue(self, now_s: float, limits: WebLimits) -> bool:
        """Whether it has had the time that its phase is given."""
        passed = now_s - self.since_s
        if self.phase is Phase.HEAD:
            return passed > limits.header_s
        if self.phase is Phase.IDLE:
            return passed > limits.idle_s
        if self.phase is Phase.BODY:
            return passed > limits.grace_s + self.received / limits.rate
        return False

    def stalled(self, now_s: float, limits: WebLimits) -> bool:
        """Whether its reader takes nothing, or next to nothing, of what waits for it."""
        sent = self.wire.sent()
        if not self.wire.unsent() or sent - self._mark_sent >= limits.rate * limits.grace_s:
            self._mark, self._mark_sent = now_s, sent
        return now_s - self._mark > limits.grace_s


class ConnectionTable:
    """Admits connections, streams and requests within limits. Used from one event loop; every call is short."""

    def __init__(
        self,
        limits: WebLimits,
        *,
        name: str,
        clock_s: Callable[[], float],
        first: Collection[str] = (),
        metrics: Metrics | None = None,
        refused: Callable[[str, str, int], None] | None = None,
    ) -> None:
        """`first` are paths that are answered even when too many other requests are under way; `metrics` get the figures of each sweep.

        `refused` is told method, path and status of a request that is answered here, because there are too many.
        """
        self.refused = refused
        if metrics is not None:
            metrics.declare(TABLE_FIGURES)
        self._metrics = metrics
        self.limits = limits
        self._name = name
        self._clock_s = clock_s
        self._first = frozenset(first)
        # Each in the order in which they got there: the first is the oldest.
        self._rows: dict[Phase, dict[Connection, None]] = {phase: {} for phase in Phase}
        self._of_address: Counter[str] = Counter()
        self._streams_of_address: Counter[str] = Counter()
        self._bodies = 0
        self._ends: Counter[str] = Counter()
        self._unmeasured = 0
        self._reported_s = clock_s() - REPORT_S

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def count(self, phase: Phase) -> int:
        """Return how many connections are in a phase."""
        return len(self._rows[phase])

    def rows(self) -> list[Connection]:
        """Return every connection, those that go first first."""
        return [row for rows in self._rows.values() for row in rows]

    # -- coming and going ------------------------------------------------------------------------------------------

    def admit(self, address: str, wire: Wire) -> Connection | None:
        """Take a new connection in, at the cost of an older one that asks for nothing where there is no room. None: refused."""
        # A Unix socket's peer has no address.
        local = not address or is_local_address(address)
        key = network_of(address)
        if not local and self._of_address[key] >= self.limits.connections_per_address and not self._evict(key):
            self._count("refused")
            return None
        if len(self) >= self.limits.connections and not self._evict():
            self._count("refused")
            return None
        row = Connection(key, local, self._clock_s(), wire)
        self._rows[Phase.HEAD][row] = None
        self._of_address[key] += 1
        return row

    def remove(self, row: Connection) -> None:
        """Forget a connection; harmless when repeated."""
        if row not in self._rows[row.phase]:
            return
        self._leave(row)
        self._of_address[row.address] -= 1
        if not self._of_address[row.address]:
            del self._of_address[row.address]

    def move(self, row: Connection, phase: Phase) -> None:
        """Note what a connection is doing now; the time of the same phase goes on."""
        if row.phase is phase or row not in self._rows[row.phase]:
            return
        self._leave(row)
        row.phase = phase
        row.since_s = self._clock_s()
        self._rows[phase][row] = None
        if phase is Phase.STREAM:
            self._streams_of_address[row.address] += 1

    def receive(self, row: Connection, size: int) -> None:
        """Count bytes of a body that is on its way."""
        row.received += size
        self._bodies += size
        while self._bodies > BODIES_BYTES_MAX:
            # Its own, perhaps: the one that has been sending for longest has had the most time.
            oldest = next(iter(self._rows[Phase.BODY]), None)
            if oldest is None:
                break
            self._drop(oldest, "bodies")

    def _leave(self, row: Connection) -> None:
        del self._rows[row.phase][row]
        if row.phase is Phase.BODY:
            self._bodies -= row.received
            row.received = 0
        elif row.phase is Phase.STREAM:
            self._streams_of_address[row.address] -= 1
            if not self._streams_of_address[row.address]:
                del self._streams_of_address[row.address]

    # -- what it may do --------------------------------------------------------------------------------------------

    def begin_request(self, row: Connection, path: str) -> str | None:
        """Return why a request is not answered now, in a sentence; None when it is."""
        if self.count(Phase.BODY) + self.count(Phase.ANSWER) <= self.limits.requests:
            return None
        oldest = next((other for other in self._rows[Phase.BODY] if other is not row), None)
        if oldest is not None:
            self._drop(oldest, "evicted")
            return None
        if path in self._first:
            return None
        self._count("busy")
        return f"{self.limits.requests} requests are under way: try again in a moment"

    def begin_stream(self, row: Connection) -> str | None:
        """Make the connection a stream; or return why there is no room for one, in a sentence."""
        if row.phase is Phase.STREAM:
            return None
        if self.count(Phase.STREAM) >= self.limits.streams:
            self._count("streams")
            return f"{self.limits.streams} streams are open, and there may not be more: try again later"
        if not row.local and self._streams_of_address[row.address] >= self.limits.streams_per_address:
            self._count("streams")
            return (
                f"{self.limits.streams_per_address} streams are open from your address, and there may not be more: "
                "close some, or have MIDSTREAM_WEB_STREAMS_PER_ADDRESS raised"
            )
        self.move(row, Phase.STREAM)
        return None

    # -- ends ------------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """End whoever has had the time that was his; to be called about once a second."""
        now_s = self._clock_s()
        for row in self.rows():
            if row.ended:
                # It was told, and given until now to go in order.
                row.wire.cut()
            elif row.overdue(now_s, self.limits):
                self._end(row, row.phase.value)
            elif row.stalled(now_s, self.limits):
                self._drop(row, "reader")
        self._measure()
        self._report(now_s)

    def evict(self, count: int) -> int:
        """End up to so many that ask for nothing, because the system has no room; return how many went."""
        return sum(self._evict() for _ in range(count))

    def _evict(self, address: str | None = None) -> bool:
        for row in self._evictable():
            if address is None or row.address == address:
                self._drop(row, "evicted")
                return True
        return False

    def _evictable(self) -> Iterator[Connection]:
        for phase in (Phase.HEAD, Phase.IDLE, Phase.BODY):
            yield from self._rows[phase]

    def _end(self, row: Connection, why: str) -> None:
        """Tell it; it stays in its place until it is gone."""
        self._count(why)
        row.ended = True
        row.wire.end(row.phase)

    def _drop(self, row: Connection, why: str) -> None:
        """Cut it; its place is somebody else's from here on, though the transport goes only when the loop comes round."""
        self._count(why)
        row.ended = True
        self.remove(row)
        row.wire.cut()

    def _count(self, why: str) -> None:
        self._ends[why] += 1
        # Idling for too long is no trouble.
        self._unmeasured += why != Phase.IDLE.value

    def _measure(self) -> None:
        if self._metrics is not None:
            self._metrics.set("midstream_web_connections", len(self))
            self._metrics.set("midstream_web_streams", self.count(Phase.STREAM))
            self._metrics.add("midstream_web_ended_total", self._unmeasured)
            self._unmeasured = 0

    def _report(self, now_s: float) -> None:
        loud = {why: count for why, count in self._ends.items() if why != Phase.IDLE.value}
        if loud and now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            self._ends.clear()
            logger.warning(
                "connections ended or refused",
                extra=fields(listener=self._name, open=len(self), reasons=dict(sorted(loud.items()))),
            )
