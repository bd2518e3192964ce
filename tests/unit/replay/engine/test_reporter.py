"""What the engine reports."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from protos.replay.v1.replay_pb2 import Session, SessionState
from services.replay.engine.figures import EngineFigures
from services.replay.engine.reporter import STANDING_S, StateReporter
from services.replay.engine.time_debt import DebtPolicy, TimeDebt
from services.replay.metrics import REPLAY_FIGURES
from services.replay.sources import Complaints
from services.runtime.session.intents import Effective, RefusedIntent
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.report import REPORT_TTL_MS, STORE_REPORT, EngineReport, EngineState
from tests.support.clock import FakeClock

KEYS = SessionKeys("default")


class FakeRedis:
    """Takes reports, or is away."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sessions: set[str] = set()
        self.away = False
        self._waiting: list[Any] = []

    def ping(self) -> None:
        if self.away:
            raise redis.ConnectionError("gone")

    def pipeline(self, transaction: bool) -> FakeRedis:
        self._waiting = []
        return self

    def eval(self, script: str, keys: int, key: str, value: str, px: int) -> None:
        assert (script, keys, px) == (STORE_REPORT, 1, REPORT_TTL_MS)
        self._waiting.append(lambda: self.values.update({key: json.loads(value)}))

    def sadd(self, key: str, name: str) -> None:
        assert key == SESSIONS
        self._waiting.append(lambda: self.sessions.add(name))

    def execute(self, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        if self.away:
            raise redis.ConnectionError("gone")
        return [command() for command in self._waiting]


class Stage:
    def __init__(self) -> None:
        self.report = EngineFigures("default", owned=True)
        self.redis = FakeRedis()
        self.told: list[tuple[str, dict[str, object]]] = []
        self.clock = FakeClock()
        self.overdue: list[int] = []
        self.reporter = StateReporter(
            self.report,
            connect=lambda: self.redis,  # type: ignore[arg-type,return-value]
            keys=KEYS,
            tell=lambda event, **fields: self.told.append((event, fields)),
            clock=self.clock,
            overdue=lambda: self.overdue.append(self.clock.monotonic_ns()),
        )

    def events(self) -> list[str]:
        return [event for event, _ in self.told]


class Queue:
    waiting = False
    waited_s = 1.5
    reconnects = 2
    problem = "nobody reads"
    redis_run_id = "run"
    backlog_records = 3
    backlog_bytes = 300
    oldest_sequence = 1


def test_every_field_of_a_session_is_reported() -> None:
    report = EngineFigures("default").report(5, 5).fields()

    # The report says both of a range in one text, and what a session was created with is its definition's to tell. That it is one part
    # goes without saying.
    told_elsewhere = {"loop", "definition", "private", "partitions"}
    assert {field.name for field in Session.DESCRIPTOR.fields} - told_elsewhere <= set(report)
    assert SessionState.Value(f"SESSION_STATE_{report['state']}")
    json.dumps(report)


@pytest.mark.parametrize(
    ("phase", "paused", "waiting", "state"),
    [
        ("STARTING", True, True, "STARTING"),
        ("RUNNING", False, False, "RUNNING"),
        ("RUNNING", False, True, "BACKPRESSURED"),
        ("RUNNING", True, True, "PAUSED"),
        ("COMPLETED", False, False, "COMPLETED"),
        ("FAILED", True, True, "FAILED"),
    ],
)
def test_the_state_is_what_keeps_records_from_leaving(phase: str, paused: bool, waiting: bool, state: str) -> None:
    queue = Queue()
    queue.waiting = waiting
    report = EngineFigures("default", phase=EngineState(phase), effective=Effective(paused=paused), queue=queue)

    assert report.state == state


def test_a_wait_and_damaged_sources_show_in_the_error() -> None:
    class Historical:
        skipped = 0
        damaged = ("a.csv.gz",)
        complaints = Complaints(unusable=("b.csv: no row can be used",), unmatched_tickers=("X",))
        line_counts: tuple[LineCounts, ...] = ()

    queue = Queue()
    queue.waiting = True
    report = EngineFigures("default", queue=queue, historical=Historical())

    assert report.problems() == (
        "nobody reads; a.csv.gz is damaged: what could be read was replayed; b.csv: no row can be used; no row has the ticker `X`"
    )
    assert EngineReport.decode("default", report.report(1, 1).encode()) == report.report(1, 1)
    assert report.report(1, 1).historical.damaged_sources == 1


def test_reports_lie_in_redis_and_ready_is_told_once() -> None:
    stage = Stage()
    stage.reporter.publish()
    stage.report.phase = EngineState.RUNNING
    stage.report.last_sequence = 7
    stage.clock.advance(1.0)
    stage.reporter.publish()
    stage.reporter.publish()

    assert stage.redis.values[KEYS.state]["last_sequence"] == 7
    assert stage.redis.sessions == {"default"}
    assert stage.events().count("ready") == 1
    assert stage.events().count("progress") == 1


def test_a_session_that_is_not_ours_keeps_its_state() -> None:
    stage = Stage()
    stage.report.owned = False
    stage.report.phase = EngineState.FAILED

    stage.reporter.publish()

    assert stage.redis.values == {}
    assert stage.events()[0] == "state"


def test_redis_away_is_told_and_so_is_its_return() -> None:
    stage = Stage()
    stage.report.phase = EngineState.RUNNING
    stage.reporter.publish()
    stage.redis.away = True
    stage.reporter.publish()
    stage.reporter.publish()
    stage.redis.away = False
    stage.reporter.publish()

    assert [event for event in stage.events() if event in ("ready", "unavailable")] == ["ready", "unavailable", "ready"]


def test_progress_is_told_at_most_ten_times_a_second_and_only_when_there_is_some() -> None:
    stage = Stage()
    stage.report.phase = EngineState.RUNNING
    for _ in range(100):
        stage.report.last_sequence += 1
        stage.clock.advance(0.01)
        stage.reporter.publish()
    moving = stage.events().count("progress")
    for _ in range(100):
        stage.clock.advance(0.01)
        stage.reporter.publish()

    assert 9 <= moving <= 11
    assert stage.events().count("progress") <= moving + 1


def test_a_refused_intent_is_told_once() -> None:
    stage = Stage()
    stage.report.effective = Effective(revision=4, refused=RefusedIntent(4, "no live source is configured"))
    stage.reporter.publish()
    stage.reporter.publish()

    assert stage.told.count(("intent_refused", {"revision": 4, "reason": "no live source is configured"})) == 1
    assert stage.redis.values[KEYS.state]["refused"] == {"revision": 4, "reason": "no live source is configured"}


def test_every_figure_has_a_known_name() -> None:
    class Live:
        connected = True
        problem = ""
        reconnects = 1
        lost_frames = 2
        queued_frames = 3

    class Historical:
        skipped = 4
        damaged = ()
        complaints = Complaints()
        line_counts: tuple[LineCounts, ...] = ()

    report = EngineFigures("default", queue=Queue(), live=Live(), historical=Historical())
    report.lateness.note(5)

    assert set(report.metrics(0)) <= {figure.name for figure in REPLAY_FIGURES}


def test_an_engine_whose_thread_stands_still_is_told_by_the_thread_that_reports() -> None:
    stage = Stage()
    stage.report.phase = EngineState.RUNNING
    stage.report.turned_ns = stage.clock.monotonic_ns()
    stage.reporter.publish()
    stage.clock.advance(STANDING_S + 0.1)

    # Twice: a wait for the queue that ended between two turns is none.
    stage.reporter.publish()
    assert "unavailable" not in stage.events()
    stage.reporter.publish()
    told = [fields for event, fields in stage.told if event == "unavailable"]
    assert told == [{"message": "the engine stands still: it waits for a file or a disk"}]

    stage.report.turned_ns = stage.clock.monotonic_ns()
    stage.reporter.publish()
    assert stage.events()[-3:].count("ready") == 1


@pytest.mark.parametrize(("policy", "calls"), [("fail", 1), ("catch-up", 0), ("stretch", 0)])
def test_an_engine_that_is_too_far_behind_is_disturbed_in_its_wait_for_room(policy: DebtPolicy, calls: int) -> None:
    stage = Stage()
    stage.report.debt = TimeDebt(policy, 5_000_000_000)
    stage.report.debt.expect(stage.clock.monotonic_ns())
    stage.clock.advance(5.0)
    stage.reporter.publish()
    assert stage.overdue == []

    stage.clock.advance(0.001)
    stage.reporter.publish()

    assert len(stage.overdue) == calls
    debt = stage.redis.values[KEYS.state]["time_debt"]
    assert (debt["policy"], debt["behind_ns"]) == (policy, 5_001_000_000)


def test_waits_that_are_announced_are_no_standing_still() -> None:
    stage = Stage()
    stage.report.turned_ns = stage.clock.monotonic_ns()
    stage.clock.advance(60)

    assert stage.report.phase is EngineState.STARTING
    assert stage.report.standing_s(stage.clock.monotonic_ns()) == 0.0
    stage.report.phase = EngineState.RUNNING
    assert stage.report.standing_s(stage.clock.monotonic_ns()) == 60.0
    stage.report.queue = queue = Queue()
    queue.waiting = True
    assert stage.report.standing_s(stage.clock.monotonic_ns()) == 0.0
