"""Translates control calls into journalled intents and waits until they are effective."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc

from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, Mode
from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceServicer
from services.control.journal import ControlJournal, Intent, Journalled, Outcome
from services.control.sessions import WATCH_POLL_S, Applied, SessionReports
from services.runtime.errors import DeadlineExceeded, FailedPrecondition, InvalidRequest, ResourceExhausted
from services.runtime.keys import SessionKeys, check_session_name
from services.runtime.logs import current_correlation_id

WAIT_MAX_S = 30.0
"""Longest wait for an intent to become effective when the caller gave no deadline, or a longer one."""
ANSWER_MARGIN_SHARE, ANSWER_MARGIN_S_MIN, ANSWER_MARGIN_S_MAX = 0.1, 0.05, 0.5
"""Kept of the caller's deadline, so that the answer that says what was journalled still arrives from a busy machine."""
REQUEST_ID_LENGTH_MAX = 128
SPEED_MAX = 1e6
WATCHERS_MAX = 1_000

Context = grpc.aio.ServicerContext[Any, Any]


class ControlServicer(ControlServiceServicer):
    """The control methods. Safe to call from any number of clients; the journal decides their order."""

    def __init__(self, journal: ControlJournal, reports: SessionReports, *, default_session: str) -> None:
        self._journal = journal
        self._reports = reports
        self._default_session = default_session
        self._watchers = 0

    async def SetMode(self, request: pb.SetModeRequest, context: Context) -> pb.SetModeResponse:
        keys = self._keys(request.session)
        if request.mode not in (MODE_HISTORICAL, MODE_LIVE):
            raise InvalidRequest("mode", f"must be MODE_HISTORICAL or MODE_LIVE, got {_mode_name(request.mode)}")
        report = await self._reports.known(keys)
        if report is not None and not report.get(_configured_field(request.mode), False):
            raise FailedPrecondition(_not_configured(keys.session, request.mode))
        intent = Intent("mode", str(request.mode), request.request_id)
        journalled, applied = await self._apply(keys, intent, report, context)
        refused = applied.report.get("refused")
        if refused and int(refused["revision"]) == applied.revision:
            raise FailedPrecondition(f"session `{keys.session}`: {refused['reason']}")
        # An engine that was still starting when the call came has reported since.
        previous: Any = (report or applied.before or {}).get("mode", 0)
        if journalled.outcome == Outcome.REPEATED:
            previous = await self._first_answer(keys, intent, journalled.revision)
        return pb.SetModeResponse(previous_mode=previous, mode=applied.report["mode"], revision=applied.revision)

    async def _first_answer(self, keys: SessionKeys, intent: Intent, revision: int) -> int:
        """The previous mode that the first request with this id was told."""
        entry = await self._journal.entry(keys, revision)
        # Where the intent is another request's, the first one found its mode in effect.
        return int(entry["previous_mode"] if entry.get("request_id") == intent.request_id else intent.value)

    async def GetState(self, request: pb.GetStateRequest, context: Context) -> pb.GetStateResponse:
        return pb.GetStateResponse(state=await self._reports.describe(self._keys(request.session)))

    async def WatchState(self, request: pb.WatchStateRequest, context: Context) -> AsyncIterator[pb.WatchStateResponse]:
        keys = self._keys(request.session)
        if self._watchers >= WATCHERS_MAX:
            raise ResourceExhausted(f"{WATCHERS_MAX} watchers are connected already; try again when one has left")
        sent: pb.ControlState | None = None
        self._watchers += 1
        try:
            while True:
                state = await self._reports.watched(keys)
                if sent is None or _changed(sent, state):
                    yield pb.WatchStateResponse(state=state)
                    sent = state
                await asyncio.sleep(WATCH_POLL_S)
        finally:
            self._watchers -= 1

    async def Pause(self, request: pb.PauseRequest, context: Context) -> pb.PauseResponse:
        applied = await self._change(request.session, Intent("paused", "1", request.request_id), context)
        return pb.PauseResponse(revision=applied.revision)

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        applied = await self._change(request.session, Intent("paused", "0", request.request_id), context)
        return pb.ResumeResponse(revision=applied.revision)

    async def SetSpeed(self, request: pb.SetSpeedRequest, context: Context) -> pb.SetSpeedResponse:
        if not math.isfinite(request.speed) or not 0 <= request.speed <= SPEED_MAX:
            raise InvalidRequest(
                "speed", f"must be 0 (as fast as possible) or up to {SPEED_MAX:g}, got {request.speed}"
            )
        # -0 is 0.
        intent = Intent("speed", repr(abs(request.speed)), request.request_id)
        applied = await self._change(request.session, intent, context)
        return pb.SetSpeedResponse(speed=float(applied.report["speed"]), revision=applied.revision)

    async def _change(self, session: str, intent: Intent, context: Context) -> Applied:
        keys = self._keys(session)
        report = await self._reports.known(keys)
        return (await self._apply(keys, intent, report, context))[1]

    def _keys(self, session: str) -> SessionKeys:
        return SessionKeys(check_session_name(session) if session else self._default_session)

    async def _apply(
        self, keys: SessionKeys, intent: Intent, report: dict[str, Any] | None, context: Context
    ) -> tuple[Journalled, Applied]:
        """Journal `intent` and wait until it is effective; the intent stays journalled when the wait runs out."""
        if len(intent.request_id) > REQUEST_ID_LENGTH_MAX:
            raise InvalidRequest(
                "request_id", f"must have at most {REQUEST_ID_LENGTH_MAX} characters, got {len(intent.request_id)}"
            )
        journalled = await self._journal.append(
            keys, intent, effect=intent.effect(report), correlation_id=current_correlation_id()
        )
        try:
            async with asyncio.timeout(_wait_s(context.time_remaining())):
                return journalled, await self._reports.wait_applied(keys, intent, journalled)
        except TimeoutError:
            raise DeadlineExceeded(
                f"intent {journalled.revision} for session `{keys.session}` is journalled but not effective yet; "
                "the replay server applies it when it runs, GetState tells"
            ) from None


def _wait_s(remaining_s: float | None) -> float:
    """How long to wait for an intent to become effective."""
    if remaining_s is None:
        return WAIT_MAX_S
    margin_s = min(max(remaining_s * ANSWER_MARGIN_SHARE, ANSWER_MARGIN_S_MIN), ANSWER_MARGIN_S_MAX)
    return max(min(remaining_s - margin_s, WAIT_MAX_S), 0.0)


def _changed(before: pb.ControlState, after: pb.ControlState) -> bool:
    quiet = pb.ControlState()
    quiet.CopyFrom(after)
    # Progress is not a change of state; a watcher that wants it asks ReplayService.
    quiet.reported_time_ns = before.reported_time_ns
    quiet.last_sequence = before.last_sequence
    return quiet != before


def _mode_name(mode: int) -> str:
    return Mode.Name(cast(Mode, mode)) if mode in Mode.values() else str(mode)


def _configured_field(mode: int) -> str:
    return "live_configured" if mode == MODE_LIVE else "historical_configured"


def _not_configured(session: str, mode: int) -> str:
    setting = "MIDSTREAM_LIVE_URL" if mode == MODE_LIVE else "MIDSTREAM_HISTORICAL"
    return f"session `{session}` has no {'live' if mode == MODE_LIVE else 'historical'} source; start the replay server with {setting}"
