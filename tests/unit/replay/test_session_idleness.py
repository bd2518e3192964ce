"""When a created session counts as idle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.replay.session_idleness import Idleness
from services.runtime.session.intents import Effective
from services.runtime.session.report import BacklogReport, EngineReport, EngineState

DONE = EngineReport("s", EngineState.COMPLETED, epoch="e", last_sequence=9, backlog=BacklogReport(records=4))


class Stage:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.idleness = Idleness(lambda: self.now_s)

    def after(self, seconds: float, report: EngineReport | None, *, subscribed: bool = False) -> float:
        self.now_s += seconds
        return self.idleness.note("s", report, subscribed=subscribed)


@pytest.mark.parametrize("state", [EngineState.COMPLETED, EngineState.PAUSED, EngineState.FAILED])
def test_a_session_at_rest_is_idle_from_when_that_was_seen_first(state: EngineState) -> None:
    stage, report = Stage(), replace(DONE, state=state)

    assert [stage.after(10, report) for _ in range(3)] == [0, 10, 20]
    assert stage.idleness.idle_s("s") == 20


@pytest.mark.parametrize("state", [EngineState.STARTING, EngineState.RUNNING, EngineState.BACKPRESSURED])
def test_an_engine_at_work_is_not_idle_and_neither_is_one_that_is_not_heard_of(state: EngineState) -> None:
    stage = Stage()
    stage.after(0, DONE)

    assert stage.after(10, replace(DONE, state=state)) == 0
    assert stage.after(10, None) == 0
    assert stage.after(10, DONE) == 0


@pytest.mark.parametrize(
    "used",
    [
        replace(DONE, last_sequence=10),
        replace(DONE, epoch="f"),
        replace(DONE, effective=Effective(revision=1)),
        replace(DONE, backlog=BacklogReport(records=3)),
    ],
    ids=["published", "numbered anew", "steered", "read by a group"],
)
def test_any_use_begins_the_wait_anew(used: EngineReport) -> None:
    stage = Stage()
    stage.after(0, DONE)

    assert stage.after(50, used) == 0
    assert stage.after(5, used) == 5


def test_a_subscriber_keeps_it_for_as_long_as_it_is_there() -> None:
    stage = Stage()
    stage.after(0, DONE)

    assert stage.after(50, DONE, subscribed=True) == 0
    assert stage.after(5, DONE) == 0
    assert stage.after(5, DONE) == 5


def test_sessions_that_are_gone_are_forgotten() -> None:
    stage = Stage()
    stage.after(0, DONE)
    stage.idleness.keep([])

    assert stage.idleness.idle_s("s") == 0
    assert stage.after(50, DONE) == 0
