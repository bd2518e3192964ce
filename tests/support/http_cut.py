"""A way to an HTTP server that ends after so many bytes of one direction: in the middle of a handshake, a request or an answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Literal, Self

End = Literal["close", "reset"]


class CutWay:
    """Forwards to a port of this machine, up to `request` bytes there and `answer` bytes back; use as an async context manager.

    `forwarded` is what got there, `returned` what came back, of all connections together.
    """

    def __init__(self, port: int, *, request: int | None = None, answer: int | None = None, end: End = "close") -> None:
        self._upstream = port
        self._request = request
        self._answer = answer
        self._end = end
        self._tasks: set[asyncio.Task[None]] = set()
        self.forwarded = b""
        self.returned = b""
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of ours: asyncio's own would report its cancellation as an error of the test.
        task = asyncio.create_task(self._link(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            ways = [
                asyncio.create_task(self._forward(reader, there_writer)),
                asyncio.create_task(self._return(there_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            if self._end == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            writer.close()
            there_writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (room := _room(self._request, self.forwarded)) > 0 and (data := await reader.read(room)):
            self.forwarded += data
            writer.write(data)
            await writer.drain()

    async def _return(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (room := _room(self._answer, self.returned)) > 0 and (data := await reader.read(room)):
            self.returned += data
            writer.write(data)
            await writer.drain()


def _room(limit: int | None, gone: bytes) -> int:
    return 64 * 1024 if limit is None else limit - len(gone)
