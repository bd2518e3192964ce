"""Levers under /sim that no other exchange has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from services.simulators.bybit.exchange import INCIDENTS_MAX, BybitExchange
from services.simulators.bybit.listings import INVERSE, LINEAR, SPOT
from services.simulators.venue.levers import Lever, whole

STATES: Final = ("scheduled", "ongoing", "completed", "canceled")
UNDER_WAY: Final = STATES[:2]
SERVICES: Final = [1, 2, 3, 4, 5]
"""Trading, by HTTP, by stream, private stream, market data."""


class OwnLevers:
    """What /sim can do to a Bybit."""

    def __init__(self, venue: BybitExchange, told: Callable[[], None]) -> None:
        self._venue = venue
        self._told = told

    def table(self) -> Mapping[tuple[str, str], Lever]:
        """Return the table."""
        return {
            ("POST", "/sim/orders/forget-closed"): Lever(
                self._forget,
                body=("category",),
                help='{"category": "linear"}, or {} for all: lose the memory of closed orders, as a restart does',
            ),
            ("PUT", "/sim/position-mode"): Lever(
                self._position_mode,
                body=("account", "hedge"),
                help='{"hedge": true}: keep buys and sells of USDT perpetuals apart; "account" is demo where it is left out',
            ),
            ("PUT", "/sim/system-status"): Lever(
                self._system_status,
                body=("state", "title", "seconds"),
                help='{"state": "ongoing", "seconds": 600}: an incident; scheduled, ongoing, completed, canceled',
            ),
        }

    def _forget(self, query: Mapping[str, str], body: Any) -> Any:
        category = (body or {}).get("category")
        if category not in (None, SPOT, LINEAR, INVERSE):
            raise ValueError("`category` must be spot, linear or inverse")
        return {"forgotten": self._venue.sightings.forget_closed(category)}

    def _position_mode(self, query: Mapping[str, str], body: Any) -> Any:
        hedge, account = (body or {}).get("hedge"), (body or {}).get("account", "demo")
        if not isinstance(hedge, bool):
            raise ValueError("`hedge` must be true or false")
        if account not in self._venue.clearing.holdings:
            raise ValueError(f"`account` must be one of {', '.join(self._venue.clearing.holdings)}")
        switches = self._venue.switches(account)
        switches.hedge_all = hedge
        switches.hedge.clear()
        return {"account": account, "hedge": hedge}

    def _system_status(self, query: Mapping[str, str], body: Any) -> Any:
        given = body or {}
        state = given.get("state")
        if state not in STATES:
            raise ValueError(f"`state` must be one of {', '.join(STATES)}")
        venue, seconds = self._venue, whole("seconds", given.get("seconds", 600))
        begin_ms = venue.shown_ms(venue.wall_ns())
        title = str(given.get("title", "simulated incident"))
        # One that is announced or under way goes on as the same; what it was before is not said any more.
        known = next((one for one in venue.incidents if one["title"] == title and one["state"] in UNDER_WAY), None)
        row = {
            "id": venue.made_uuid() if known is None else known["id"],
            "title": title,
            "state": state,
            "begin": str(begin_ms) if known is None else known["begin"],
            "end": str(begin_ms + seconds * 1000),
            "href": "",
            "serviceTypes": SERVICES,
            "product": [1, 2],
            "uidSuffix": [],
            "maintainType": 1,
            "env": 1,
        }
        venue.incidents = [row, *(one for one in venue.incidents if one is not known)][:INCIDENTS_MAX]
        self._told()
        return row
