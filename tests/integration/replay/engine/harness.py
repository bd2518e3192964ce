"""A replay engine in a process of its own, and a feed in a thread."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from fastpath.frame import TickFrame
from services.runtime.connection import connect
from services.runtime.session.keys import SessionKeys
from services.simulators.feed import FeedFaults, SimFeed
from services.simulators.feed_script import load_script
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[4]
HISTORICAL = ROOT / "data" / "historical_sample.csv"
LIVE = ROOT / "data" / "live_sample.csv"


class EngineChild:
    """`python -m services.replay.engine` as its server starts it."""

    def __init__(self, redis_url: str, session: str, directory: Path, **config: Any) -> None:
        self.keys = SessionKeys(session)
        self.reports: list[dict[str, Any]] = []
        fields: dict[str, Any] = {
            "redis_url": redis_url,
            "session": session,
            "historical": [str(HISTORICAL)],
            "live_url": "",
            "speed": 0.0,
            "sinks": [],
            "sink_grace_s": 0.0,
            "cache_dir": str(directory / "cache"),
            "temp_dir": str(directory / "tmp"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.replay.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "error"},
        )
        self.errors: list[str] = []
        self._send(fields | config)
        self._threads = [
            threading.Thread(target=self._read_reports, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def _read_reports(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.reports.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.decode())

    def events(self, name: str) -> list[dict[str, Any]]:
        return [report for report in list(self.reports) if report["event"] == name]

    def last_state(self) -> dict[str, Any]:
        states = self.events("state")
        return states[-1] if states else {}

    def wait_state(self, state: str, timeout_s: float = 20.0) -> None:
        wait_until(
            lambda: self.last_state().get("state") == state or self.process.poll() is not None,
            timeout_s=timeout_s,
            what=f"state {state}",
        )
        assert self.last_state().get("state") == state, "".join(self.errors[-5:])

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 20.0) -> None:
        wait_until(lambda: condition(self.last_state()), timeout_s=timeout_s, what="the state waited for")

    def stop(self, timeout_s: float = 6.0) -> int:
        """Have it drain; return the exit code."""
        if self.process.poll() is None:
            self._send({"command": "stop"})
        return self.wait(timeout_s)

    def kill(self) -> None:
        self.process.kill()
        self.wait(5.0)

    def wait(self, timeout_s: float = 20.0) -> int:
        code = self.process.wait(timeout_s)
        for thread in self._threads:
            thread.join(5.0)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()
        return code


class Session:
    """What lies in Redis."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.client: redis.Redis = connect(url, client_name="test")
        self.keys = SessionKeys(name)

    def frames(self) -> list[TickFrame]:
        entries: Any = self.client.xrange(self.keys.ticks)
        return [TickFrame(fields[b"b"]) for _, fields in entries]

    def last_sequence(self) -> int:
        newest: Any = self.client.xrevrange(self.keys.ticks, count=1)
        return TickFrame(newest[0][1][b"b"]).last_sequence if newest else 0

    def intend(self, revision: int, kind: str, **values: Any) -> None:
        """Journal an intent as the control server does."""
        self.client.xadd(self.keys.control, {"intent": json.dumps({"kind": kind, **values})}, id=f"0-{revision}")

    def state(self) -> dict[str, Any]:
        found: Any = self.client.get(self.keys.state)
        return json.loads(found) if found else {}

    def wait_applied(self, revision: int) -> None:
        wait_until(lambda: self.state().get("revision", 0) >= revision, what=f"revision {revision}")


def records(frames: list[TickFrame]) -> list[str]:
    """Everything that went through the queue, spelled out (NaN equals itself then); checks the numbering."""
    found: list[tuple[Any, ...]] = []
    expected = 1
    for frame in frames:
        assert frame.first_sequence == expected
        expected = frame.last_sequence + 1
        found += frame.ticks()
        found += [(item.sequence, item.arrival_time_ns, item.line, item.reason) for item in frame.rejections]
    return [repr(record) for record in sorted(found, key=lambda record: record[0])]


@contextmanager
def serving_feed(path: Path = LIVE, **options: Any) -> Iterator[tuple[str, SimFeed]]:
    """Serve a feed from a thread; yields its URL."""
    feed = SimFeed(load_script(path), **({"speed": 0.0} | options))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port = asyncio.run_coroutine_threadsafe(feed.start("127.0.0.1", 0), loop).result(10)
    try:
        yield f"ws://127.0.0.1:{port}", feed
    finally:
        asyncio.run_coroutine_threadsafe(feed.stop(), loop).result(15)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def free_port_url() -> str:
    """A URL at which nobody listens."""
    return "ws://127.0.0.1:9"


def now_s() -> float:
    return time.monotonic()


__all__ = [
    "EngineChild",
    "FeedFaults",
    "Session",
    "records",
]
