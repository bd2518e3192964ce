"""A server that speaks the API of the exchange in `docs/adding_an_exchange.md`."""

from __future__ import annotations

import asyncio
import json
import time
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

Scripted = tuple[int, dict[str, str], bytes]


class ToyServer:
    """One answer per request, the scripted ones first; an async context manager."""

    def __init__(self) -> None:
        self.url = ""
        self.requests = 0
        self.ahead_ns = 2_000_000_000
        """How much its clock is ahead of ours."""
        self.next: list[Scripted] = []
        self.quote = {"bid": "50000.00", "bid_size": "0.50", "ask": "50000.50", "ask_size": "1.25"}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        target = head.split(b" ", 2)[1].decode()
        status, headers, body = self.next.pop(0) if self.next else self._answer(target)
        lines = {"Content-Length": str(len(body)), "Connection": "close", "X-Used": str(self.requests)} | headers
        text = f"HTTP/1.1 {status} Said\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(text.encode() + b"\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _answer(self, target: str) -> Scripted:
        parts = urlsplit(target)
        time_ms = (time.time_ns() + self.ahead_ns) // 1_000_000
        said: object
        match parts.path:
            case "/time":
                said = {"time_ms": time_ms}
            case "/instruments":
                row = {"quote": "EUR", "tick": "0.5", "lot": "0.0001"}
                said = [
                    {"name": "btc-eur", "base": "BTC", "open": True} | row,
                    {"name": "eth-eur", "base": "ETH", "open": False} | row,
                ]
            case "/quote" if parse_qs(parts.query) == {"name": ["btc-eur"]}:
                said = self.quote | {"time_ms": time_ms}
            case "/last" if parse_qs(parts.query) == {"name": ["btc-eur"]}:
                said = {"price": "50001", "time_ms": time_ms}
            case _:
                return 404, {}, b'{"code": "NO_SUCH_NAME", "text": "there is no such thing"}'
        return 200, {}, json.dumps(said).encode()
