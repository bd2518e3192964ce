"""Translates control calls into journalled intents and waits until they are effective."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import grpc

import clients.tracing as tracing
from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, Mode
from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceServicer
from services.control.journal import AppendOutcome, ControlJournal, Journalled, effect_of
from services.control.messages import mode_of, range_of, seek_of, shown, step_of, when_of
from services.control.sessions import WATCH_POLL_S, Applied, SessionReports
from services.runtime.access.state_changes import note
from services.runtime.errors import DeadlineExceeded, FailedPrecondition, InvalidRequest, ResourceExhausted
from services.runtime.logs import current_correlation_id
from services.runtime.session import events
from services.runtime.session.effects import Effect
from services.runtime.session.events import Cancel, Event
from services.runtime.session.intents import MODE_NAMES, SPEED_MAX, Change, Intent, Pause, Resume, SetMode, SetSpeed
from services.runtime.session.keys import SessionKeys, check_session_name
from services.runtime.session.report import EngineReport

WAIT_MAX_S = 30.0
"""Longest wait for an intent to become effective when the caller gave no deadline, or a longer one."""
ANSWER_MARGIN_SHARE, ANSWER_MARGIN_S_MIN, ANSWER_MARGIN_S_MAX = 0.1, 0.05, 0.5
"""Kept of the caller's deadline, so that the answer that says what was journalled still arrives from a busy machine."""
REQUEST_ID_LENGTH_MAX = 128
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
        note(
            session=keys.session, request_id=request.request_id, asked=SetMode.kind,
            value=MODE_NAMES.get(request.mode, request.mode),
        )  # fmt: skip
        change = mode_of(request)
        report = await self._reports.known(keys)
        if report is not None and not _is_configured(report, request.mode):
            raise FailedPrecondition(_not_configured(keys.session, request.mode))
        if report is not None and change.waits and not report.historical.configured:
            raise FailedPrecondition(_not_configured(keys.session, MODE_HISTORICAL))
        change = replace(change, previous_mode=int(effect_of(change, report).value or 0))
        journalled, applied = await self._apply(keys, change, request, report, context)
        effective = applied.report.effective
        # An engine that was still starting when the call came has reported since.
        before = report or applied.before
        previous = before.effective.mode if before is not None else 0
        if journalled.outcome == AppendOutcome.REPEATED:
            previous = await self._first_answer(keys, request, journalled.revision)
        return pb.SetModeResponse(
            previous_mode=cast(Mode, previous), mode=cast(Mode, effective.mode), revision=applied.revision
        )

    async def _first_answer(self, keys: SessionKeys, request: pb.SetModeRequest, revision: int) -> int:
        """The previous mode that the first request with this id was told."""
        entry = await self._journal.entry(keys, revision)
        if entry is not None and entry.request_id == request.request_id and isinstance(entry.change, SetMode):
            return entry.change.previous_mode
        # The intent is another request's: the first one found its mode in effect.
        return request.mode

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
        applied = await self._change(request, Pause(), context)
        return pb.PauseResponse(revision=applied.revision)

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        applied = await self._change(request, Resume(), context)
        return pb.ResumeResponse(revision=applied.revision)

    async def SetSpeed(self, request: pb.SetSpeedRequest, context: Context) -> pb.SetSpeedResponse:
        change = SetSpeed(abs(request.speed) if request.speed == 0 else request.speed)  # -0 is 0
        if not change.in_range:
            raise InvalidRequest(
                "speed", f"must be 0 (as fast as possible) or up to {SPEED_MAX:g}, got {request.speed}"
            )
        applied = await self._change(request, change, context)
        return pb.SetSpeedResponse(speed=applied.report.effective.speed, revision=applied.revision)

    async def SetRange(self, request: pb.SetRangeRequest, context: Context) -> pb.SetRangeResponse:
        applied = await self._change(request, range_of(request), context)
        return pb.SetRangeResponse(revision=applied.revision)

    async def Seek(self, request: pb.SeekRequest, context: Context) -> pb.SeekResponse:
        effect = await self._happen(request, await self._seek_of_all(request), context)
        return pb.SeekResponse(
            revision=effect.revision,
            position_arrival_time_ns=effect.position_arrival_time_ns,
            sequence=effect.marker_sequence,
        )

    async def Step(self, request: pb.StepRequest, context: Context) -> pb.StepResponse:
        step = step_of(request)
        await self._refuse_counting(
            self._keys(request.session), "a step counts ticks; schedule a pause at an arrival time (`when`)"
        )
        effect = await self._happen(request, step, context)
        return pb.StepResponse(
            revision=effect.revision,
            ticks=effect.steps,
            position_arrival_time_ns=effect.position_arrival_time_ns,
        )

    async def _seek_of_all(self, request: pb.SeekRequest) -> events.Seek:
        """Read where a request wants to go, as every partition of its session understands it."""
        seek, keys = seek_of(request), self._keys(request.session)
        if seek.to == "sequence":
            await self._refuse_counting(keys, "a sequence is that of one partition; seek to an arrival time")
        if seek.to == "by" and await self._journal.partitions(keys) > 1:
            # Each partition stands at its own last record.
            report = await self._reports.known(keys)
            return events.Seek("time", (0 if report is None else report.position_arrival_time_ns) + seek.at)
        return seek

    async def _refuse_counting(self, keys: SessionKeys, way_out: str) -> None:
        """Raise FailedPrecondition where records are counted by several partitions, each its own."""
        count = await self._journal.partitions(keys)
        if count > 1:
            raise FailedPrecondition(f"session `{keys.session}` is published in {count:,} partitions, and {way_out}")

    async def ListScheduled(self, request: pb.ListScheduledRequest, context: Context) -> pb.ListScheduledResponse:
        state = await self._reports.describe(self._keys(request.session))
        return pb.ListScheduledResponse(scheduled=state.scheduled)

    async def CancelScheduled(self, request: pb.CancelScheduledRequest, context: Context) -> pb.CancelScheduledResponse:
        effect = await self._happen(request, Cancel(request.revision), context)
        return pb.CancelScheduledResponse(revision=effect.revision)

    async def _happen(self, request: Any, event: Event, context: Context) -> Effect:
        """Have an event take effect once; returns where it did. Raises FailedPrecondition when it was refused."""
        keys = self._keys(request.session)
        applied = await self._change(request, event, context)
        effect = await self._journal.effect(keys, applied.revision)
        if effect is None:
            raise FailedPrecondition(
                f"session `{keys.session}`: what became of intent {applied.revision} is not kept any more"
            )
        return effect

    async def _change(self, request: Any, change: Change, context: Context) -> Applied:
        """Have a change take effect, or put on the list. Raises FailedPrecondition when it was refused."""
        keys = self._keys(request.session)
        note(session=keys.session, request_id=request.request_id, asked=change.kind, value=shown(change))
        report = await self._reports.known(keys)
        return (await self._apply(keys, change, request, report, context))[1]

    def _keys(self, session: str) -> SessionKeys:
        return SessionKeys(check_session_name(session) if session else self._default_session)

    async def _apply(
        self, keys: SessionKeys, change: Change, request: Any, report: EngineReport | None, context: Context
    ) -> tuple[Journalled, Applied]:
        """Journal `change` and wait until it is effective, or on the list; the intent stays journalled when the wait runs out."""
        request_id, when = request.request_id, None if isinstance(change, Cancel) else when_of(request)
        if when is not None and when.after_sequence is not None:
            await self._refuse_counting(keys, "a sequence is that of one partition; schedule at an arrival time")
        if len(request_id) > REQUEST_ID_LENGTH_MAX:
            raise InvalidRequest(
                "request_id", f"must have at most {REQUEST_ID_LENGTH_MAX} characters, got {len(request_id)}"
            )
        intent = Intent(
            change,
            request_id=request_id,
            correlation_id=current_correlation_id(),
            traceparent=tracing.traceparent(),
            when=when,
        )
        journalled = await self._journal.append(keys, intent, effect=effect_of(intent.setting, report))
        note(revision=journalled.revision, outcome=journalled.outcome.name)
        try:
            async with asyncio.timeout(_wait_s(context.time_remaining())):
                applied = await self._reports.wait_applied(keys, intent.setting, journalled)
        except TimeoutError:
            raise DeadlineExceeded(
                f"intent {journalled.revision} for session `{keys.session}` is journalled but not effective yet; "
                "the replay server applies it when it runs, GetState tells"
            ) from None
        if applied.refused:
            raise FailedPrecondition(f"session `{keys.session}`: {applied.refused}")
        return journalled, applied


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
    if quiet.HasField("hand_over"):
        quiet.hand_over.buffered_frames = before.hand_over.buffered_frames
    return quiet != before


def _is_configured(report: EngineReport, mode: int) -> bool:
    return report.live.configured if mode == MODE_LIVE else report.historical.configured


def _not_configured(session: str, mode: int) -> str:
    setting = "MIDSTREAM_LIVE_URL" if mode == MODE_LIVE else "MIDSTREAM_HISTORICAL"
    return f"session `{session}` has no {MODE_NAMES[mode]} source; start the replay server with {setting}"
