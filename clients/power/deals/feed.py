"""The deals feed over all its connections: what arrives, in order, and what may have been missed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from clients.logs import fields
from clients.power.deals.messages import parse_message
from clients.power.deals.model import Deal, Gap, Item
from clients.power.deals.replay import Offer, ReplayClient, ReplayTrouble, feed_url
from clients.sockets import Connected, Disconnected, Event, Message, SocketState, SocketStatus, Stale

__all__ = ["DealFeed", "EventSource", "NextUrl", "ReplayUse"]

logger = logging.getLogger(__name__)

ReplayUse = Literal["auto", "on", "off"]
"""Whether missed deals are asked for: where the exchange offers it; always, so that it has to; never."""

NextUrl = Callable[[], Awaitable[str]]
"""Asked for the URL of each attempt to connect."""

LOST_ANSWERS_MAX: Final = 3
"""Under `auto`: after so many broken answers in a row the feed is taken without replay: perhaps the other side speaks nothing else."""

FRUITLESS_MAX: Final = 3
"""After so many connections in a row that broke before the first missed deal, what comes first there cannot be taken (it may be
longer than any message is allowed to be). Waiting for it would keep everything behind it out, too."""

PLANS_MAX: Final = 100


class EventSource(Protocol):
    """The part of `ResilientSocket` that a feed uses."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def status(self) -> SocketStatus: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class _Plan:
    """The beginning of a connection."""

    after: str | None = None
    """Deal behind which the exchange goes on; empty: from the beginning of its list; None: it cannot, we hear what comes."""
    catch_up_to: str = ""
    """Newest deal of the list when we asked: what comes up to it was missed and is late by nature."""
    gap_reason: str = ""
    """Why something may be missing for good, without the beginning of the sentence; empty when nothing can."""


class DealFeed:
    """Turns socket events into items. `open_socket` gets the callable that names the URL of each attempt.

    A connection goes on behind the last deal that was handed on, where the exchange can do that; otherwise it begins with a `Gap`.
    """

    def __init__(
        self,
        url: str,
        open_socket: Callable[[NextUrl], EventSource],
        replay: ReplayClient,
        *,
        use: ReplayUse = "auto",
        resume_after: str | None = None,
    ) -> None:
        self._url = url
        self._replay = replay
        self._use = use
        self._last_id = resume_after
        self._attempts = 0
        self._plans: dict[int, _Plan] = {}
        """By attempt: when its connection is heard of, a later attempt may have been planned already."""
        self._fruitless = 0
        self._heard = True
        """Whether the current connection has delivered anything, or had nothing to deliver."""
        self._lost_answers = 0
        self._alive_ns: int | None = None
        """When the feed was last known to be complete; None before the first connection of this process."""
        self._catching_up_to = ""
        self._connected_ns = 0
        self._begun = False
        """Whether it is known what the connection that is up, or comes next, has to catch up with."""
        self._socket = open_socket(self._next_url)
        self.messages = 0
        self.replays = False
        """Whether the current connection goes on where the last one ended."""

    def status(self) -> SocketStatus:
        """Return the state of the connection."""
        return self._socket.status()

    @property
    def caught_up(self) -> bool:
        """Whether what was missed before the current connection has arrived."""
        return self._begun and not self._catching_up_to and self.status().state is SocketState.OPEN

    async def close(self) -> None:
        """End the connection; `items` ends."""
        await self._socket.close()

    async def items(self) -> AsyncIterator[Item]:
        """Yield everything in order until `close`."""
        async for event in self._socket:
            if isinstance(event, Message):
                self.messages += 1
                self._heard, self._fruitless = True, 0
                self._alive_ns = event.receive_wall_ns
                yield self._read(event)
            elif isinstance(event, Connected):
                for gap in () if event.planned else self._begin(event):
                    yield gap
                self._begun = True
            elif isinstance(event, Disconnected) and not event.planned:
                logger.warning("deals feed is down", extra=fields(reason=event.reason, code=event.code))
                self._fruitless += not self._heard
            elif isinstance(event, Stale):
                logger.warning("deals feed is silent", extra=fields(seconds=round(event.silent_s)))

    def _read(self, message: Message) -> Item:
        late = bool(self._catching_up_to)
        item = parse_message(message.payload, message.receive_wall_ns, binary=message.binary, backfilled=late)
        if isinstance(item, Deal):
            self._last_id = item.key
            # The second condition holds where that one was unusable.
            if item.key == self._catching_up_to or item.execution_time_ns >= self._connected_ns:
                self._catching_up_to = ""
        return item

    def _begin(self, event: Connected) -> list[Gap]:
        plan = self._plans.get(event.connection) or self._plans[max(self._plans)]
        self._plans = {number: kept for number, kept in self._plans.items() if number > event.connection}
        self.replays = plan.after is not None
        self._catching_up_to = plan.catch_up_to
        self._heard = not plan.catch_up_to
        missed = "the listener was away" if self._alive_ns is None else "the connection was lost"
        gaps = [Gap(self._alive_ns, event.wall_ns, f"{missed} and {plan.gap_reason}")] if plan.gap_reason else []
        self._alive_ns = self._connected_ns = event.wall_ns
        logger.info("deals feed is up", extra=fields(replay=self.replays))
        return gaps

    async def _next_url(self) -> str:
        """Decide how the next connection begins; what is raised here counts as a failed attempt."""
        self._begun = False
        self._attempts += 1
        attempt = self._attempts
        plan = self._plans[attempt] = await self._make_plan()
        # Attempts that fail behind this point leave their plan; connections that nobody has heard of yet are few.
        self._plans.pop(attempt - PLANS_MAX, None)
        return feed_url(self._url, after=plan.after)

    async def _make_plan(self) -> _Plan:
        if self._use == "off":
            return _Plan(gap_reason="replay is switched off")
        if self._use == "auto" and self._fruitless >= FRUITLESS_MAX:
            self._fruitless = 0
            return _Plan(gap_reason="what comes next on the exchange's list breaks the connection")
        after = self._last_id or ""
        try:
            offer, page = await self._replay.ask(after)
            if offer is Offer.UNKNOWN_DEAL:
                reason = f"the exchange does not know deal {after} any more; its whole list is read again"
                offer, page = await self._replay.ask("")
                plan = _Plan("", page.last_id, reason)
            else:
                plan = _Plan(after, page.last_id if page.messages else "")
        except ReplayTrouble as exc:
            self._lost_answers = self._lost_answers + 1 if exc.lost else 0
            if self._use == "on" or self._lost_answers < LOST_ANSWERS_MAX:
                raise
            offer = Offer.NONE
        else:
            self._lost_answers = 0
        if offer is Offer.KNOWN:
            return plan
        if self._use == "on":
            raise ReplayTrouble("the exchange offers no replay, and the settings ask for it")
        return _Plan(
            gap_reason="the exchange offers no replay" if not self._lost_answers else "its list cannot be read"
        )
