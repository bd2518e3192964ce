"""Lines that CloudWatch makes metrics of: their form, and that nothing is counted twice, lost or paid for in vain."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import jsonschema
import pytest
from prometheus_client import CollectorRegistry

from services.runtime.emf import LINE_BYTES_MAX, SERIES_MAX, EmfLines, write_emf
from services.runtime.emf_choice import Chosen, unit_of
from services.runtime.figures import Figure
from services.runtime.metrics import Metrics
from tests.support.emf_schema import FORM, problems

AT_MS = 1_790_000_000_123
CALLS = Figure("midstream_calls_total", "counter", "Calls", ("exchange", "outcome"))
SECONDS = Figure("midstream_call_seconds", "histogram", "Time", ("exchange",), buckets=(0.1, 1.0))
STATE = Figure("midstream_state", "gauge", "1 for a state", ("exchange", "state"))
LAG = Figure("midstream_lag_seconds", "gauge", "Lag", born=False)
PLAIN = Figure("midstream_events_total", "counter", "Events")
FIGURES = (CALLS, SECONDS, STATE, LAG, PLAIN)
CHOSEN = {
    CALLS.name: Chosen(("exchange",)),
    SECONDS.name: Chosen(("exchange",)),
    STATE.name: Chosen(("state",), zeros=False),
    LAG.name: Chosen(),
    PLAIN.name: Chosen(),
}


class Stage:
    def __init__(self, chosen: dict[str, Chosen] | None = None, stage: str = "prod") -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.metrics.declare(FIGURES)
        self.lines = EmfLines(
            self.metrics.registry,
            stage=stage,
            server="orders",
            wall_ns=lambda: AT_MS * 1_000_000,
            chosen=CHOSEN if chosen is None else chosen,
        )

    def take(self) -> list[dict[str, Any]]:
        """The documents of the next lines; each has the form that CloudWatch takes."""
        documents = []
        for line in self.lines.take():
            assert line.endswith(b"\n")
            assert line.count(b"\n") == 1
            assert len(line) <= LINE_BYTES_MAX
            document = json.loads(line)
            FORM.validate(document)
            assert problems(document) == []
            documents.append(document)
        return documents

    def values(self) -> dict[tuple[str, ...], Any]:
        """Of the next lines, by name and values of the dimensions behind stage and server."""
        found = {}
        for document in self.take():
            (directive,) = document["_aws"]["CloudWatchMetrics"]
            (names,) = directive["Dimensions"]
            for metric in directive["Metrics"]:
                key = (metric["Name"], *(document[name] for name in names[2:]))
                assert key not in found
                found[key] = document[metric["Name"]]
        return found


def test_a_line_says_whose_it_is_and_when_it_was_made() -> None:
    (document,) = Stage().take()

    assert document["_aws"] == {
        "Timestamp": AT_MS,
        "CloudWatchMetrics": [
            {
                "Namespace": "Midstream",
                "Dimensions": [["stage", "server"]],
                "Metrics": [{"Name": "midstream_events_total", "Unit": "Count"}],
            }
        ],
    }
    assert (document["stage"], document["server"], document["midstream_events_total"]) == ("prod", "orders", 0)


def test_counters_are_what_came_since_the_last_lines() -> None:
    stage = Stage()
    calls = stage.metrics.counter(CALLS)
    calls.labels("binance", "ok").inc(3)
    calls.labels("binance", "lost").inc(2)
    calls.labels("bitmex", "ok").inc(1)
    assert stage.values() == {(PLAIN.name,): 0, (CALLS.name, "binance"): 5, (CALLS.name, "bitmex"): 1}

    calls.labels("binance", "lost").inc(4)

    assert stage.values() == {(PLAIN.name,): 0, (CALLS.name, "binance"): 4, (CALLS.name, "bitmex"): 0}


def test_a_counter_that_began_again_elsewhere_counts_from_there() -> None:
    stage = Stage({"midstream_engine_cpu_seconds_total": Chosen()})
    cpu = stage.metrics.measured(Figure("midstream_engine_cpu_seconds_total", "counter", "CPU"))
    sent = []
    for value in (5.0, 7.0, 1.5):
        cpu.replace({(): value})
        sent += list(stage.values().values())

    assert sent == [5.0, 2.0, 1.5]


def test_a_histogram_is_its_new_observations_at_the_bounds_of_their_buckets() -> None:
    stage = Stage()
    seconds = stage.metrics.histogram(SECONDS).labels("binance")
    for value in (0.05, 0.06, 0.5, 7.0):
        seconds.observe(value)
    first = stage.values()[SECONDS.name, "binance"]
    seconds.observe(0.25)
    second = stage.values()[SECONDS.name, "binance"]
    third = stage.values()

    # What is above the last bound counts as that bound; the sum is exact.
    assert first == {
        "Values": [0.1, 1.0], "Counts": [2, 2], "Min": 0.1, "Max": 1.0, "Count": 4, "Sum": pytest.approx(7.61),
    }  # fmt: skip
    assert second == {"Values": [1.0], "Counts": [1], "Min": 1.0, "Max": 1.0, "Count": 1, "Sum": pytest.approx(0.25)}
    assert (SECONDS.name, "binance") not in third


def test_of_gauges_the_largest_counts_and_what_nobody_knows_is_not_sent() -> None:
    stage = Stage()
    state = stage.metrics.gauge(STATE)
    for exchange, value in (("binance", 0), ("bitmex", 1)):
        state.labels(exchange, "open").set(value)
        state.labels(exchange, "forced_open").set(0)

    found = stage.values()
    stage.metrics.set(LAG.name, 2.5)

    assert (found.get((STATE.name, "open")), found.get((STATE.name, "forced_open"))) == (1, None)
    assert (LAG.name,) not in found
    assert stage.values()[(LAG.name,)] == 2.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_sent(value: float) -> None:
    stage = Stage()
    stage.metrics.set(LAG.name, value)

    assert (LAG.name,) not in stage.values()


def test_dimensions_are_never_empty_and_always_ascii() -> None:
    stage = Stage(stage="")
    stage.metrics.counter(CALLS).labels("Börse\n", "ok").inc()

    documents = stage.take()

    assert {document["stage"] for document in documents} == {"-"}
    assert {document.get("exchange") for document in documents} == {None, "B?rse"}


def test_many_figures_are_many_lines_that_a_pipe_keeps_whole() -> None:
    figures = [Figure(f"midstream_figure_{number:03}_total", "counter", "One") for number in range(250)]
    stage = Stage({figure.name: Chosen() for figure in figures})
    stage.metrics.declare(figures)
    for figure in figures:
        stage.metrics.add(figure.name, 1)

    assert stage.values() == {(figure.name,): 1 for figure in figures}


def test_series_without_end_are_cut_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    calls = stage.metrics.counter(CALLS)
    for number in range(SERIES_MAX + 10):
        calls.labels(f"exchange-{number}", "ok").inc()

    assert [len(stage.values()), len(stage.values())] == [SERIES_MAX, SERIES_MAX]
    assert caplog.text.count("figures left out of CloudWatch") == 1


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("midstream_orders_ack_seconds", "Seconds"),
        ("midstream_queue_wait_seconds_total", "Seconds"),
        ("process_resident_memory_bytes", "Bytes"),
        ("midstream_queue_appended_bytes_total", "Bytes"),
        ("midstream_orders_halted_total", "Count"),
        ("midstream_lag_records", "Count"),
        ("midstream_tls_certificate_not_after_seconds", "None"),
        ("midstream_serving", "None"),
    ],
)
def test_units_are_those_of_the_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit


async def test_lines_are_written_at_once_at_every_interval_and_at_the_end() -> None:
    stage = Stage({PLAIN.name: Chosen()})
    written: list[float] = []
    some = asyncio.Event()

    def write(line: bytes) -> None:
        written.append(json.loads(line)[PLAIN.name])
        if len(written) >= 3:
            loop.call_soon_threadsafe(some.set)

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(write_emf(stage.lines, interval_s=0.001, write=write))
    async with asyncio.timeout(10):
        await some.wait()
    stage.metrics.add(PLAIN.name, 7)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert sum(written) == 7


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["_aws"].pop("Timestamp"),
        lambda document: document["_aws"]["CloudWatchMetrics"][0].update(Dimensions=[]),
        lambda document: document["_aws"]["CloudWatchMetrics"][0]["Metrics"][0].update(Unit="Records"),
        lambda document: document["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0].extend(f"d{n}" for n in range(30)),
        lambda document: document["_aws"]["CloudWatchMetrics"][0]["Metrics"].extend([{"Name": "x"}] * 100),
    ],
    ids=["no time", "no dimensions", "unknown unit", "31 dimensions", "101 metrics"],
)
def test_the_schema_catches_what_cloudwatch_does_not_take(spoil: Any) -> None:
    (document,) = Stage().take()

    spoil(document)

    with pytest.raises(jsonschema.ValidationError):
        FORM.validate(document)
