"""The account of a replay: two counts that do not know of each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fastpath.midprice import PriceCounts
from services.cli.verdict import unaccounted, unaccounted_lines
from services.replay.sources import inspect as inspecting
from services.runtime.session.announcement import LogReport, SinkAnnouncement, SinkPosition
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.report import HistoricalReport
from tests.support.cli import midstream_here

COUNTS = PriceCounts(mids=5, latency_filtered=2, missing_side=1, rejected=1, crossed=3, locked=1, markers=2)


def test_what_was_published_is_what_the_logs_account_for() -> None:
    sink = SinkAnnouncement(SinkPosition("price", "e", 11, 0, b"", "r"), log=LogReport(counts=COUNTS))

    assert unaccounted(11, sink) == ""
    assert "12 records were published and 11 are accounted for" in unaccounted(12, sink)


READ = LineCounts(first_line=1, lines_read=15, ticks=8, rejected=1, skipped=3, blank=2, reported=0)


def verdict_of(counts: LineCounts, *, markers: int = 0, rows_before: int = 0) -> str:
    log = LogReport(counts=COUNTS._replace(markers=markers))
    sink = SinkAnnouncement(SinkPosition("price", "e", 9, 0, b"", "r"), log=log)
    return unaccounted_lines(HistoricalReport(sources=("a.csv",), lines=(counts,)), sink, rows_before=rows_before)


@pytest.mark.quick
def test_every_line_that_was_read_became_something() -> None:
    assert verdict_of(READ) == ""
    assert verdict_of(replace(READ, lines_read=14, reported=1)) == ""
    assert "a.csv: 16 lines were read, and 1 of them became nothing" in verdict_of(replace(READ, lines_read=16))
    assert "15 lines were read, and 1 of them became more than one" in verdict_of(replace(READ, blank=3))


@pytest.mark.quick
def test_rows_that_were_read_are_those_that_the_logs_have() -> None:
    lost = replace(READ, lines_read=16, ticks=9)

    assert "10 rows were read and 9 are accounted for in the logs" in verdict_of(lost)
    # Of a part of the rows nothing can be said: a run that was resumed, or moved by a command.
    assert verdict_of(replace(lost, first_line=7, lines_read=15)) == ""
    assert verdict_of(lost, rows_before=3) == ""
    assert verdict_of(lost, markers=1) == ""


def test_the_equation_of_an_inspection_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "two.csv"
    header = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
    path.write_text(f"{header}\n0,2025-01-01 00:00:00,A,1,101,100,1,1\nbad\n")
    good = midstream_here("inspect", path)
    assert good.code == 0
    assert "2 = 1 ticks + 1 rejected" in good.stdout

    real = inspecting.inspect

    def forgetful(*arguments: object, **options: object) -> object:
        report = real(*arguments, **options)  # type: ignore[arg-type]
        return replace(report, total=replace(report.total, rejected=0))

    monkeypatch.setattr("services.cli.inspect_command.inspect", forgetful)
    wrong = midstream_here("inspect", path)
    assert wrong.code == 1
    assert "2 IS NOT 1 ticks + 0 rejected" in wrong.stdout


def test_reasons_beyond_the_first_ones_are_put_together(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    header = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
    rows = "".join("x," * number + "\n" for number in range(20, 60))
    path.write_text(f"{header}\n0,2025-01-01 00:00:00,A,1,101,100,1,1\n{rows}")

    done = midstream_here("inspect", path)

    assert done.stdout.count("rejected  ") < 12
    assert "more reasons (--json lists them)" in done.stdout


def test_a_negative_factor_is_refused_as_a_factor() -> None:
    done = midstream_here("speed", "-1")

    assert done.code == 2
    assert "must be `max` or a factor above 0" in done.stderr
