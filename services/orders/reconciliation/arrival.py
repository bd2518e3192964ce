"""Find out when a request can no longer arrive: the only thing that turns "no such order" into proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clients.exchanges.trading import ArrivalBound
from services.orders.ports import Ports
from services.orders.venues import CLIENT_ERRORS, Venue

NOT_FOUNDS: Final = 2
"""How many answers after that moment have to say that the order does not exist."""
NOT_FOUNDS_APART_NS: Final = 1_000_000_000
SETTLE_NS: Final = 60_000_000_000
"""Where arrival has no bound: how long after the last attempt an amend that does not show is taken for lost.

Nothing is risked by it: should it be applied later, the exchange's statement changes the order all the same.
"""
OFFSET_AGE_MAX_NS: Final = 30_000_000_000


@dataclass(frozen=True)
class _Offset:
    offset_ns: int
    error_ns: int
    measured_ns: int


class ServerClocks:
    """The exchanges' clocks by market, never guessed: without a measurement there is no proof."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._offsets: dict[tuple[str, str], _Offset] = {}

    async def offset(self, venue: Venue, market: str) -> _Offset | None:
        """Return a young measurement; None when the exchange does not give one."""
        now_ns = self._ports.monotonic_ns()
        known = self._offsets.get((venue.exchange, market))
        if known is not None and now_ns - known.measured_ns <= OFFSET_AGE_MAX_NS:
            return known
        try:
            time = await venue.market.get_server_time(market)
        except CLIENT_ERRORS:
            return None
        found = self._offsets[venue.exchange, market] = _Offset(time.offset_ns, abs(time.error_ns), now_ns)
        return found

    async def earliest_ns(self, venue: Venue, market: str) -> int | None:
        """Return the exchange's time now, or earlier if in doubt; None when it is not known."""
        offset = await self.offset(venue, market)
        return None if offset is None else self._ports.wall_ns() + offset.offset_ns - offset.error_ns

    async def shown_by_ns(
        self, venue: Venue, market: str, bound: ArrivalBound, *, expires_server_ns: int | None, sent_until_ns: int
    ) -> int | None:
        """Return until when, on the exchange's clock, a request may begin to show; None when that is not known.

        What the request itself says counts first. Without it (killed, restarted) it was signed before it became too late to send it,
        with the longest window that the exchange's requests are signed with.
        """
        arrived_ns = expires_server_ns
        if arrived_ns is None:
            offset = await self.offset(venue, market)
            if offset is None:
                return None
            latest_ns = sent_until_ns + offset.offset_ns + offset.error_ns
            arrived_ns = latest_ns + round(bound.receive_window_s * 1e9)
        return arrived_ns + round(bound.processing_s * 1e9)


@dataclass
class Proof:
    """Collects "no such order" for one attempt of one request."""

    attempt: int
    count: int = 0
    counted_ns: int = 0

    def add(self, now_ns: int) -> bool:
        """Count an answer that was asked for after the last moment of arrival; True when it completes the proof."""
        if self.count and now_ns - self.counted_ns < NOT_FOUNDS_APART_NS:
            return False
        self.count += 1
        self.counted_ns = now_ns
        return self.count >= NOT_FOUNDS
