"""Typed client of the replay server, for programs that are not asynchronous."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

import grpc

from clients.rpc.channel import ChannelSettings, Line
from clients.rpc.delivery import DEFAULT_DELIVERY, Delivery
from clients.rpc.following import Follower, Start
from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub


class ReplayClient:
    """Reads sessions and their ticks. Methods raise grpc.RpcError, and UnusableChannel for certificates that cannot be used."""

    def __init__(self, address: str, *, timeout_s: float = 15.0, channel: ChannelSettings | None = None) -> None:
        self._line = Line(address, channel)
        self._timeout_s = timeout_s

    def __enter__(self) -> ReplayClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()

    def sessions(self) -> Iterator[pb.Session]:
        """Return every session, in the order of the names."""
        token = ""
        while True:
            page = self._line.call(
                lambda channel: ReplayServiceStub(channel).ListSessions,
                pb.ListSessionsRequest(page_token=token),
                timeout_s=self._timeout_s,
            )
            yield from page.sessions
            token = page.next_page_token
            if not token:
                return

    def session(self, name: str = "") -> pb.Session:
        """Return one session; without a name, that of the server."""
        return self._line.call(
            lambda channel: ReplayServiceStub(channel).GetSession,
            pb.GetSessionRequest(session=name),
            timeout_s=self._timeout_s,
        ).session

    def partitions(self, session: str = "") -> list[pb.Partition]:
        """Return who produces each partition of a session, and how far it is; without a name, of that of the server."""
        return list(
            self._line.call(
                lambda channel: ReplayServiceStub(channel).ListPartitions,
                pb.ListPartitionsRequest(session=session),
                timeout_s=self._timeout_s,
            ).partitions
        )

    def create_session(self, definition: pb.SessionDefinition, *, name: str = "") -> pb.Session:
        """Create a session and return it; without a name the server makes one up, and a call must not be repeated then."""
        return self._line.call(
            lambda channel: ReplayServiceStub(channel).CreateSession,
            pb.CreateSessionRequest(session=name, definition=definition),
            timeout_s=self._timeout_s,
        ).session

    def delete_session(self, name: str) -> dict[str, str]:
        """End a session; return where the logs of its sinks stay, by their names, or by SINK on HOST where several servers share them.

        It waits for them: ten seconds if they are away.
        """
        answer = self._line.call(
            lambda channel: ReplayServiceStub(channel).DeleteSession,
            pb.DeleteSessionRequest(session=name),
            timeout_s=self._timeout_s,
        )
        found: dict[str, str] = {}
        for logs in answer.logs:
            name = f"{logs.sink} on {logs.host}" if logs.host else logs.sink
            found[name] = f"{found[name]}, {logs.directory}" if name in found else logs.directory
        return found

    def ticks(
        self,
        start: Start,
        *,
        session: str = "",
        tickers: Sequence[str] = (),
        delivery: Delivery = DEFAULT_DELIVERY,
        partition: int | None = None,
    ) -> Follower[TickBatch, TickBatch]:
        """Follow a session's ticks over lost connections. Rejections and markers come whatever the tickers are.

        A session of several partitions comes in its one order, or one `partition` under its own numbers.
        """

        def stream(channel: grpc.Channel, at: Start) -> grpc._CallIterator[TickBatch]:
            request = pb.StreamTicksRequest(session=session, tickers=tickers)
            delivery.ask(request)
            if partition is not None:
                request.partition = partition
            if at.positions:
                request.after.extend(at.positions)
            elif at.after is not None:
                request.after_sequence, request.epoch = at.after, at.epoch
            elif at.latest:
                request.latest_per_ticker = True
            elif at.arrival_time_ns is not None:
                request.from_arrival_time_ns = at.arrival_time_ns
            elif not at.oldest:
                request.from_now = True
            return ReplayServiceStub(channel).StreamTicks(request, metadata=self._line.settings.metadata)

        return Follower(self._line, stream, lambda batch: batch, start)
