"""Certificates that change under load: no call fails, no stream ends, and the next handshake has the new ones."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.runtime.server import bind_port
from services.runtime.tls import TlsFiles
from services.runtime.web import WebFace
from tests.support.calls import NAME, TestServicer
from tests.support.tls import Authority, Pair

ROTATIONS = 20
HANDSHAKES = 1000
BATCH = 10
PATIENCE_S = 30.0

LOCAL = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
"""A channel of its own connection, which does not try again."""


class Place:
    """Where the server's files are, and who signs them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority()
        self.client = self.authority.pair("desk.internal")
        self.now = self.authority.pair("localhost", "127.0.0.1")
        self.cert, self.key = self.now.write(folder, "server")
        self.ca = self.authority.write(folder, "clients")
        self.files = TlsFiles(self.cert, self.key, self.ca)

    def rotation(self) -> Iterator[Callable[[], object]]:
        """Yield the steps in which a careless script replaces everything."""
        new = self.authority.pair("localhost", "127.0.0.1")
        bundle = Authority().pem + self.authority.pem
        half = len(new.chain) // 2
        yield lambda: self.cert.write_bytes(new.chain[:half])
        yield lambda: self.key.write_bytes(b"")
        yield lambda: self.cert.write_bytes(new.chain)
        yield lambda: self.ca.write_bytes(bundle[: len(bundle) - 90])
        yield lambda: (self.key.write_bytes(new.key), self.ca.write_bytes(bundle))
        self.now = new


@asynccontextmanager
async def serving(place: Place) -> AsyncIterator[int]:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    TestServicer().add_to(server)
    port = bind_port(server, "127.0.0.1", 0, "MIDSTREAM_PORT", place.files.grpc_credentials())
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


def channel(port: int, authority: Authority, shown: Pair | None) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        authority.pem, shown.key if shown else None, shown.chain if shown else None
    )
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=LOCAL)


async def presented(port: int, place: Place, folder: Path) -> bytes:
    """Return the certificate that the server shows now, as PEM."""
    context = place.authority.trusting(place.client.write(folder, "shown"))
    context.set_alpn_protocols(["h2"])
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    tls = writer.get_extra_info("ssl_object")
    writer.close()
    return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)).encode()


@pytest.mark.quick
async def test_a_thousand_handshakes_over_twenty_rotations_fail_not_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    steps = HANDSHAKES // BATCH // ROTATIONS

    async def call() -> bytes:
        async with channel(port, place.authority, place.client) as own:
            return bytes(await own.unary_unary(f"/{NAME}/Unary")(b"hello", timeout=PATIENCE_S))

    async with serving(place) as port, channel(port, place.authority, place.client) as kept:
        stream = kept.unary_stream(f"/{NAME}/Stream")(b"forever", timeout=120)
        assert await stream.read() == b"first"
        started_s, done = time.perf_counter(), 0
        for _rotation in range(ROTATIONS):
            rotation = place.rotation()
            for _step in range(steps):
                next(rotation)()
                answers = await asyncio.gather(*(call() for _ in range(BATCH)))
                assert answers == [b"hello"] * BATCH
                done += BATCH
            assert next(rotation, None) is None
            assert await presented(port, place, tmp_path) == place.now.chain
            assert await kept.unary_unary(f"/{NAME}/Unary")(b"on the old connection", timeout=PATIENCE_S)
        took_s = time.perf_counter() - started_s
        assert not stream.done()
        stream.cancel()

    print(f"handshakes={done} rotations={ROTATIONS} failed=0 seconds={took_s:.1f}")  # noqa: T201  (figures of the run)
    assert done == HANDSHAKES


async def test_https_goes_on_over_rotations_too(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.files.load()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b"hello"})

    async def get() -> bytes:
        context = place.authority.trusting((tmp_path / "shown.pem", tmp_path / "shown-key.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    place.client.write(tmp_path, "shown")
    face = WebFace(app, host="127.0.0.1", port=0, setting="TEST", tls=place.files.ssl_context())
    port = await face.start()
    try:
        async with asyncio.timeout(120):
            for _rotation in range(ROTATIONS):
                for step in place.rotation():
                    step()
                    answers = await asyncio.gather(*(get() for _ in range(4)))
                    assert [b"hello" in answer for answer in answers] == [True] * 4
                assert await presented_https(port, place, tmp_path) == place.now.chain
    finally:
        await face.stop()


async def presented_https(port: int, place: Place, folder: Path) -> bytes:
    context = place.authority.trusting((folder / "shown.pem", folder / "shown-key.pem"))
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    tls = writer.get_extra_info("ssl_object")
    writer.close()
    return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)).encode()


async def test_authorities_of_clients_widen_and_narrow_without_a_restart(tmp_path: Path) -> None:
    place = Place(tmp_path)
    other = Authority()
    theirs = other.pair("new.internal")

    async def code(shown: Pair) -> grpc.StatusCode:
        async with channel(port, place.authority, shown) as own:
            try:
                await own.unary_unary(f"/{NAME}/Unary")(b"hello", timeout=PATIENCE_S)
            except grpc.aio.AioRpcError as exc:
                return exc.code()
        return grpc.StatusCode.OK

    async with serving(place) as port:
        before = await code(place.client), await code(theirs)
        place.ca.write_bytes(place.authority.pem + other.pem)
        both = await code(place.client), await code(theirs)
        place.ca.write_bytes(other.pem)
        after = await code(place.client), await code(theirs)

    ok, gone = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
    assert (before, both, after) == ((ok, gone), (ok, ok), (gone, ok))
