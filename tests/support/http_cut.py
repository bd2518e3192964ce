"""A way to an HTTP server that ends after so many bytes of one direction: in the middle of a handshake, a request or an answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

from tests.support.loopback_server import LoopbackServer, reset_when_closed

End = Literal["close", "reset"]


class CutWay(LoopbackServer):
    """Forwards to a port of this machine, up to `request` bytes there and `answer` bytes back; use as an async context manager.

    `forwarded` is what got there, `returned` what came back, of all connections together.
    """

    def __init__(self, port: int, *, request: int | None = None, answer: int | None = None, end: End = "close") -> None:
        super().__init__()
        self._upstream = port
        self._request = request
        self._answer = answer
        self._end = end
        self.forwarded = b""
        self.returned = b""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
                reset_when_closed(writer.get_extra_info("socket"))
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
