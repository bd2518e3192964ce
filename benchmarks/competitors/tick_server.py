"""Streams one tick per message: `python -m benchmarks.competitors.tick_server TICKS FILE`; prints its port.

The messages are encoded before anybody connects, so that only sending them counts.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from benchmarks.ordering import Feeder
from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, encode_batch
from protos.replay.v1.replay_pb2 import (
    CreateSessionRequest,
    CreateSessionResponse,
    DeleteSessionRequest,
    DeleteSessionResponse,
    GetSessionRequest,
    GetSessionResponse,
    ListPartitionsResponse,
    ListSessionsRequest,
    ListSessionsResponse,
    StreamTicksRequest,
)
from protos.replay.v1.replay_pb2_grpc import ReplayServiceServicer, add_ReplayServiceServicer_to_server
from services.runtime.raw_stream import register_with_raw_stream


class TickServicer(ReplayServiceServicer):
    """Sends the same messages to everybody, and knows no other method."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = messages

    async def StreamTicks(  # type: ignore[override]  # bytes on purpose
        self, request: StreamTicksRequest, context: Any
    ) -> AsyncIterator[bytes]:
        """Send every message."""
        for message in self._messages:
            yield message

    async def ListSessions(self, request: ListSessionsRequest, context: Any) -> ListSessionsResponse:
        """Know none."""
        return ListSessionsResponse()

    async def GetSession(self, request: GetSessionRequest, context: Any) -> GetSessionResponse:
        """Know none."""
        return GetSessionResponse()

    async def CreateSession(self, request: CreateSessionRequest, context: Any) -> CreateSessionResponse:
        """Make none."""
        return CreateSessionResponse()

    async def DeleteSession(self, request: DeleteSessionRequest, context: Any) -> DeleteSessionResponse:
        """End none."""
        return DeleteSessionResponse()

    async def ListPartitions(self, request: Any, context: Any) -> ListPartitionsResponse:
        return ListPartitionsResponse()


def encoded(ticks: int, path: str) -> list[bytes]:
    """Encode the first `ticks` rows of a file, one by one."""
    tickers = Tickers()
    block, source = Block(tickers), Feeder(path, 0, tickers)
    while len(block) < ticks and not source.finished:
        source.feed(block, ticks - len(block))
    return [_message(block, row, path) for row in range(ticks)]


def _message(block: Block, row: int, path: str) -> bytes:
    return encode_batch(
        block, row, row + 1, epoch="e" * 16, mode=MODE_HISTORICAL, first_sequence=row + 1, sources=[path]
    )[0]


async def serve(messages: list[bytes]) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    register_with_raw_stream(
        server, add_ReplayServiceServicer_to_server, TickServicer(messages), raw_methods=("StreamTicks",)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(encoded(int(sys.argv[1]), sys.argv[2])))
