"""Typed client of the control server, for programs that are not asynchronous."""

from __future__ import annotations

import uuid
from types import TracebackType
from typing import Final

from clients.rpc.channel import ChannelSettings, Line
from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, HandOver, Mode, TimeRange
from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceStub

MODES: Final = {Mode.Name(mode).removeprefix("MODE_").lower(): mode for mode in (MODE_HISTORICAL, MODE_LIVE)}
"""The modes by what people call them: `historical` and `live`."""


HAND_OVERS: Final = {
    "": HandOver.KIND_UNSPECIFIED,
    **{
        HandOver.Kind.Name(kind).removeprefix("KIND_").lower().replace("_", "-"): kind
        for kind in (HandOver.KIND_AT_ONCE, HandOver.KIND_AT_END, HandOver.KIND_JOIN)
    },
}
"""The hand-overs by what people call them."""


class ControlClient:
    """Changes and reads the state of one session.

    Every change carries a fresh request id, so a retry of the transport cannot apply it twice. Methods raise grpc.RpcError, and
    UnusableChannel for certificates that cannot be used.
    """

    def __init__(
        self, address: str, *, session: str = "", timeout_s: float = 30.0, channel: ChannelSettings | None = None
    ) -> None:
        self._line = Line(address, channel)
        self._session = session
        self._timeout_s = timeout_s

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()

    def set_mode(self, mode: str, *, when: pb.When | None = None, hand_over: str = "") -> pb.SetModeResponse:
        """Switch to `historical` or `live` and wait until it is effective; here as below, a command with `when` is only put on the list.

        `hand_over` is at-once, at-end or join; the latter two are only begun.
        """
        request = pb.SetModeRequest(
            session=self._session,
            mode=MODES[mode],
            request_id=uuid.uuid4().hex,
            when=when,
            hand_over=HAND_OVERS[hand_over],
        )
        return self._line.call(lambda channel: ControlServiceStub(channel).SetMode, request, timeout_s=self._timeout_s)

    def state(self) -> pb.ControlState:
        """Read what was asked for and what is effective."""
        return self._line.call(
            lambda channel: ControlServiceStub(channel).GetState,
            pb.GetStateRequest(session=self._session),
            timeout_s=self._timeout_s,
        ).state

    def pause(self, *, when: pb.When | None = None) -> int:
        """Pause and return the revision."""
        request = pb.PauseRequest(session=self._session, request_id=uuid.uuid4().hex, when=when)
        return self._line.call(
            lambda channel: ControlServiceStub(channel).Pause, request, timeout_s=self._timeout_s
        ).revision

    def resume(self, *, when: pb.When | None = None) -> int:
        """Continue and return the revision."""
        request = pb.ResumeRequest(session=self._session, request_id=uuid.uuid4().hex, when=when)
        return self._line.call(
            lambda channel: ControlServiceStub(channel).Resume, request, timeout_s=self._timeout_s
        ).revision

    def set_speed(self, speed: float, *, when: pb.When | None = None) -> pb.SetSpeedResponse:
        """Set the factor of real time; 0 is as fast as possible."""
        request = pb.SetSpeedRequest(session=self._session, speed=speed, request_id=uuid.uuid4().hex, when=when)
        return self._line.call(lambda channel: ControlServiceStub(channel).SetSpeed, request, timeout_s=self._timeout_s)

    def seek(
        self,
        *,
        arrival_time_ns: int | None = None,
        by_ns: int | None = None,
        sequence: int | None = None,
        begin: bool = False,
        end: bool = False,
        when: pb.When | None = None,
    ) -> pb.SeekResponse:
        """Move replay time to one of these places and wait until it is there.

        Before what arrives at `arrival_time_ns` or later, `by_ns` from now (negative is back), before the historical record that had
        the number `sequence`, before the first one, or behind the last one.
        """
        places = {"arrival_time_ns": arrival_time_ns, "by_ns": by_ns, "sequence": sequence}
        chosen: dict[str, int | bool] = {name: value for name, value in places.items() if value is not None}
        chosen |= {name: True for name, wanted in (("begin", begin), ("end", end)) if wanted}
        if len(chosen) != 1:
            raise ValueError(f"name one place to seek to, not {len(chosen)}")
        request = pb.SeekRequest(session=self._session, request_id=uuid.uuid4().hex, when=when)
        for name, value in chosen.items():
            setattr(request, name, value)
        return self._line.call(lambda channel: ControlServiceStub(channel).Seek, request, timeout_s=self._timeout_s)

    def step(self, ticks: int = 1, *, ticker: str = "", when: pb.When | None = None) -> pb.StepResponse:
        """Pause, and publish so many ticks, or all up to the next one of `ticker`; wait until they are published."""
        request = pb.StepRequest(
            session=self._session, request_id=uuid.uuid4().hex, ticks=0 if ticker else ticks, ticker=ticker, when=when
        )
        return self._line.call(lambda channel: ControlServiceStub(channel).Step, request, timeout_s=self._timeout_s)

    def set_range(
        self,
        *,
        start_arrival_time_ns: int | None = None,
        end_arrival_time_ns: int | None = None,
        loop: bool = False,
        when: pb.When | None = None,
    ) -> int:
        """Play this part, and stop or begin again at its end; return the revision. No bounds are everything."""
        request = pb.SetRangeRequest(
            session=self._session,
            request_id=uuid.uuid4().hex,
            range=TimeRange(start_arrival_time_ns=start_arrival_time_ns, end_arrival_time_ns=end_arrival_time_ns),
            loop=loop,
            when=when,
        )
        return self._line.call(
            lambda channel: ControlServiceStub(channel).SetRange, request, timeout_s=self._timeout_s
        ).revision

    def scheduled(self) -> list[pb.ScheduledCommand]:
        """List the commands that wait for their place."""
        request = pb.ListScheduledRequest(session=self._session)
        answer = self._line.call(
            lambda channel: ControlServiceStub(channel).ListScheduled, request, timeout_s=self._timeout_s
        )
        return list(answer.scheduled)

    def cancel_scheduled(self, revision: int) -> int:
        """Have a scheduled command not happen; return the revision of that."""
        request = pb.CancelScheduledRequest(session=self._session, request_id=uuid.uuid4().hex, revision=revision)
        return self._line.call(
            lambda channel: ControlServiceStub(channel).CancelScheduled, request, timeout_s=self._timeout_s
        ).revision
