"""What a server makes of its engine's reports."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.runtime.engine_host import EngineHost
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
