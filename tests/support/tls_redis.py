"""A redis-server that speaks TLS: the one on PATH, because the bundled engine does not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.support.missing_tools import tool
from tests.support.ports import free_port
from tests.support.tls import Authority
from tests.support.waiting import wait_until


class TlsRedis:
    """A server with a TLS port and a plain one, both on loopback; its certificate is for `localhost`."""

    def __init__(self, folder: Path, *, wants_certificate: bool = False, protocols: str = "TLSv1.2 TLSv1.3") -> None:
        self.authority = Authority()
        self.ca = self.authority.write(folder)
        self._cert, self._key = self.authority.pair("localhost").write(folder, "server")
        self.port, self.plain_port = free_port(), free_port()
        program = tool("redis-server")
        assert program is not None
        self._process = subprocess.Popen(
            [
                *(program, "--port", str(self.plain_port), "--tls-port", str(self.port), "--bind", "127.0.0.1"),
                *("--tls-cert-file", str(self._cert), "--tls-key-file", str(self._key)),
                *("--tls-ca-cert-file", str(self.ca), "--tls-protocols", protocols),
                *("--tls-auth-clients", "yes" if wants_certificate else "no"),
                *("--save", "", "--dir", str(folder), "--maxmemory-policy", "noeviction"),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="an answer of the Redis with TLS")

    def url(self, *, host: str = "localhost", **query: object) -> str:
        """URL of the TLS port."""
        return f"rediss://{host}:{self.port}/0?" + "&".join(f"{name}={value}" for name, value in query.items())

    def renew(self, *names: str) -> None:
        """Replace its certificate, as for a server that moved."""
        self.authority.pair(*names).write(self._cert.parent, "server")
        with redis.Redis(port=self.plain_port) as client:
            client.config_set("tls-cert-file", str(self._cert))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.plain_port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            assert self._process.poll() is None, "redis-server has ended: does it know TLS?"
            return False


@contextmanager
def tls_redis(
    folder: Path, *, wants_certificate: bool = False, protocols: str = "TLSv1.2 TLSv1.3"
) -> Iterator[TlsRedis]:
    """Run one."""
    server = TlsRedis(folder, wants_certificate=wants_certificate, protocols=protocols)
    try:
        yield server
    finally:
        server.close()
