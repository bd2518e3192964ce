"""What one message and one connection may cost a server, as it says on the wire and as a sender feels it."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from services.runtime.server import SERVER_OPTIONS
from services.runtime.subscriptions import SUBSCRIBERS_MAX
from tests.support.calls import NAME
from tests.support.waiting import wait_until

OPTIONS = dict(SERVER_OPTIONS)
MESSAGE_BYTES = OPTIONS["grpc.max_receive_message_length"]
GROWTH_BYTES_MAX = 32 * 1024 * 1024
"""What twenty messages that are refused may leave behind."""
CALL_S = 60.0
MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 3, 6
"""Settings of HTTP/2 by number."""


@dataclass(frozen=True)
class Server:
    port: int
    pid: int

    def memory_bytes(self) -> int:
        found = re.search(r"^VmRSS:\s*(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The scaffold that every gRPC server stands on, in a process of its own."""
    ready_file = tmp_path_factory.mktemp("limits") / "ready.json"
    environment = {
        "MIDSTREAM_REDIS_URL": "redis://127.0.0.1:1/0",
        "MIDSTREAM_PORT": "0",
        "MIDSTREAM_METRICS_PORT": "0",
        "MIDSTREAM_READY_FILE": str(ready_file),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.plain_server"],
        env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            wait_until(ready_file.exists, timeout_s=60, what="the start")
            yield Server(json.loads(ready_file.read_text())["port"], process.pid)
        finally:
            process.kill()


def answer(
    server: Server, message: bytes, compression: grpc.Compression = grpc.Compression.NoCompression
) -> bytes | grpc.StatusCode:
    """Send one message, on a connection of its own; return the answer or how the call ended."""
    # The client's own limit is out of the way: it is the server that is asked.
    unbounded = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=unbounded, compression=compression) as channel:
        try:
            answered: bytes = channel.unary_unary(f"/{NAME}/Unary")(message, timeout=CALL_S)
            return answered
        except grpc.RpcError as exc:
            code: grpc.StatusCode = exc.code()
            return code


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_the_largest_message_is_taken_and_one_byte_more_is_refused(
    server: Server, compression: grpc.Compression
) -> None:
    largest = b"x" * MESSAGE_BYTES

    assert not isinstance(answer(server, largest, compression), grpc.StatusCode)
    assert answer(server, largest + b"x", compression) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not isinstance(answer(server, b"small"), grpc.StatusCode)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "a bomb"]
)
def test_messages_that_are_refused_leave_no_memory_behind(server: Server, compression: grpc.Compression) -> None:
    # Four times the limit: 64 MiB of one letter are 64 KiB on the wire.
    message = b"x" * (4 * MESSAGE_BYTES)
    # The first one pays for what the server keeps to itself.
    answer(server, message, compression)
    before = server.memory_bytes()

    codes = {answer(server, message, compression) for _ in range(20)}

    assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert server.memory_bytes() - before < GROWTH_BYTES_MAX
    assert not isinstance(answer(server, b"small"), grpc.StatusCode)


def test_a_connection_is_told_how_many_streams_it_may_open_and_how_large_headers_are(server: Server) -> None:
    told = settings_of(server)

    assert told[MAX_CONCURRENT_STREAMS] == OPTIONS["grpc.max_concurrent_streams"] <= 4 * SUBSCRIBERS_MAX
    assert told[MAX_HEADER_LIST_SIZE] <= 64 * 1024


def test_headers_beyond_the_limit_end_their_call_alone(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(f"/{NAME}/Unary")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"small", metadata=[("long", "x" * 100_000)], timeout=CALL_S)
        after = call(b"small", timeout=CALL_S)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert after


def settings_of(server: Server) -> dict[int, int]:
    """Return what a server says in its first frame of HTTP/2."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=CALL_S) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4))
        head = _read(connection, 9)
        length, kind = int.from_bytes(head[:3], "big"), head[3]
        assert kind == 4, "the first frame holds the settings"
        body = _read(connection, length)
    return dict(struct.unpack_from(">HI", body, at) for at in range(0, length, 6))


def _read(connection: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        more = connection.recv(count - len(read))
        assert more, "the server closed the connection"
        read += more
    return read
