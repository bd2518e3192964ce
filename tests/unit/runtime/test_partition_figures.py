"""Several engines of one session behind one set of names: what boards and alerts read stays true."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from services.price.metrics import PRICE_FIGURES
from services.replay.metrics import REPLAY_FIGURES
from services.runtime.engine_usage import CPU, MEMORY, EngineUsage
from services.runtime.figures import Figure, Values
from services.runtime.metrics import Metrics
from services.runtime.partition_figures import _WORST, BothMetrics, PartitionFigures
from services.runtime.session_figures import SessionFigures


class Shown:
    """A process whose session has partitions."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.figures = PartitionFigures(self.metrics)
        self.figures.declare(REPLAY_FIGURES)

    def tell(self, partition: int, **values: Any) -> None:
        told = {f"midstream_{name}": value for name, value in values.items()}
        self.figures.of(partition).take(told, origin=str(100 + partition))

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"midstream_{name}")


def test_what_is_counted_adds_up_and_what_is_measured_is_that_of_the_worst() -> None:
    shown = Shown()

    shown.tell(0, replay_rows_total=5, replay_mode=2, queue_backpressured=0, live_connected=1, queue_backlog_records=3)
    shown.tell(1, replay_rows_total=7, replay_mode=2, queue_backpressured=1, live_connected=0, queue_backlog_records=4)
    shown.tell(0, replay_rows_total=6, live_connected=1, queue_backpressured=0, live_queue_frames=9)
    shown.tell(1, live_queue_frames=10)

    assert shown.value("replay_rows_total") == 13
    assert shown.value("queue_backlog_records") == 7
    assert shown.value("live_queue_frames") == 10
    # Of these an alert is made: one partition that waits, or has no feed, is enough.
    assert (shown.value("queue_backpressured"), shown.value("live_connected")) == (1, 0)
    assert shown.value("replay_mode") == 2


def test_a_feed_that_all_engines_connect_to_again_was_lost_once() -> None:
    shown = Shown()
    seen = []

    for first, second in ((1, 0), (1, 1), (2, 3), (2, 3)):
        shown.tell(0, live_reconnects_total=first)
        shown.tell(1, live_reconnects_total=second)
        seen.append(shown.value("live_reconnects_total"))
    shown.figures.drop(1)
    # Its next engine counts from nothing.
    shown.figures.of(1).take({"midstream_live_reconnects_total": 1}, origin="201")

    assert seen == [1, 1, 3, 3]
    assert shown.value("live_reconnects_total") == 4


def test_nothing_is_said_of_an_engine_that_has_gone() -> None:
    shown = Shown()
    shown.tell(0, queue_backpressured=0, queue_backlog_records=3, replay_rows_total=5, pacing_late_p99_seconds=0.1)
    shown.tell(1, queue_backpressured=1, queue_backlog_records=4, replay_rows_total=7, pacing_late_p99_seconds=None)

    shown.figures.drop(1)
    one = [shown.value(name) for name in ("queue_backpressured", "queue_backlog_records", "replay_rows_total")]
    shown.figures.drop(0)
    none = [shown.value(name) for name in ("queue_backpressured", "queue_backlog_records", "replay_rows_total")]

    # What was counted has been counted.
    assert (one, none) == ([0, 3, 12], [0, None, 12])
    assert shown.value("pacing_late_p99_seconds") is None


def test_every_name_that_has_a_rule_is_a_gauge_of_an_engine() -> None:
    gauges = {figure.name for figure in (*REPLAY_FIGURES, *PRICE_FIGURES, MEMORY) if figure.kind == "gauge"}

    assert set(_WORST) <= gauges


class _Process(EngineUsage):
    """An engine of which the test says what it took."""

    def __init__(self, metrics: Any) -> None:
        self.cpu_s = self.bytes = 0.0
        super().__init__(metrics)

    def cpu(self) -> Values:
        return {(): self.cpu_s}

    def memory(self) -> Values:
        return {(): self.bytes}


def test_cpu_time_is_that_of_the_busiest_engine_and_never_goes_back() -> None:
    """The alert means an engine that takes a whole core; two that take half of one each are none."""
    shown = Shown()
    one, two = _Process(shown.figures.of(0)), _Process(shown.figures.of(1))
    seen = []

    for first, second in ((5.0, 5.0), (10.0, 6.0), (11.0, 20.0), (12.0, 0.5)):
        one.cpu_s, two.cpu_s = first, second
        one.bytes, two.bytes = first * 100, second * 100
        seen.append(shown.registry.get_sample_value(CPU.name))
    shown.figures.drop(1)

    assert seen == [5.0, 10.0, 24.0, 25.0]
    assert shown.registry.get_sample_value(CPU.name) == 25.0
    assert shown.registry.get_sample_value(MEMORY.name) == 1200.0


def test_an_engine_is_shown_by_itself_and_among_those_of_its_session() -> None:
    shown = Shown()
    rows = Figure("midstream_replay_rows_total", "counter", "Rows and frames taken in")
    sessions = SessionFigures(shown.metrics, [rows], running=lambda: {"s/0", "s/1"})
    for partition, counted in enumerate((5, 7)):
        both = BothMetrics(sessions.of(f"s/{partition}"), shown.figures.of(partition))
        both.declare(REPLAY_FIGURES)
        both.take({"midstream_replay_rows_total": counted}, origin=str(partition))

    alone = [
        shown.registry.get_sample_value("midstream_session_replay_rows_total", {"session": f"s/{p}"}) for p in (0, 1)
    ]
    assert (alone, shown.value("replay_rows_total")) == ([5, 7], 12)
