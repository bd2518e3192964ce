"""Messages of the control service to intents, and back to messages."""

from __future__ import annotations

from typing import Any, cast

from protos.common.v1.market_pb2 import Mode, TimeRange
from protos.control.v1 import control_pb2 as pb
from services.runtime.errors import InvalidRequest
from services.runtime.session.events import STEPS_MAX, Seek, Step, When
from services.runtime.session.hand_over import HAND_OVERS, HandOverKind
from services.runtime.session.intents import MODE_NAMES, Change, Intent, Range, SetMode, SetRange, SetSpeed


def seek_of(request: pb.SeekRequest) -> Seek:
    """Read where a request wants to go. Raises InvalidRequest."""
    match request.WhichOneof("to"):
        case "arrival_time_ns":
            return Seek("time", request.arrival_time_ns)
        case "by_ns":
            return Seek("by", request.by_ns)
        case "sequence":
            return Seek("sequence", request.sequence)
        case "begin" if request.begin:
            return Seek("begin")
        case "end" if request.end:
            return Seek("end")
    raise InvalidRequest("to", "needs one of arrival_time_ns, by_ns, begin: true, end: true and sequence")


def mode_of(request: pb.SetModeRequest) -> SetMode:
    """Read which mode to switch to, and how. Raises InvalidRequest."""
    if request.mode not in MODE_NAMES:
        raise InvalidRequest("mode", f"must be MODE_HISTORICAL or MODE_LIVE, got {mode_name(request.mode)}")
    try:
        kind = HandOverKind.of(request.hand_over)
    except ValueError:
        raise InvalidRequest(
            "hand_over", f"must be KIND_AT_ONCE, KIND_AT_END or KIND_JOIN, got {request.hand_over}"
        ) from None
    change = SetMode(request.mode, hand_over=kind)
    if kind is not HandOverKind.AT_ONCE and not change.waits:
        raise InvalidRequest("hand_over", "has no meaning with MODE_HISTORICAL: leave it out")
    return change


def step_of(request: pb.StepRequest) -> Step:
    """Read how far to step. Raises InvalidRequest."""
    if request.ticker and request.ticks > 1:
        raise InvalidRequest("ticks", "has no meaning with a ticker: leave one of them out")
    if request.ticks > STEPS_MAX:
        raise InvalidRequest("ticks", f"must be up to {STEPS_MAX:,}, got {request.ticks:,}")
    return Step(request.ticks or 1, request.ticker)


def range_of(request: pb.SetRangeRequest) -> SetRange:
    """Read what to play. Raises InvalidRequest."""
    bounds = request.range
    change = SetRange(
        Range(
            bounds.start_arrival_time_ns if bounds.HasField("start_arrival_time_ns") else None,
            bounds.end_arrival_time_ns if bounds.HasField("end_arrival_time_ns") else None,
            request.loop,
        )
    )
    if not change.in_order:
        raise InvalidRequest("range", "must begin before it ends")
    return change


def when_of(request: Any) -> When | None:
    """Read when a command takes effect; None is at once. Raises InvalidRequest."""
    when: pb.When = request.when
    match when.WhichOneof("place"):
        case "at_arrival_time_ns":
            return When(arrival_time_ns=when.at_arrival_time_ns)
        case "after_sequence":
            return When(after_sequence=when.after_sequence)
        case "at_end" if when.at_end:
            return When(at_end=True)
        case None if not request.HasField("when"):
            return None
    raise InvalidRequest("when", "needs one of at_arrival_time_ns, after_sequence and at_end: true")


def range_message(played: Range) -> TimeRange | None:
    """Return a range as a message; None for everything."""
    if played.start_ns is None and played.end_ns is None:
        return None
    return TimeRange(start_arrival_time_ns=played.start_ns, end_arrival_time_ns=played.end_ns)


def scheduled_message(scheduled: dict[str, Any]) -> pb.ScheduledCommand:
    """Return a command that waits, as the report has it. Raises what reading values that are none raises."""
    intent = Intent.read(scheduled["intent"])
    assert intent.when is not None
    when = intent.when
    return pb.ScheduledCommand(
        revision=int(scheduled["revision"]),
        kind=intent.change.kind,
        when=pb.When(
            at_arrival_time_ns=when.arrival_time_ns, after_sequence=when.after_sequence, at_end=when.at_end or None
        ),
        what=str(shown(intent.change) or ""),
    )


def shown(change: Change) -> object:
    """What a change sets, for people; None where its kind says it."""
    match change:
        case SetMode(mode=mode) if change.waits:
            return f"{MODE_NAMES[mode]}, {kind_name(change.hand_over)}"
        case SetMode(mode=mode):
            return MODE_NAMES.get(mode, mode)
        case SetSpeed(speed=speed):
            return speed
        case Seek(to=to, at=at):
            return f"{to} {at}" if to in ("time", "by", "sequence") else to
        case Step(ticks=ticks, ticker=ticker):
            return ticker or ticks
        case SetRange(range=played):
            return str(played)
    return None


def kind_name(kind: HandOverKind) -> str:
    """Return what people call a hand-over."""
    return next(name for name, one in HAND_OVERS.items() if one is kind)


def mode_name(mode: int) -> str:
    """Return what the proto calls a mode."""
    return Mode.Name(cast(Mode, mode)) if mode in Mode.values() else str(mode)
