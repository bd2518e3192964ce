"""Replies of Redis are read whole, however they arrive."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.price.engine.replies import VIEW_BYTES_MIN, ReplyBuffer

pytestmark = pytest.mark.quick

PATIENCE_S = 20.0
LARGE = bytes(range(256)) * (VIEW_BYTES_MIN // 256 + 1)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: Redis's and ours."""
    redis, ours = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    yield redis, ours
    redis.close()
    ours.close()


def string(content: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(content), content)


def entry(number: int, payload: bytes) -> bytes:
    return b"*2\r\n" + string(b"0-%d" % number) + b"*2\r\n" + string(b"b") + string(payload)


def plain(reply: object) -> object:
    """Copy views, for comparisons."""
    if isinstance(reply, list):
        return [plain(one) for one in reply]
    return bytes(reply) if isinstance(reply, memoryview) else reply


REPLY = (
    b"*1\r\n*2\r\n" + string(b"ticks") + b"*4\r\n" + entry(1, LARGE) + entry(2, b"") + entry(3, b"a\r\nb")
    + b"*2\r\n" + string(b"0-4") + b"*-1\r\n"
)  # fmt: skip
READ = [[b"ticks", [[b"0-1", [b"b", LARGE]], [b"0-2", [b"b", b""]], [b"0-3", [b"b", b"a\r\nb"]], [b"0-4", None]]]]


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("piece", [1, 2, 3, 1000, len(REPLY)])
def test_a_reply_is_read_in_whatever_pieces_it_comes(
    ends: tuple[socket.socket, socket.socket], piece: int, size: int
) -> None:
    redis, ours = ends
    replies = ReplyBuffer(size)

    def send() -> None:
        for start in range(0, len(REPLY), piece):
            redis.sendall(REPLY[start : start + piece])

    for _ in range(3):
        sender = threading.Thread(target=send)
        sender.start()
        assert plain(replies.read(ours)) == READ
        sender.join()


def test_several_replies_at_once_are_read_one_by_one(ends: tuple[socket.socket, socket.socket]) -> None:
    redis, ours = ends
    replies = ReplyBuffer()
    redis.sendall(b"*-1\r\n:-7\r\n+OK\r\n$-1\r\n*0\r\n")

    assert [replies.read(ours) for _ in range(5)] == [None, -7, b"OK", None, []]


def test_only_large_strings_are_views_and_they_end_with_the_next_reply(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    redis, ours = ends
    replies = ReplyBuffer()
    redis.sendall(b"*2\r\n" + string(b"short") + string(LARGE))
    short, large = replies.read(ours)
    assert (type(short), type(large)) == (bytes, memoryview)

    redis.sendall(b"*-1\r\n")
    replies.read(ours)

    with pytest.raises(ValueError, match="released"):
        bytes(large)


def test_what_redis_refuses_is_raised(ends: tuple[socket.socket, socket.socket]) -> None:
    redis, ours = ends
    redis.sendall(b"-NOGROUP No such key\r\n")

    with pytest.raises(ResponseError, match="NOGROUP No such key"):
        ReplyBuffer().read(ours)


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400\r\n", b"*x\r\n", b"$\r\n", b"$-5\r\n", b"\r\n"])
def test_what_is_no_reply_is_refused(ends: tuple[socket.socket, socket.socket], garbage: bytes) -> None:
    redis, ours = ends
    redis.sendall(garbage)

    with pytest.raises(InvalidResponse, match="no RESP2"):
        ReplyBuffer().read(ours)


def test_a_line_without_an_end_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    redis, ours = ends
    sender = threading.Thread(target=redis.sendall, args=(b"+" * 100_000,))
    sender.start()

    with pytest.raises(InvalidResponse, match="a line of more than"):
        ReplyBuffer().read(ours)
    sender.join()


@pytest.mark.parametrize("cut", [0, 1, 40, len(REPLY) - 1])
def test_a_connection_that_ends_within_a_reply_is_an_error(ends: tuple[socket.socket, socket.socket], cut: int) -> None:
    redis, ours = ends
    redis.sendall(REPLY[:cut])
    redis.close()

    with pytest.raises(RedisConnectionError):
        ReplyBuffer().read(ours)


def test_a_reply_that_does_not_go_on_is_a_timeout_and_is_forgotten_with_the_connection(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    redis, ours = ends
    replies = ReplyBuffer()
    redis.sendall(REPLY[:50])
    ours.settimeout(0.01)

    with pytest.raises(RedisTimeoutError):
        replies.read(ours)

    replies.reset()
    redis.sendall(REPLY)
    assert plain(replies.read(ours)) == READ
