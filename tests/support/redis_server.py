"""Real Redis servers for tests."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from services.runtime.connection import connect
from services.runtime.embedded import EmbeddedRedis
from services.runtime.session.keys import SESSIONS


class RedisForTests:
    """A redis-server that a test may kill, stop, suspend and start again on its own files.

    Its URL stays the same over restarts; its process id does not.
    """

    def __init__(self, directory: Path, *, append_only: bool, extra: Sequence[str] = ()) -> None:
        self.directory = directory
        self._append_only = append_only
        self._extra = tuple(extra)
        self.running = EmbeddedRedis.start(directory, append_only=append_only, extra=self._extra)

    @property
    def url(self) -> str:
        """URL of the server."""
        return self.running.url

    @property
    def pid(self) -> int:
        """Process id of the server that runs now."""
        return self.running.pid

    def client(self) -> redis.Redis:
        """Return a new client; close it."""
        return connect(self.url, client_name="test")

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        os.kill(self.running.pid, signal.SIGKILL)
        self.running.stop(timeout_s=0.0)

    def suspend(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        os.kill(self.running.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.running.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Start again with the same files after `kill` or `stop`; without append-only file it comes back empty."""
        self.running.stop()
        self.running = EmbeddedRedis.start(self.directory, append_only=self._append_only, extra=self._extra)

    def stop(self) -> None:
        """End it."""
        if self.running.poll() is None:
            self.resume()
        self.running.stop()


def fresh_session_name() -> str:
    """Return a session name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


def forget_session(client: redis.Redis, session: str) -> None:
    """Delete everything that a session left in Redis."""
    for pattern in (f"midstream:{{{session}}}:*", f"midstream:{{{session}/*}}:*"):
        for key in client.scan_iter(match=pattern, count=1000):
            client.delete(key)
    client.srem(SESSIONS, session)


def says_what_disks_have(client: Any) -> bool:
    """Tell whether this engine knows WAITAOF: Redis from 7.2 on, and every Valkey."""
    # In one word, as redis-py cannot read an answer about a command that there is not.
    [known] = client.execute_command("COMMAND INFO", "WAITAOF")
    return known is not None
