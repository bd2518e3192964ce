"""Typed client of the health server, for programs that are not asynchronous."""

from __future__ import annotations

from types import TracebackType

from clients.rpc.channel import ChannelSettings, Line
from protos.health.v1 import health_pb2 as pb
from protos.health.v1.health_pb2_grpc import HealthServiceStub


class HealthClient:
    """Reads the report about everything. Methods raise grpc.RpcError, and UnusableChannel for certificates that cannot be used."""

    def __init__(self, address: str, *, timeout_s: float = 10.0, channel: ChannelSettings | None = None) -> None:
        self._line = Line(address, channel)
        self._timeout_s = timeout_s

    def __enter__(self) -> HealthClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()

    def report(self) -> pb.Report:
        """Return the last report; nothing is checked for it."""
        return self._line.call(
            lambda channel: HealthServiceStub(channel).GetReport, pb.GetReportRequest(), timeout_s=self._timeout_s
        ).report
