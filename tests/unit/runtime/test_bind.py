"""What the operator reads when a port cannot be had."""

from __future__ import annotations

import socket

import grpc
import pytest

from services.runtime.errors import StartRefused
from services.runtime.server import SERVER_OPTIONS, bind_port
from tests.support.ports import taken_port


async def test_taken_port_is_named_with_the_setting() -> None:
    with taken_port() as port, pytest.raises(StartRefused) as caught:
        bind_port(grpc.aio.server(), "127.0.0.1", port, "MIDSTREAM_CONTROL_PORT")

    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is already in use: stop the other process or set MIDSTREAM_CONTROL_PORT"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_unusable_host_is_named_with_the_setting(host: str) -> None:
    with pytest.raises(StartRefused, match=f"cannot listen on {host}:0 .*MIDSTREAM_HOST"):
        bind_port(grpc.aio.server(), host, 0, "MIDSTREAM_CONTROL_PORT")


async def test_port_0_takes_a_free_one() -> None:
    assert bind_port(grpc.aio.server(), "127.0.0.1", 0, "MIDSTREAM_CONTROL_PORT") > 0


async def test_nobody_can_listen_beside_a_server() -> None:
    # With SO_REUSEPORT on both sides the system would give every second call to the other one.
    server = grpc.aio.server(options=SERVER_OPTIONS)
    port = bind_port(server, "127.0.0.1", 0, "MIDSTREAM_CONTROL_PORT")
    await server.start()
    try:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
    finally:
        await server.stop(None)
