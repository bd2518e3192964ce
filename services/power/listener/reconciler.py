"""Compare what came over the websocket with the exchange's own list, and fetch what is missing."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from clients.power.deals.messages import message_key, parse_message
from clients.power.deals.model import Deal, Item
from clients.power.deals.replay import Offer, ReplayClient, ReplayTrouble
from clients.resilience.ports import Sleep, WallNs
from clients.sockets import AuthRefused
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 2.0
"""A deal has to be missing twice in a row before it is fetched, so one that was skipped is here within two of these."""
PAUSE_S: Final = 60.0
"""After an exchange said that it has no list."""
SEEN_MAX: Final = 200_000
"""Ids remembered; one that was forgotten is fetched again and recognised by the database."""


class Reconciler:
    """Begins with the whole list, so that a listener that was killed at the worst moment is complete again, then follows its end."""

    def __init__(
        self,
        replay: ReplayClient,
        hand_on: Callable[[Item], Awaitable[None]],
        *,
        busy: Callable[[], bool],
        sleep: Sleep,
        wall_ns: WallNs,
    ) -> None:
        self._replay = replay
        self._hand_on = hand_on
        self._busy = busy
        self._sleep = sleep
        self._wall_ns = wall_ns
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._missing: set[str] = set()
        self._checked = ""
        """Everything up to this entry of the list is here."""
        self.fetched = 0

    def saw(self, key: str) -> None:
        """Note a deal, or a revision of one, that the feed delivered."""
        self._seen[key] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)

    async def run(self) -> None:
        """Compare again and again, for ever; trouble is left to the next time."""
        pause_s = INTERVAL_S
        while True:
            # At the start, too: the feed comes first.
            await self._sleep(pause_s)
            pause_s = INTERVAL_S
            # While the queue is filling, what is missing is most likely waiting in it or in the socket.
            if not self._busy():
                try:
                    pause_s = await self.compare()
                except (ReplayTrouble, AuthRefused) as exc:
                    logger.debug("exchange's list cannot be read", extra=fields(reason=exc))

    async def compare(self) -> float:
        """Walk from the last checked deal to the end of the list once; return how long to wait before the next time."""
        while True:
            offer, page = await self._replay.ask(self._checked)
            if offer is Offer.UNKNOWN_DEAL:
                self._checked = ""
                return INTERVAL_S
            if offer is Offer.NONE:
                return PAUSE_S
            whole = await self._take(page.messages, tail=not page.more)
            if not page.more or not whole:
                return INTERVAL_S

    async def _take(self, messages: Sequence[bytes], *, tail: bool) -> bool:
        """Hand on what is missing; return False where it has to be looked at again, because it may be under way."""
        missing: set[str] = set()
        for message in messages:
            key = message_key(message)
            if key is None:
                continue
            if key not in self._seen:
                if tail and key not in self._missing:
                    missing.add(key)
                    continue
                await self._fetch(message)
            if not missing:
                self._checked = key
        self._missing = missing
        return not missing

    async def _fetch(self, message: bytes) -> None:
        item = parse_message(message, self._wall_ns(), backfilled=True)
        if isinstance(item, Deal):
            self.fetched += 1
            await self._hand_on(item)
            self.saw(item.key)
