"""Read the engine's reports of its sessions: often for whoever waits, rarely otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from fastpath.frame import MODE_LIVE
from protos.common.v1.market_pb2 import Mode
from protos.control.v1.control_pb2 import ControlState
from services.control.journal import AppendOutcome, ControlJournal, Journalled, effect_of
from services.control.messages import range_message, scheduled_message
from services.runtime.errors import NotFound
from services.runtime.session.hand_over_message import hand_over_message
from services.runtime.session.intents import Intended, Setting
from services.runtime.session.keys import SessionKeys
from services.runtime.session.pace_words import pace_words
from services.runtime.session.report import EngineReport

POLL_S = 0.02
"""How often a waiting call looks at the report: short against the 0.5 s that a person notices, cheap for Redis."""


WATCH_POLL_S = 0.1
"""How often the state is read for watchers: once for all of a session."""


@dataclass(frozen=True)
class Applied:
    """An intent that has become effective."""

    revision: int
    report: EngineReport
    before: EngineReport | None
    """The last report before; None when there was none while we waited."""
    refused: str = ""
    """Why it was refused; empty when it was not."""


class SessionReports:
    """Reads reports, and waits until one satisfies a caller."""

    def __init__(self, journal: ControlJournal, *, default_session: str, redis_url: str) -> None:
        self._journal = journal
        self._default_session = default_session
        self._redis_url = redis_url
        self._shared: dict[str, tuple[float, asyncio.Task[ControlState]]] = {}

    async def known(self, keys: SessionKeys) -> EngineReport | None:
        """Return the last report; None when there is none of a session that is known. Raises NotFound.

        The default session counts as known before it first reports, and any other one after its report has expired.
        """
        report = await self._journal.report(keys)
        if report is None and keys.session != self._default_session and not await self._journal.is_known(keys):
            raise NotFound(f"session `{keys.session}` is not known; ReplayService/ListSessions lists those that are")
        return report

    async def wait_applied(self, keys: SessionKeys, setting: Setting | None, journalled: Journalled) -> Applied:
        """Wait until the engine has applied a change, which is none of a setting when it is None; the caller bounds the wait."""
        before: EngineReport | None = None
        while True:
            report = await self._journal.report(keys)
            if report is not None and report.effective.revision >= journalled.revision:
                effect = await self._journal.effect(keys, journalled.revision) if setting is None else None
                refused = report.effective.refused
                if refused is not None and refused.revision == journalled.revision:
                    return Applied(journalled.revision, report, before, refused.reason)
                if effect is not None:
                    return Applied(journalled.revision, report, before, effect.refused)
                if setting is not None and await self._is_settled(keys, setting, journalled, report):
                    return Applied(journalled.revision, report, before)
            else:
                before = report
            await asyncio.sleep(POLL_S)

    async def _is_settled(
        self, keys: SessionKeys, setting: Setting, journalled: Journalled, report: EngineReport
    ) -> bool:
        """Tell whether a report that has reached the revision is really about it.

        A Redis that lost the journal counts again from below what a running engine remembers, for as long as that needs to notice.
        """
        if journalled.outcome == AppendOutcome.REPEATED or effect_of(setting, report).value == setting.value:
            return True
        # Not in effect although applied: another intent came after it.
        intended = await self._journal.intended(keys)
        return intended.revisions.get(setting.setting, 0) > journalled.revision

    async def watched(self, keys: SessionKeys) -> ControlState:
        """As `describe`, at most WATCH_POLL_S old: any number of watchers cost Redis as much as one."""
        now_s = asyncio.get_running_loop().time()
        begun_s, task = self._shared.get(keys.session, (0.0, None))
        if task is None or now_s - begun_s >= WATCH_POLL_S:
            task = asyncio.create_task(self.describe(keys))
            self._shared[keys.session] = (now_s, task)
            task.add_done_callback(lambda done: self._forget_failure(keys.session, done))
        return await asyncio.shield(task)

    def _forget_failure(self, session: str, task: asyncio.Task[ControlState]) -> None:
        # Names that nobody knows must not pile up.
        if (task.cancelled() or task.exception() is not None) and self._shared.get(session, (0.0, None))[1] is task:
            del self._shared[session]

    async def describe(self, keys: SessionKeys) -> ControlState:
        """Put what was asked for and what is effective into one message."""
        report = await self.known(keys)
        intended = await self._journal.intended(keys)
        if report is None:
            return ControlState(
                session=keys.session,
                intended_mode=cast(Mode, intended.mode),
                intended_revision=intended.revision,
                redis_url=self._redis_url,
            )
        effective = report.effective
        return ControlState(
            session=keys.session,
            intended_mode=cast(Mode, _intended_mode(intended, report)),
            mode=cast(Mode, effective.mode),
            intended_revision=intended.revision,
            revision=effective.revision,
            paused=effective.paused,
            speed=effective.speed,
            state=report.state,
            last_sequence=report.last_sequence,
            reported_time_ns=report.reported_time_ns,
            error=report.error,
            redis_url=self._redis_url,
            live_connected=report.live.connected,
            position_arrival_time_ns=report.position_arrival_time_ns,
            range=range_message(effective.range),
            loop=effective.range.loop,
            scheduled=[scheduled_message(scheduled) for scheduled in report.scheduled],
            hand_over=hand_over_message(report.hand_over),
            pace=pace_words(
                gap_cap_ns=report.pacing.gap_cap_ns,
                rate=report.pacing.rate,
                delay_ns=report.pacing.delay_ns,
                policy=report.time_debt.policy,
                limit_ns=report.time_debt.limit_ns,
            ),
            acknowledged=report.acknowledged,
            partitions=report.partitions,
        )


def _intended_mode(intended: Intended, report: EngineReport) -> int:
    """Return the mode that the session is to be in: what was asked for last, as long as that was not done.

    Afterwards the mode may change by itself, with a scheduled command or where a hand-over comes to its end.
    """
    effective, asked = report.effective, intended.mode_revision
    was_refused = effective.refused is not None and effective.refused.revision == asked
    if intended.mode and (asked > effective.revision or was_refused):
        return intended.mode
    return MODE_LIVE if report.hand_over.is_under_way else effective.mode
