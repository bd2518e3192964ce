"""A primary and its replica, real ones, behind one address that a failover moves from the one to the other."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import redis

from services.runtime.connection import connect
from tests.support.ports import free_port
from tests.support.proxy import TcpProxy
from tests.support.redis_server import RedisForTests
from tests.support.waiting import wait_until

_AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")


class ReplicatedRedis:
    """Two servers. Clients connect to `url`, which leads to the primary; `fail_over` kills it and puts the replica in its place."""

    def __init__(self, directory: Path, *, append_only: bool = False) -> None:
        port = free_port()
        self._replica_port = free_port()
        with contextlib.ExitStack() as opened:
            self.primary = RedisForTests(
                directory / "primary", append_only=append_only, extra=(*_listening(port), *_AT_ONCE)
            )
            opened.callback(self.primary.stop)
            self.link = TcpProxy(("127.0.0.1", port))
            """What the replica reads from; what it holds when it is cut never arrives."""
            opened.callback(self.link.close)
            self.replica = RedisForTests(
                directory / "replica",
                append_only=append_only,
                extra=(*_listening(self._replica_port), *_AT_ONCE, "--replicaof", f"127.0.0.1 {self.link.port}"),
            )
            opened.callback(self.replica.stop)
            self.proxy = TcpProxy.for_redis(self.primary.url)
            opened.callback(self.proxy.close)
            self.url = self.proxy.url
            wait_until(lambda: _has_replica(self.primary), what="a replica")
            self._opened = opened.pop_all()

    def fall_behind(self) -> None:
        """Have the replica get everything so far and nothing more, while its connection stays."""
        with self.primary.client() as client:
            # WAIT is about what its own connection has written.
            client.set("replicated", "?")
            assert client.wait(1, 5000) == 1
        self.link.blackhole()

    def catch_up(self) -> None:
        """Have everything reach it again."""
        self.link.restore()

    def fail_over(self) -> None:
        """kill -9 the primary, lose what was on its way to the replica, and have that one take writes under the same address."""
        self.primary.kill()
        self.proxy.refuse()
        self.link.refuse()
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")
        self.proxy.lead_to(self.replica.url)
        self.proxy.restore()

    def rejoin(self) -> None:
        """Start the old primary again, as the replica of the new one."""
        self.primary.restart()
        with self.primary.client() as client:
            client.replicaof("127.0.0.1", str(self._replica_port))
        wait_until(lambda: _has_replica(self.replica), what="a new replica")

    def client(self) -> redis.Redis:
        """Return a client of whoever is the primary; close it."""
        return connect(self.url, client_name="test")

    def close(self) -> None:
        """End everything."""
        self._opened.close()


def _has_replica(server: RedisForTests) -> bool:
    with server.client() as client:
        # Online is one that is sent to; only one that has loaded all confirms.
        client.set("replicated", "?")
        return bool(client.wait(1, 100))


def _listening(port: int) -> tuple[str, ...]:
    # A replica comes by TCP only; the unix socket stays for the one who started it.
    return ("--port", str(port), "--bind", "127.0.0.1")
