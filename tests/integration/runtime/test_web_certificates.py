"""What an application behind a web face knows of its clients' certificates, over requests and websockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from services.runtime.access.credentials import credentials_in
from services.runtime.tls import TlsFiles
from services.runtime.web import WebFace
from tests.support.handshakes import Callers

NAMES = ("dns:desk.internal", "uri:spiffe://desk/feed")


class Noting:
    """Answers every request and websocket with the names that its client's certificate has."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        names = " ".join(credentials_in(scope).certificate_names)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": names})
            await send({"type": "websocket.close"})
            return
        headers = [(b"content-length", str(len(names)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": names.encode()})


@asynccontextmanager
async def serving(folder: Path, *, mutual: bool) -> AsyncIterator[tuple[Callers, int]]:
    callers = Callers(folder)
    files = TlsFiles(*callers.server, callers.client_ca if mutual else None)
    files.load()
    face = WebFace(Noting(), host="127.0.0.1", port=0, setting="TEST", tls=files.ssl_context())
    port = await face.start()
    try:
        async with asyncio.timeout(60):
            yield callers, port
    finally:
        await face.stop()


async def ask_twice(port: int, callers: Callers) -> list[str]:
    """Return two answers over one connection."""
    context = callers.context(callers.good, "http/1.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    answers = []
    for _request in range(2):
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-client-cert: dns:boss\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        answers.append((await reader.readexactly(length)).decode())
    writer.close()
    return answers


async def test_every_request_of_a_connection_has_its_names(tmp_path: Path) -> None:
    async with serving(tmp_path, mutual=True) as (callers, port):
        assert await ask_twice(port, callers) == [" ".join(NAMES)] * 2


async def test_a_websocket_has_them_too(tmp_path: Path) -> None:
    async with serving(tmp_path, mutual=True) as (callers, port):
        context = callers.context(callers.good, "http/1.1")
        async with connect(f"wss://localhost:{port}/", ssl=context, proxy=None) as socket:
            assert await socket.recv() == " ".join(NAMES)


async def test_where_nobody_asks_for_certificates_nobody_has_a_name(tmp_path: Path) -> None:
    async with serving(tmp_path, mutual=False) as (callers, port):
        assert await ask_twice(port, callers) == ["", ""]
