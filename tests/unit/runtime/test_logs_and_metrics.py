"""Logs say who, what and under which request; metrics have fixed names."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from services.cli.metrics_catalogue import LIBRARY_FIGURES, catalogue
from services.power.figures import DEAL_FIGURES
from services.price.metrics import PRICE_FIGURES
from services.replay.metrics import REPLAY_FIGURES
from services.runtime.console_logs import console_formatter
from services.runtime.figures import Figure
from services.runtime.logs import LogLimit, configure_logs, correlation, current_correlation_id
from services.runtime.metrics import Metrics
from tests.support.clock import FakeClock


@pytest.fixture(autouse=True)
def _restore_root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_log_line_is_one_json_object_with_server_and_correlation_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("replay", level="info")
    logger = logging.getLogger("services.test")

    with correlation("abc"):
        logger.info("replay started: session=%s", "default")
    logger.debug("not shown")

    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert record["event"] == "replay started: session=default"
    assert record["level"] == "info"
    assert record["server"] == "replay"
    assert record["logger"] == "services.test"
    assert record["correlation_id"] == "abc"
    assert record["timestamp"].endswith("Z")
    assert current_correlation_id() == ""


@pytest.mark.parametrize("stage", ["", "prod"])
def test_log_line_names_the_stage_where_there_is_one(capsys: pytest.CaptureFixture[str], stage: str) -> None:
    configure_logs("replay", stage=stage)

    logging.getLogger("x").warning("something happened")

    assert json.loads(capsys.readouterr().err).get("stage", "") == stage


@pytest.mark.parametrize("form", ["json", "console"])
def test_password_of_a_url_never_reaches_the_log(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logs("replay", form=form)

    logging.getLogger("x").warning("cannot reach %s", "redis://u:hunter2@host:1/0")
    try:
        raise RuntimeError("redis://:hunter2@host refused")
    except RuntimeError:
        logging.getLogger("x").exception("failed")

    error = capsys.readouterr().err
    assert "cannot reach redis://u:***@host:1/0" in error
    assert "RuntimeError: redis://:***@host refused" in error
    assert "hunter2" not in error


@pytest.mark.parametrize("no_color", ["", "1"], ids=["colours", "NO_COLOR"])
def test_lines_for_people_are_plain_where_they_ask_for_it(monkeypatch: pytest.MonkeyPatch, no_color: str) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    formatter = console_formatter("replay", redact=lambda event: None, correlation_id=lambda: "")
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, "something happened", (), None)

    assert ("\x1b[" in formatter.format(record)) == (no_color == "")


def test_the_web_server_s_own_chatter_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("orders")

    for name in ("uvicorn.error", "uvicorn", "asyncio", "websockets"):
        logging.getLogger(name).info("Started server process")
        logging.getLogger(name).warning("%s is worth a line", name)

    assert [json.loads(line)["logger"] for line in capsys.readouterr().err.splitlines()] == [
        "uvicorn.error", "uvicorn", "asyncio", "websockets",
    ]  # fmt: skip


def test_log_limit_passes_one_per_interval_and_counts_the_rest() -> None:
    clock = FakeClock()
    limit = LogLimit(10.0, clock=clock)

    assert [limit.passes() for _ in range(3)] == [0, None, None]
    clock.advance(10.0)
    assert limit.passes() == 2
    limit.over()
    assert [limit.passes() for _ in range(2)] == [0, None]


def test_figures_have_full_names_with_units() -> None:
    library = {figure.name for figure in LIBRARY_FIGURES}

    for series in catalogue():
        assert series.name.startswith(("midstream_", "grpc_server_")) or series.name in library
        assert series.name.endswith("_total") == (series.kind == "counter"), series.name
        assert series.help


def test_reported_counters_go_on_when_an_engine_starts_again_at_zero() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.declare((*REPLAY_FIGURES, *PRICE_FIGURES))

    metrics.take({"midstream_queue_entries_total": 5, "midstream_lag_seconds": 1.5}, origin="1")
    metrics.take({"midstream_queue_entries_total": 7, "midstream_lag_seconds": 0.5}, origin="1")
    metrics.take({"midstream_queue_entries_total": 2}, origin="2")
    metrics.take({"midstream_queue_entries_total": 3}, origin="2")

    assert registry.get_sample_value("midstream_queue_entries_total") == 10
    assert registry.get_sample_value("midstream_lag_seconds") == 0.5


def test_unknown_figures_create_no_series(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    metrics.declare(PRICE_FIGURES)
    before = {metric.name: metric.samples for metric in registry.collect()}

    metrics.take({"midstream_surprise": 1, "midstream_lag_records": "many"}, origin="1")

    assert {metric.name: metric.samples for metric in registry.collect()} == before
    assert caplog.text.count("figure ignored") == 2


def test_what_is_declared_begins_at_zero_unless_nobody_knows_it() -> None:
    registry = CollectorRegistry()
    Metrics(registry).declare((*REPLAY_FIGURES, *DEAL_FIGURES))

    for figure in (*REPLAY_FIGURES, *DEAL_FIGURES):
        assert registry.get_sample_value(figure.name) == (0.0 if figure.born else None), figure.name
        assert figure.born or figure.kind == "gauge"


def test_a_gauge_that_an_engine_does_not_know_any_more_has_no_series() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.declare(REPLAY_FIGURES)

    metrics.take({"midstream_pacing_late_p99_seconds": 0.25}, origin="1")
    assert registry.get_sample_value("midstream_pacing_late_p99_seconds") == 0.25
    metrics.take({"midstream_pacing_late_p99_seconds": None}, origin="1")

    assert registry.get_sample_value("midstream_pacing_late_p99_seconds") is None


def test_declared_figures_are_known_and_declaring_them_again_changes_nothing() -> None:
    metrics = Metrics(CollectorRegistry())
    with pytest.raises(KeyError):
        metrics.add("midstream_deals_total")

    metrics.declare(DEAL_FIGURES)
    metrics.add("midstream_deals_total", 2)
    metrics.declare(DEAL_FIGURES)
    metrics.add("midstream_deals_total")

    assert metrics.registry.get_sample_value("midstream_deals_total") == 3


def test_a_name_is_declared_for_one_thing_only() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.declare(DEAL_FIGURES)

    with pytest.raises(ValueError, match="midstream_deals_waiting"):
        metrics.declare([Figure("midstream_deals_waiting", "counter", "Something else")])
