"""Drives the price engine as what it is in production: a child process on a pipe, with a real Redis between it and the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis

from services.runtime.connection import connect
from services.runtime.session import partitions_stored
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.support.price_batches import Batch, Logs

PATIENCE_S = 20.0


def wait_for(condition: Callable[[], Any], *, what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait until `condition` returns something true, and return it."""
    deadline = time.monotonic() + patience_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {patience_s:g} s")
        time.sleep(0.005)


class Queue:
    """The producer's side of one session, without any of a producer's care."""

    def __init__(self, url: str, session: str) -> None:
        self.keys = SessionKeys(session)
        self.client: Any = connect(url, client_name="test-queue")

    def publish(self, batches: Iterable[Batch]) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for batch in batches:
            pipeline.xadd(self.keys.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
        pipeline.execute()

    def announcement(self, sink: str = "price") -> dict[str, Any]:
        """Return the sink's last announcement; empty when there is none."""
        try:
            text = self.client.hget(self.keys.sinks, sink)
        except redis.RedisError:
            return {}
        return json.loads(text) if text else {}

    def wait_committed(self, sequence: int, *, epoch: str | None = None) -> dict[str, Any]:
        """Wait for the announcement of `sequence`."""

        def announced() -> dict[str, Any]:
            found = self.announcement()
            fits = found.get("sequence", 0) >= sequence and (epoch is None or found.get("epoch") == epoch)
            return found if fits else {}

        return wait_for(announced, what=f"commit of sequence {sequence}")

    def pending(self, group: str = "price") -> int:
        return int(self.client.xpending(self.keys.ticks, group)["pending"])

    def acknowledged(self, group: str = "price") -> int:
        """Return the first sequence of the last entry that the group took and acknowledged; 0 when there is none."""
        found = [row for row in self._groups() if row["name"] == group.encode()]
        if not found or found[0]["pending"]:
            return 0
        return int(found[0]["last-delivered-id"].partition(b"-")[2])

    def _groups(self) -> list[dict[str, Any]]:
        try:
            return list(self.client.xinfo_groups(self.keys.ticks))
        except redis.ResponseError:
            return []

    def close(self) -> None:
        self.client.close()


class Engine:
    """One engine process."""

    def __init__(self, config: dict[str, Any], *, fault: str = "", environment: dict[str, str] | None = None) -> None:
        self.reports: list[dict[str, Any]] = []
        self.stderr = b""
        self._changed = threading.Condition()
        surroundings = {key: value for key, value in os.environ.items() if not key.startswith("MIDSTREAM_FAULT")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.price.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=surroundings | ({"MIDSTREAM_FAULT": fault} if fault else {}) | (environment or {}),
        )
        self.pid = self._process.pid
        self._send(config)
        self._threads = [threading.Thread(target=target) for target in (self._read_reports, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _send(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()

    def _read_reports(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.reports.append(json.loads(line))
                self._changed.notify_all()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self.stderr = self._process.stderr.read()

    def wait_report(self, event: str, *, nth: int = 1) -> dict[str, Any]:
        """Wait for the n-th report of a kind."""

        def found() -> list[dict[str, Any]]:
            return [report for report in self.reports if report["event"] == event]

        with self._changed:
            came = self._changed.wait_for(lambda: len(found()) >= nth, PATIENCE_S)
            assert came, f"no report {event!r}; there were {self.reports}, stderr {self.stderr!r}"
            return found()[nth - 1]

    def wait_exit(self, *, patience_s: float = PATIENCE_S) -> int:
        """Wait for the end of the process and return its exit code."""
        code = self._process.wait(patience_s)
        self._reap()
        return code

    def stop(self) -> int:
        """Have it drain; return the exit code."""
        self._send({"command": "stop"})
        return self.wait_exit()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without any chance to clean up."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reap()

    def _reap(self) -> None:
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def read_logs(out: Path) -> Logs:
    """Read the files of a sink; a missing one is empty."""

    def content(name: str) -> bytes:
        path = out / name
        return path.read_bytes() if path.exists() else b""

    return Logs(content("mid_prices.log"), content("errors.log"), content("mid_prices.csv"))


def partition_queues(url: str, session: str, count: int) -> list[Queue]:
    """The producers of a session of so many partitions, which is stored as such."""
    queues = [Queue(url, session) for _ in range(count)]
    for partition, queue in enumerate(queues):
        queue.keys = SessionKeys(session, partition)
    queues[0].client.set(queues[0].keys.partitions, partitions_stored.encode(Partitioning(count)))
    return queues
