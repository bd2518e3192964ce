"""Intents as Control writes them and the engine reads them."""

from __future__ import annotations

from typing import Any

import pytest

from services.control.journal import Effect, Intent
from services.replay.engine.journal import parse_intent

REPORT: dict[str, Any] = {"state": "RUNNING", "mode": 2, "paused": True, "speed": 0.5, "revision": 9}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("intent", "kind", "mode", "speed"),
    [
        pytest.param(Intent("mode", "2"), "mode", 2, 0.0, id="mode"),
        pytest.param(Intent("paused", "1"), "pause", 0, 0.0, id="pause"),
        pytest.param(Intent("paused", "0"), "resume", 0, 0.0, id="resume"),
        pytest.param(Intent("speed", "0.1"), "speed", 0, 0.1, id="speed"),
        pytest.param(Intent("speed", "0.0"), "speed", 0, 0.0, id="as fast as possible"),
    ],
)
def test_engine_reads_what_control_writes(intent: Intent, kind: str, mode: int, speed: float) -> None:
    text = intent.to_json(request_id="r", before="", time_ns=5, correlation_id="c")

    read = parse_intent(7, text.encode())

    assert (read.revision, read.kind, read.mode, read.speed, read.correlation_id) == (7, kind, mode, speed, "c")
    assert read.problem == ""


@pytest.mark.parametrize(
    ("kind", "value"), [("mode", "2"), ("paused", "1"), ("speed", "0.5")], ids=["mode", "paused", "speed"]
)
def test_effect_is_what_the_report_says_of_that_kind(kind: str, value: str) -> None:
    assert Intent(kind, "any").effect(REPORT) == Effect(value, 9)


@pytest.mark.parametrize(
    "report", [None, REPORT | {"state": "STARTING"}, REPORT | {"mode": 0}], ids=["none", "starting", "no mode"]
)
def test_effect_of_an_engine_that_does_not_know_yet_is_unknown(report: dict[str, Any] | None) -> None:
    assert Intent("speed", "0.5").effect(report) == Effect()
