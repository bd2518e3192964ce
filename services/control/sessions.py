"""What the engine reports of its sessions, read often by whoever waits and rarely otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from protos.common.v1.market_pb2 import Mode
from protos.control.v1.control_pb2 import ControlState
from services.control.journal import ControlJournal
from services.runtime.errors import NotFound
from services.runtime.keys import SessionKeys

POLL_S = 0.02
"""How often a waiting call looks at the report: short against the 0.5 s that a person notices, cheap for Redis."""


@dataclass(frozen=True)
class Applied:
    """An intent that has become effective."""

    revision: int
    report: dict[str, Any]
    before: dict[str, Any] | None
    """The last report before; None when there was none while we waited."""


class SessionReports:
    """Reads reports, and waits until one satisfies a caller."""

    def __init__(self, journal: ControlJournal, *, default_session: str, redis_url: str) -> None:
        self._journal = journal
        self._default_session = default_session
        self._redis_url = redis_url

    async def known(self, keys: SessionKeys) -> dict[str, Any] | None:
        """Return the last report, or None when the default session has not reported yet; any other unknown session is NotFound."""
        report = await self._journal.state(keys)
        if report is None and keys.session != self._default_session:
            raise NotFound(f"session `{keys.session}` is not known; ReplayService/ListSessions lists those that are")
        return report

    async def wait_applied(self, keys: SessionKeys, revision: int) -> Applied:
        """Wait until the engine has applied `revision`; the caller bounds the wait."""
        before: dict[str, Any] | None = None
        while True:
            report = await self._journal.state(keys)
            if report is not None and int(report.get("revision", 0)) >= revision:
                return Applied(revision, report, before)
            before = report
            await asyncio.sleep(POLL_S)

    async def describe(self, keys: SessionKeys) -> ControlState:
        """Put what was asked for and what is effective into one message."""
        report = await self.known(keys) or {}
        intended = await self._journal.intended(keys)
        mode = report.get("mode", 0)
        return ControlState(
            session=keys.session,
            intended_mode=cast(Mode, int(intended.get("mode", mode))),
            mode=mode,
            intended_revision=int(intended.get("revision", 0)),
            revision=int(report.get("revision", 0)),
            paused=bool(report.get("paused", False)),
            speed=float(report.get("speed", 0.0)),
            state=str(report.get("state", "")),
            last_sequence=int(report.get("last_sequence", 0)),
            reported_time_ns=int(report.get("reported_time_ns", 0)),
            error=str(report.get("error", "")),
            redis_url=self._redis_url,
            live_connected=bool(report.get("live_connected", False)),
        )
