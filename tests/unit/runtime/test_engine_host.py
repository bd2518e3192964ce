"""What a server makes of its engine's reports."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.replay.metrics import REPLAY_FIGURES
from services.runtime.engine_host import LOOK_S, SILENT_S, EngineHost
from services.runtime.metrics import Metrics


class Stage:
    def __init__(self) -> None:
        self.troubles: list[str] = []
        self.progress: list[dict[str, Any]] = []
        self.metrics = Metrics(CollectorRegistry())
        self.host = EngineHost(
            "services.nothing",
            {},
            metrics=self.metrics,
            figures=REPLAY_FIGURES,
            on_trouble=self.troubles.append,
            on_progress=self.progress.append,
        )

    def report(self, event: str, **fields: object) -> None:
        self.host._on_report({"event": event, **fields})


@pytest.mark.parametrize(
    ("event", "fields", "trouble"),
    [
        ("ready", {}, ""),
        ("consuming", {}, ""),
        ("unavailable", {"message": "Redis is gone"}, "Redis is gone"),
        ("stopped", {"message": "records are missing"}, "records are missing"),
        ("standby", {"reason": "standing by"}, "standing by"),
        ("connecting", {"reason": "Redis is gone"}, "Redis is gone"),
        ("exited", {"code": 3}, "the engine ended with code 3"),
    ],
)
def test_what_the_engine_says_decides_its_trouble(event: str, fields: dict[str, object], trouble: str) -> None:
    stage = Stage()

    stage.report(event, **fields)

    assert stage.troubles == [trouble]


def test_what_an_engine_said_before_it_ended_tells_more_than_that_it_ended() -> None:
    stage = Stage()
    stage.report("stopped", message="records are missing")

    stage.report("exited", code=1)

    assert stage.troubles[-1] == "records are missing"


def test_figures_of_progress_are_taken_and_passed_on() -> None:
    stage = Stage()
    stage.report("started", pid=7)

    stage.report("progress", sequence=5, figures={"midstream_replay_sequence": 5})
    stage.report("figures", figures={"midstream_replay_sequence": 6})
    stage.report("state", state="RUNNING")

    assert [report.get("sequence") for report in stage.progress] == [5]
    assert stage.metrics.registry.get_sample_value("midstream_replay_sequence") == 6
    assert stage.troubles == []


class Ticking:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def silent_stage() -> tuple[Stage, Ticking]:
    stage, clock = Stage(), Ticking()
    stage.host = EngineHost(
        "services.nothing", {}, metrics=stage.metrics, on_trouble=stage.troubles.append, monotonic_s=clock
    )
    return stage, clock


def test_an_engine_that_works_and_falls_silent_is_trouble_until_it_speaks_again() -> None:
    stage, clock = silent_stage()
    stage.report("ready")

    clock.now_s += SILENT_S + 1
    stage.host.look()
    # What came while this process itself was stopped is read between two looks.
    assert (stage.troubles, stage.host.silent_s) == ([""], 0)
    for _ in range(3):
        stage.host.look()
    assert stage.troubles[1:] == ["the engine has said nothing for 4 s: it was stopped, or waits for its disk"]
    assert stage.host.silent_s == SILENT_S + 1

    stage.report("alive")
    assert (stage.troubles[2:], stage.host.silent_s) == ([""], 0)
    stage.host.look()
    assert stage.troubles[2:] == [""]


def test_trouble_that_is_known_is_not_replaced_by_silence() -> None:
    stage, clock = silent_stage()
    stage.report("unavailable", message="Redis is gone")

    clock.now_s += 60
    for _ in range(3):
        stage.host.look()

    assert stage.troubles == ["Redis is gone"]


def test_an_engine_that_hangs_while_it_starts_is_told_apart_from_one_that_starts() -> None:
    stage, clock = silent_stage()
    stage.host._tell("the engine is starting")

    clock.now_s += SILENT_S + 1
    for _ in range(2):
        stage.host.look()

    assert stage.troubles[1:] == [
        "the engine is starting and has said nothing for 4 s: it was stopped, or waits for its disk"
    ]


def test_silence_is_told_within_five_seconds() -> None:
    # A last word just after a look, silence noticed by a look, told by the next.
    assert SILENT_S + 2 * LOOK_S < 5.0
