"""The connection itself, over real TCP: what passes the library's parser, and in which order its handler is told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from clients.sockets.connection import StampedConnection, open_connection

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Told:
    """What a handler was told, in order."""

    calls: list[Any] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_traffic(self) -> None:
        self.calls.append("traffic")

    def on_messages(self, payloads: list[bytes], *, binary: bool) -> None:
        self.calls.append(("binary" if binary else "text", payloads))

    def on_closed(self, reason: str, code: int | None) -> None:
        self.calls.append((reason, code))
        self.closed.set()


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin=fin).serialize(mask=False)


@asynccontextmanager
async def connected(told: Told, frames: bytes, *, message_bytes_max: int = 1000) -> AsyncIterator[StampedConnection]:
    """Yield a connection to a server that sends these bytes in one write with the end of its handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        (key,) = (
            line.split(b":")[1].strip()
            for line in request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
        head = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        )
        writer.write(head + accept + b"\r\n\r\n" + frames)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await open_connection(
            f"ws://127.0.0.1:{port}/",
            told,
            message_bytes_max=message_bytes_max,
            options={"ping_interval": None, "close_timeout": 0.2},
        )
        try:
            yield connection
        finally:
            connection.transport.abort()
            await told.closed.wait()


async def test_messages_of_one_read_come_together_behind_its_traffic() -> None:
    told = Told()
    frames = frame(Opcode.TEXT, b"1") + frame(Opcode.TEXT, b"2") + frame(Opcode.BINARY, b"3")

    async with connected(told, frames):
        pass

    assert told.calls[:3] == ["traffic", ("text", [b"1", b"2"]), ("binary", [b"3"])]


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
async def test_only_messages_in_fragments_pass_the_library(monkeypatch: pytest.MonkeyPatch, opcode: Opcode) -> None:
    told, parsed = Told(), []
    through = StampedConnection.process_event

    def recorded(self: ClientConnection, event: Any) -> None:
        if isinstance(event, Frame):
            parsed.append(bytes(event.data))
        through(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(StampedConnection, "process_event", recorded)
    whole = b"".join(frame(opcode, b"whole") for _ in range(100))
    parts = frame(opcode, b"in ", fin=False) + frame(Opcode.CONT, b"parts")

    async with connected(told, whole + parts + whole):
        pass

    kind = "binary" if opcode is Opcode.BINARY else "text"
    assert parsed == [b"in ", b"parts"]
    assert told.calls[1:4] == [(kind, [b"whole"] * 100), (kind, [b"in parts"]), (kind, [b"whole"] * 100)]


async def test_a_message_over_the_bound_ends_the_connection_with_the_code_for_it() -> None:
    told = Told()

    async with connected(told, frame(Opcode.TEXT, b"fits") + frame(Opcode.TEXT, b"x" * 1001)):
        await told.closed.wait()

    assert told.calls[:2] == ["traffic", ("text", [b"fits"])]
    reason, _ = told.calls[-1]
    assert "1009" in reason
