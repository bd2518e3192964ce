"""The one thread that waits for the disk; while it syncs one commit, the batches of the next one are processed and written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastpath.midprice import PriceCounts, PriceKernel
from services.price.engine.files import LogLengths, Logs
from services.price.engine.position import Position, PositionFile
from services.runtime.faults import fault


@dataclass(frozen=True)
class Tally:
    """What the kernel accounted for so far."""

    counts: PriceCounts
    first_arrival_time_ns: int
    last_arrival_time_ns: int
    digest: str
    digest_version: int

    @classmethod
    def of(cls, kernel: PriceKernel) -> Tally:
        return cls(
            kernel.counts,
            kernel.first_arrival_time_ns,
            kernel.last_arrival_time_ns,
            kernel.digest(),
            kernel.digest_version,
        )


@dataclass(frozen=True, kw_only=True)
class Commit:
    """Everything that one commit makes durable together."""

    position: Position
    """Where the sink stands afterwards. What the lengths in it count was written before the commit is submitted."""
    records: int
    entry_ids: tuple[bytes, ...]
    tally: Tally
    publish_time_ns: int


@dataclass(frozen=True)
class Committed:
    """A commit that is durable."""

    commit: Commit
    durable_monotonic_ns: int
    seconds: float


class Committer:
    """Stores commits in the order in which they are submitted, one at a time."""

    def __init__(self, *, logs: Logs, position_file: PositionFile, wake: Callable[[], None]) -> None:
        self._logs = logs
        self._position_file = position_file
        self._wake = wake
        self._commit: Commit | None = None
        self._result: Committed | BaseException | None = None
        self._closed = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a commit was submitted whose result was not collected yet."""
        return self._commit is not None or self._result is not None

    def submit(self, commit: Commit) -> None:
        """Hand over the next commit; the one before must have been collected."""
        with self._condition:
            assert not self.busy
            self._commit = commit
            self._condition.notify_all()

    def collect(self, *, wait: bool = False) -> Committed | None:
        """Return the commit that became durable, once; raises what the disk raised. None: nothing is ready."""
        with self._condition:
            while wait and self._commit is not None:
                self._condition.wait()
            result, self._result = self._result, None
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """End the thread once nothing is in flight."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._commit is not None or self._closed)
                commit = self._commit
            if commit is None:
                return
            result: Committed | BaseException
            try:
                result = self._store(commit)
            except BaseException as exc:  # noqa: BLE001 - whatever it is, the main thread must see it and stop
                result = exc
            with self._condition:
                self._commit, self._result = None, result
                self._condition.notify_all()
            self._wake()

    def _store(self, commit: Commit) -> Committed:
        started = time.monotonic_ns()
        position = commit.position
        fault("sink_before_sync")
        lengths = LogLengths(position.mid_bytes, position.error_bytes, position.csv_bytes, position.index_bytes)
        self._logs.sync(lengths)
        fault("sink_after_sync")
        fault("sink_before_position")
        self._position_file.commit(position)
        fault("sink_after_position")
        ended = time.monotonic_ns()
        return Committed(commit, ended, (ended - started) / 1e9)
