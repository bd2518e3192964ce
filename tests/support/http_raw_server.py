"""An HTTP server made of bare sockets: it counts what it was asked and answers whatever bytes a test wants, or none."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

from tests.support.loopback_server import LoopbackServer, reset_when_closed

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]
"""Gets a complete request and the connection; returns whether the connection goes on."""


class RawServer(LoopbackServer):
    """Use as an async context manager. `requests` are the complete requests read so far, `connections` counts accepted ones."""

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._answer = answer
        self._tls = tls
        self._writers: list[asyncio.StreamWriter] = []
        self._heard = asyncio.Event()
        self.requests: list[bytes] = []

    @property
    def url(self) -> str:
        """Origin without a final slash."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)

    async def _ended(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await super()._ended()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await _read_request(reader)
                self.requests.append(request)
                self._heard.set()
                if not await self._answer(request, writer):
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            # Not waited for: with TLS that would take until the other side says goodbye, too.
            writer.close()
            self._writers.append(writer)

    async def wait_requests(self, count: int) -> None:
        """Wait until so many requests have been read in full."""
        while len(self.requests) < count:
            await self._heard.wait()
            self._heard.clear()


def response(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "", length: bool = True) -> bytes:
    """Return a complete answer; `headers` are lines with CRLF."""
    size = f"Content-Length: {len(body)}\r\n" if length else ""
    return f"HTTP/1.1 {status}\r\n{size}{headers}\r\n".encode() + body


def answering(data: bytes, *, keep: bool = True) -> Answer:
    """Return an answer that sends these bytes."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return keep

    return answer


def resetting(data: bytes) -> Answer:
    """Return an answer that sends these bytes and then resets the connection."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        reset_when_closed(writer.get_extra_info("socket"))
        return False

    return answer


async def silent(request: bytes, writer: asyncio.StreamWriter) -> bool:
    """Read the request and say nothing until the test ends."""
    await asyncio.Event().wait()
    return False


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head
