"""What the engine tells the world: its state in Redis, and reports to its server."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, cast

import redis

from services.replay.engine.pacing import Lateness
from services.runtime.clock import Clock
from services.runtime.keys import SESSIONS, SessionKeys

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.5
"""How old a reported figure may be."""
PROGRESS_S: Final = 0.1
"""Progress is told to the server at most this often."""
STATE_TTL_MS: Final = 3_600_000

STARTING: Final = "STARTING"
RUNNING: Final = "RUNNING"
PAUSED: Final = "PAUSED"
BACKPRESSURED: Final = "BACKPRESSURED"
COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"


class Effective(NamedTuple):
    """What an operator decides; replaced as a whole, so that a report never mixes two revisions."""

    mode: int = 0
    revision: int = 0
    paused: bool = False
    speed: float = 0.0
    refused: tuple[int, str] | None = None
    """Revision and reason of the last intent that could not be applied."""


class QueueFigures(Protocol):
    """What the publisher lets other threads read."""

    @property
    def waiting(self) -> bool: ...
    @property
    def problem(self) -> str: ...
    @property
    def redis_run_id(self) -> str: ...
    @property
    def backlog_records(self) -> int: ...
    @property
    def backlog_bytes(self) -> int: ...
    @property
    def oldest_sequence(self) -> int: ...


class LiveFigures(Protocol):
    """What the live source lets other threads read."""

    connected: bool
    problem: str
    reconnects: int

    @property
    def lost_frames(self) -> int: ...
    @property
    def queued_frames(self) -> int: ...


class HistoricalFigures(Protocol):
    """What the historical source lets other threads read."""

    @property
    def skipped(self) -> int: ...
    @property
    def damaged(self) -> tuple[str, ...]: ...


@dataclass
class EngineReport:
    """Figures that the engine's thread writes and others read. Every field is replaced, never changed in place."""

    session: str
    historical_configured: bool = False
    live_configured: bool = False
    phase: str = STARTING
    """STARTING, RUNNING, COMPLETED or FAILED; pauses and waits are worked out when a report is made."""
    owned: bool = False
    """Whether the session is ours: only then does its state in Redis say what we do."""
    effective: Effective = field(default_factory=Effective)
    epoch: str = ""
    last_sequence: int = 0
    last_arrival_time_ns: int = 0
    error: str = ""
    sources: tuple[str, ...] = ()
    first_read_monotonic_ns: int = 0
    rows: int = 0
    rejected: int = 0
    batches: int = 0
    published_bytes: int = 0
    gaps: int = 0
    lateness: Lateness = field(default_factory=Lateness)
    queue: QueueFigures | None = None
    live: LiveFigures | None = None
    historical: HistoricalFigures | None = None

    @property
    def state(self) -> str:
        """The name of what the engine does at the moment."""
        if self.phase in (STARTING, FAILED):
            return self.phase
        if self.effective.paused:
            return PAUSED
        if self.queue is not None and self.queue.waiting:
            return BACKPRESSURED
        return self.phase

    def problems(self) -> str:
        """Everything that is wrong at the moment, for people; empty when nothing is."""
        found = [self.error]
        if self.queue is not None and self.queue.waiting:
            found.append(self.queue.problem)
        if self.live is not None:
            found.append(self.live.problem)
        if self.historical is not None:
            found += [f"{name} is damaged: what could be read was replayed" for name in self.historical.damaged]
        return "; ".join(text for text in found if text)

    def to_json(self, time_ns: int) -> dict[str, Any]:
        """Return the state as it lies in Redis: the fields of midstream.replay.v1.Session, and some more."""
        effective, queue, live, historical = self.effective, self.queue, self.live, self.historical
        refused = effective.refused
        return {
            "name": self.session,
            "epoch": self.epoch,
            "state": self.state,
            "mode": effective.mode,
            "revision": effective.revision,
            "paused": effective.paused,
            "speed": effective.speed,
            "last_sequence": self.last_sequence,
            "oldest_sequence": queue.oldest_sequence if queue is not None else 0,
            "backlog_records": queue.backlog_records if queue is not None else 0,
            "backlog_bytes": queue.backlog_bytes if queue is not None else 0,
            "last_arrival_time_ns": self.last_arrival_time_ns,
            "skipped": historical.skipped if historical is not None else 0,
            "live_configured": self.live_configured,
            "live_connected": live is not None and live.connected,
            "error": self.problems(),
            "reported_time_ns": time_ns,
            "historical_configured": self.historical_configured,
            "damaged_sources": len(historical.damaged) if historical is not None else 0,
            "refused": None if refused is None else {"revision": refused[0], "reason": refused[1]},
            "first_read_monotonic_ns": self.first_read_monotonic_ns,
            "sources": list(self.sources),
            "redis_run_id": queue.redis_run_id if queue is not None else "",
            "pid": os.getpid(),
        }

    def figures(self) -> dict[str, float]:
        """Return the figures for Prometheus by name."""
        queue, live, historical = self.queue, self.live, self.historical
        late = self.lateness.take()
        figures: dict[str, float] = {
            "midstream_replay_sequence": self.last_sequence,
            "midstream_replay_revision": self.effective.revision,
            "midstream_replay_mode": self.effective.mode,
            "midstream_replay_paused": int(self.effective.paused),
            "midstream_replay_rows_total": self.rows,
            "midstream_replay_rejected_total": self.rejected,
            "midstream_replay_gaps_total": self.gaps,
            "midstream_queue_entries_total": self.batches,
            "midstream_queue_appended_bytes_total": self.published_bytes,
            "midstream_pacing_speed": self.effective.speed,
            "midstream_live_connected": int(live is not None and live.connected),
        }
        if late is not None:
            figures["midstream_pacing_late_p50_seconds"] = late.p50_ns / 1e9
            figures["midstream_pacing_late_p99_seconds"] = late.p99_ns / 1e9
            figures["midstream_pacing_late_max_seconds"] = late.max_ns / 1e9
        if queue is not None:
            figures["midstream_queue_backlog_records"] = queue.backlog_records
            figures["midstream_queue_backlog_bytes"] = queue.backlog_bytes
            figures["midstream_queue_backpressured"] = int(queue.waiting)
        if live is not None:
            figures["midstream_live_reconnects_total"] = live.reconnects
            figures["midstream_live_lost_frames_total"] = live.lost_frames
            figures["midstream_live_queue_frames"] = live.queued_frames
        if historical is not None:
            figures["midstream_replay_skipped_total"] = historical.skipped
        return figures


class Tell(Protocol):
    """The engine's line to its server."""

    def __call__(self, event: str, **fields: object) -> None: ...


class StateReporter:
    """Publishes the report: on every change and every 500 ms, from a thread with a connection of its own.

    The engine's thread only sets an event. While Redis is away nothing is lost but the reports of that time.
    """

    def __init__(
        self,
        report: EngineReport,
        *,
        connect: Callable[[], redis.Redis],
        keys: SessionKeys,
        tell: Tell,
        clock: Clock,
    ) -> None:
        self._report = report
        self._connect = connect
        self._keys = keys
        self._tell = tell
        self._clock = clock
        self._client: redis.Redis | None = None
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: tuple[str, Effective, str, bool] | None = None
        self._told_sequence = 0
        self._told_ns = 0
        self._told_problem: str | None = None
        """Empty when the server was told that we are ready."""

    def start(self) -> None:
        """Begin to report."""
        self._thread = threading.Thread(target=self._run, name="state-reporter", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Have the report published now."""
        self._changed.set()

    def stop(self, timeout_s: float) -> None:
        """Publish a last time and end."""
        self._stopping.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._changed.wait(INTERVAL_S)
            self._changed.clear()
            last = self._stopping.is_set()
            self.publish()
            if last:
                break
        if self._client is not None:
            self._client.close()

    def publish(self) -> None:
        """Publish the report once."""
        state = self._report.to_json(self._clock.time_ns())
        try:
            if self._client is None:
                self._client = self._connect()
            if self._report.owned:
                pipeline = self._client.pipeline(transaction=False)
                pipeline.set(self._keys.state, json.dumps(state, separators=(",", ":")), px=STATE_TTL_MS)
                pipeline.sadd(SESSIONS, self._keys.session)
                cast("Any", pipeline).execute()
            else:
                self._client.ping()
            self._tell_availability("")
        except (redis.RedisError, OSError) as exc:
            self._tell_availability(f"Redis is not reachable ({type(exc).__name__})")
        self._tell_server(state)

    def _tell_availability(self, problem: str) -> None:
        """Tell the server whether it may say that it serves: once per change."""
        if problem == self._told_problem or (not problem and self._report.phase in (STARTING, FAILED)):
            return
        self._told_problem = problem
        if problem:
            logger.warning("state not reported: %s", problem)
            self._tell("unavailable", message=problem)
        else:
            self._tell("ready")

    def _tell_server(self, state: dict[str, Any]) -> None:
        told = (state["state"], self._report.effective, state["error"], state["live_connected"])
        if told != self._told:
            refused = self._told is None or self._told[1].refused != told[1].refused
            self._told = told
            self._tell("state", **state)
            if refused and told[1].refused is not None:
                self._tell("intent_refused", revision=told[1].refused[0], reason=told[1].refused[1])
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._told_ns < PROGRESS_S * 1e9 and not self._stopping.is_set():
            return
        figures = self._report.figures()
        # Only progress counts as progress: the server gives up on an engine that restarts without any.
        event = "progress" if state["last_sequence"] != self._told_sequence else "figures"
        self._told_ns, self._told_sequence = now_ns, state["last_sequence"]
        self._tell(
            event,
            last_sequence=state["last_sequence"],
            last_arrival_time_ns=state["last_arrival_time_ns"],
            pid=state["pid"],
            figures=figures,
        )
