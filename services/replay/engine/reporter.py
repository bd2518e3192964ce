"""Publishes the engine's report: to Redis for everybody, and to its server for metrics and health."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, cast

import redis

from services.replay.engine.figures import EngineFigures
from services.runtime.clock import Clock
from services.runtime.log_fields import fields
from services.runtime.session.intents import Effective
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.report import REPORT_TTL_MS, STORE_REPORT, EngineReport, EngineState

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.5
"""How old a reported figure may be."""
PROGRESS_S: Final = 0.1
"""Progress is told to the server at most this often."""
STANDING_S: Final = 3.0
"""The engine's thread never waits a second unannounced: after this it stands in a read or a write."""


class _Told(NamedTuple):
    """What the server was told of; it hears again when anything of it changes."""

    state: EngineState
    effective: Effective
    error: str
    live_connected: bool


class Tell(Protocol):
    """The engine's line to its server."""

    def __call__(self, event: str, **fields: object) -> None: ...


class StateReporter:
    """Publishes the report: on every change and every 500 ms, from a thread with a connection of its own.

    The engine's thread only sets an event. While Redis is away nothing is lost but the reports of that time.
    """

    def __init__(
        self,
        figures: EngineFigures,
        *,
        connect: Callable[[], redis.Redis],
        keys: SessionKeys,
        tell: Tell,
        clock: Clock,
        overdue: Callable[[], None] = lambda: None,
    ) -> None:
        """`overdue` is called while the session is further behind than it may be: its thread may wait for room that never comes."""
        self._overdue = overdue
        self._figures = figures
        self._connect = connect
        self._keys = keys
        self._tell = tell
        self._clock = clock
        self._client: redis.Redis | None = None
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: _Told | None = None
        self._told_sequence = 0
        self._told_ns = 0
        self._stands = False
        """It stood at the last look, too: a wait that ended a moment ago is none."""
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
        report = self._figures.report(self._clock.time_ns(), self._clock.monotonic_ns())
        if self._figures.debt.exceeded(self._clock.monotonic_ns()):
            self._overdue()
        try:
            if self._client is None:
                self._client = self._connect()
            if self._figures.owned:
                self._store(self._client, report)
            else:
                self._client.ping()
            self._tell_availability(self._standing())
        except redis.ResponseError as exc:
            self._tell_availability(f"Redis refuses the report: {exc}")
        except (redis.RedisError, OSError) as exc:
            self._tell_availability(f"Redis is not reachable ({type(exc).__name__})")
        self._tell_server(report)

    def _store(self, client: redis.Redis, report: EngineReport) -> None:
        pipeline = client.pipeline(transaction=False)
        pipeline.eval(STORE_REPORT, 1, self._keys.report_of(report.partitions), report.encode(), REPORT_TTL_MS)
        pipeline.sadd(SESSIONS, self._keys.session)
        stored, listed = cast("Any", pipeline).execute(raise_on_error=False)
        if isinstance(stored, Exception):
            raise stored
        # The session is in the list already, or comes into it with a later report, once there is memory.
        if isinstance(listed, Exception) and not isinstance(listed, redis.OutOfMemoryError):
            raise listed

    def _standing(self) -> str:
        """Say that the engine's thread has stood still for too long; this thread alone would go on reporting."""
        stood, standing_s = self._stands, self._figures.standing_s(self._clock.monotonic_ns())
        self._stands = standing_s > STANDING_S
        return "the engine stands still: it waits for a file or a disk" if stood and self._stands else ""

    def _tell_availability(self, problem: str) -> None:
        """Tell the server whether it may say that it serves: once per change."""
        if problem == self._told_problem or (
            not problem and self._figures.phase in (EngineState.STARTING, EngineState.FAILED)
        ):
            return
        self._told_problem = problem
        if problem:
            logger.warning("state not reported", extra=fields(reason=problem))
            self._tell("unavailable", message=problem)
        else:
            self._tell("ready")

    def _tell_server(self, report: EngineReport) -> None:
        told = _Told(report.state, report.effective, report.error, report.live.connected)
        if told != self._told:
            refused = told.effective.refused
            news = self._told is None or self._told.effective.refused != refused
            self._told = told
            self._tell("state", **report.fields())
            if news and refused is not None:
                self._tell("intent_refused", revision=refused.revision, reason=refused.reason)
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._told_ns < PROGRESS_S * 1e9 and not self._stopping.is_set():
            return
        figures = self._figures.metrics(now_ns)
        # Only progress counts as progress: the server gives up on an engine that restarts without any.
        event = "progress" if report.last_sequence != self._told_sequence else "figures"
        self._told_ns, self._told_sequence = now_ns, report.last_sequence
        self._tell(
            event,
            last_sequence=report.last_sequence,
            last_arrival_time_ns=report.last_arrival_time_ns,
            pid=report.pid,
            figures=figures,
        )
