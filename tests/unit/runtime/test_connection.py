"""A command whose reply is lost is sent once: whether it was carried out is for its sender to find out."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from services.runtime.connection import connect, connect_async
from tests.support.resp import RespSplitter, command_name

pytestmark = pytest.mark.quick

REPLYING = {b"CLIENT", b"HELLO", b"SELECT", b"AUTH"}
"""What a client says before its first command."""


class DroppingServer:
    """Speaks enough of the protocol to let clients in, takes every other command, and closes without a reply."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.commands: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        splitter = RespSplitter()
        while chunk := connection.recv(65536):
            for request in splitter.feed(chunk):
                if command_name(request) not in REPLYING:
                    self.commands.append(command_name(request))
                    return
                connection.sendall(b"+OK\r\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def server() -> Iterator[DroppingServer]:
    serving = DroppingServer()
    yield serving
    serving.close()


def test_a_client_of_threads_sends_a_command_once(server: DroppingServer) -> None:
    client = connect(server.url, client_name="test", timeout_s=2.0)

    with pytest.raises(redis.ConnectionError):
        client.xadd("stream", {"b": b"1"})
    with pytest.raises(redis.ConnectionError):
        client.pipeline(transaction=True).xack("stream", "group", "0-1").execute()
    client.close()

    assert server.commands == [b"XADD", b"MULTI"]


async def test_a_client_of_an_event_loop_sends_a_command_once(server: DroppingServer) -> None:
    client = connect_async(server.url, client_name="test", timeout_s=2.0)

    async with asyncio.timeout(20):
        with pytest.raises(redis.ConnectionError):
            await client.xadd("stream", {"b": b"1"})
        with pytest.raises(redis.ConnectionError):
            await client.pipeline(transaction=True).xadd("stream", {"b": b"1"}).execute()
    await client.aclose()

    assert server.commands == [b"XADD", b"MULTI"]
