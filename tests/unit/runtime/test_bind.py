"""What the operator reads when a port cannot be had."""

from __future__ import annotations

import grpc
import pytest

from services.runtime.errors import StartRefused
from services.runtime.server import bind_port
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
