"""Figures of created sessions: each its own, none of them in the sums of the process, and none left behind."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.replay.metrics import CREATED_FIGURES, REPLAY_FIGURES, SESSION_FIGURES
from services.runtime.engine_host import ENGINE_FIGURES, RESTARTS, EngineHost
from services.runtime.engine_usage import CPU
from services.runtime.metrics import Metrics
from services.runtime.session_figures import SessionFigures


class Stage:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        metrics.declare((*REPLAY_FIGURES, *ENGINE_FIGURES))
        self.running: set[str] = set()
        self.figures = SessionFigures(metrics, CREATED_FIGURES, running=lambda: self.running)

    def value(self, name: str, session: str) -> float | None:
        return self.registry.get_sample_value(f"midstream_session_{name}", {"session": session})

    def own_samples(self) -> list[object]:
        """Everything that is not about created sessions."""
        return [
            sample
            for family in self.registry.collect()
            for sample in family.samples
            if not family.name.startswith("midstream_session_")
        ]

    def samples(self) -> int:
        return sum(
            len(family.samples) for family in self.registry.collect() if family.name.startswith("midstream_session_")
        )


def test_what_a_session_reports_is_its_own_and_changes_nothing_about_the_process() -> None:
    stage = Stage()
    before = stage.own_samples()
    stage.running |= {"a", "b"}
    first, second = stage.figures.of("a"), stage.figures.of("b")

    first.take({"midstream_queue_backlog_records": 7, "midstream_replay_rows_total": 5}, origin="1")
    second.take({"midstream_queue_backlog_records": 9, "midstream_pacing_late_seconds": [1, 2, 3.0]}, origin="2")
    second.add(RESTARTS)

    assert (stage.value("queue_backlog_records", "a"), stage.value("queue_backlog_records", "b")) == (7, 9)
    assert (stage.value("replay_rows_total", "a"), stage.value("replay_rows_total", "b")) == (5, 0)
    assert (stage.value("engine_restarts_total", "a"), stage.value("engine_restarts_total", "b")) == (0, 1)
    assert stage.own_samples() == before


def test_counters_go_on_when_an_engine_starts_again_and_an_unknown_gauge_has_no_series() -> None:
    stage = Stage()
    stage.running.add("a")
    metrics = stage.figures.of("a")

    for rows, origin in ((5, "1"), (7, "1"), (2, "2"), (3, "2")):
        metrics.take({"midstream_replay_rows_total": rows, "midstream_pacing_speed": rows}, origin=origin)
    metrics.take({"midstream_pacing_speed": None, "midstream_surprise": 1}, origin="2")

    assert stage.value("replay_rows_total", "a") == 10
    assert stage.value("pacing_speed", "a") is None


def test_a_session_that_is_gone_leaves_no_series_and_no_memory() -> None:
    stage = Stage()
    stage.running.add("kept")
    stage.figures.of("kept").take({"midstream_queue_backlog_records": 1}, origin="1")
    after_one = stage.samples()

    for number in range(1_000):
        name = f"s-{number}"
        stage.running.add(name)
        stage.figures.of(name).take({"midstream_queue_backlog_records": 1}, origin="1")
        assert stage.samples() <= 2 * len(SESSION_FIGURES)
        stage.running.remove(name)

    assert stage.samples() == after_one
    assert len(stage.figures._sessions) <= 2


def test_an_engine_host_tells_the_use_of_its_engine_where_it_was_told_to() -> None:
    stage = Stage()
    stage.running.add("a")
    metrics = stage.figures.of("a")
    host = EngineHost("services.nothing", {}, metrics=metrics, figures=REPLAY_FIGURES, on_trouble=lambda trouble: None)
    metrics.measured(CPU).follow(lambda: {(): 1.5})

    host._on_report({"event": "started", "pid": 1})
    host._on_report({"event": "started", "pid": 2})
    host._on_report({"event": "figures", "figures": {"midstream_pacing_speed": 2}})

    assert stage.value("engine_restarts_total", "a") == 1
    assert stage.value("pacing_speed", "a") == 2
    assert stage.value("engine_cpu_seconds_total", "a") == 1.5
    assert stage.registry.get_sample_value("midstream_pacing_speed") is None
