"""Intents as Control writes them and the engine reads them, and what a report says of what they set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.control.journal import InEffect, effect_of
from services.replay.engine.journal import parse_entry
from services.runtime.session.intents import Change, Effective, Intent, Pause, Resume, SetMode, SetSpeed
from services.runtime.session.report import EngineReport, EngineState

REPORT = EngineReport("default", EngineState.RUNNING, Effective(mode=2, revision=9, paused=True, speed=0.5))


@pytest.mark.quick
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(SetMode(2, previous_mode=1), id="mode"),
        pytest.param(Pause(), id="pause"),
        pytest.param(Resume(), id="resume"),
        pytest.param(SetSpeed(0.1), id="speed"),
        pytest.param(SetSpeed(0.0), id="as fast as possible"),
    ],
)
def test_engine_reads_what_control_writes(change: Change) -> None:
    intent = Intent(change, request_id="r", correlation_id="c", time_ns=5)

    read = parse_entry(7, intent.encode().encode())

    assert (read.revision, read.intent, read.correlation_id) == (7, intent, "c")
    assert read.problem == ""


@pytest.mark.parametrize(
    ("change", "value"),
    [(SetMode(1), "2"), (Resume(), "1"), (Pause(), "1"), (SetSpeed(3.0), "0.5")],
    ids=["mode", "resume", "pause", "speed"],
)
def test_effect_is_what_the_report_says_of_that_setting(change: Change, value: str) -> None:
    assert effect_of(change, REPORT) == InEffect(value, 9)


@pytest.mark.parametrize(
    "report",
    [None, replace(REPORT, state=EngineState.STARTING), replace(REPORT, effective=Effective(revision=9, speed=0.5))],
    ids=["none", "starting", "no mode"],
)
def test_effect_of_an_engine_that_does_not_know_yet_is_unknown(report: EngineReport | None) -> None:
    assert effect_of(SetSpeed(0.5), report) == InEffect()
