"""The hostile network itself: a test tool that lies would prove nothing."""

from __future__ import annotations

import socket
import time

import pytest
import redis

from services.runtime.connection import connect
from tests.support.proxy import TcpProxy
from tests.support.resp import RespSplitter, command_name


def test_splitter_finds_messages_whatever_the_chunks_are() -> None:
    messages = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$-1\r\n",
        b"$4\r\na\r\nb\r\n",
        b"*2\r\n*1\r\n$1\r\nx\r\n*-1\r\n",
        b"*0\r\n",
        b"%1\r\n+k\r\n:1\r\n",
    ]
    stream = b"".join(messages)

    for size in range(1, len(stream) + 1):
        splitter = RespSplitter()
        found: list[bytes] = []
        for at in range(0, len(stream), size):
            found += splitter.feed(stream[at : at + size])
        assert found == messages, size


def test_command_name_is_upper_case() -> None:
    assert command_name(b"*2\r\n$4\r\nxadd\r\n$1\r\nk\r\n") == b"XADD"


def test_dropped_reply_is_executed_once_and_the_client_sees_a_lost_connection(
    redis_proxy: TcpProxy, redis_client: redis.Redis, session_name: str
) -> None:
    client = connect(redis_proxy.url, client_name="victim")
    key = f"midstream:{{{session_name}}}:count"
    client.incr(key)
    redis_proxy.drop_reply("incrby", nth=2)

    assert client.incr(key) == 2
    with pytest.raises(redis.ConnectionError):
        client.incr(key)

    assert redis_proxy.wait_dropped()
    assert redis_client.get(key) == b"3"
    assert redis_proxy.commands[b"INCRBY"] == 3
    client.close()


def test_dropped_reply_inside_a_pipeline_loses_what_follows_as_well(
    redis_proxy: TcpProxy, redis_client: redis.Redis, session_name: str
) -> None:
    client = connect(redis_proxy.url, client_name="victim")
    key = f"midstream:{{{session_name}}}:list"
    transaction = client.pipeline(transaction=True)
    transaction.rpush(key, "a")
    transaction.rpush(key, "b")
    redis_proxy.drop_reply("EXEC")

    with pytest.raises(redis.ConnectionError):
        transaction.execute()

    assert redis_client.lrange(key, 0, -1) == [b"a", b"b"]
    client.close()


def test_hanging_reply_runs_into_the_timeout(redis_proxy: TcpProxy) -> None:
    client = connect(redis_proxy.url, client_name="victim", timeout_s=0.2)
    client.ping()
    redis_proxy.drop_reply("PING", then="hang")

    with pytest.raises(redis.TimeoutError):
        client.ping()

    assert client.ping() is True
    client.close()


def test_blackhole_delivers_nothing_and_restore_delivers_what_was_held_back(redis_proxy: TcpProxy) -> None:
    patient = connect(redis_proxy.url, client_name="patient", timeout_s=0.2)
    patient.ping()
    redis_proxy.blackhole()

    with pytest.raises(redis.TimeoutError):
        patient.ping()
    redis_proxy.restore()

    assert patient.ping() is True
    patient.close()


def test_cut_at_byte_delivers_exactly_that_many(redis_proxy: TcpProxy) -> None:
    redis_proxy.cut_at_byte(3)
    with socket.create_connection(redis_proxy.address) as raw:
        raw.sendall(b"*1\r\n$4\r\nPING\r\n")
        received = raw.recv(3, socket.MSG_WAITALL)
        with pytest.raises(ConnectionResetError):
            raw.recv(1)

    assert received == b"+PO"


def test_delay_holds_replies_back(redis_proxy: TcpProxy) -> None:
    client = connect(redis_proxy.url, client_name="victim")
    client.ping()
    redis_proxy.delay(0.05)

    begun = time.monotonic()
    client.ping()

    assert time.monotonic() - begun >= 0.05
    client.close()


def test_refuse_resets_old_and_new_connections_until_restored(redis_proxy: TcpProxy) -> None:
    client = connect(redis_proxy.url, client_name="victim")
    client.ping()
    redis_proxy.refuse()

    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    redis_proxy.restore()

    assert client.ping() is True
    client.close()
