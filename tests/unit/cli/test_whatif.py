"""`midstream whatif`: what it says, what it writes, and what it refuses."""

from __future__ import annotations

import json
import random
import re
from html import unescape
from pathlib import Path

import pytest

from fastpath.values import format_timestamp
from services.cli.whatif.page import TICKERS_DRAWN, TIMES
from services.replay.sources.what_if import what_if
from tests.support.cli import midstream_here
from tests.support.history_files import Quirks, history_text

pytestmark = pytest.mark.quick
MODELS = ("offset:5ms", "lognormal:p50=4ms,p99=90ms")
LATENCIES = [part for model in MODELS for part in ("--latency", model)]
HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes(history_text(random.Random(1), Quirks(rows=500)))
    return path


def test_json_is_the_report(file: Path) -> None:
    done = midstream_here("whatif", file, *LATENCIES, "--latency-threshold-ms", "12.5", "--json")

    report = json.loads(done.stdout)
    expected = what_if([str(file)], MODELS, latency_threshold_ms=12.5).report
    assert (done.code, done.stderr) == (0, "")
    assert report == json.loads(json.dumps(expected.to_dict()))
    assert report["inversions"] > 100
    assert sum(report["late"]) > 100


def test_table_has_the_figures_of_the_report(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    done = midstream_here("whatif", file, *LATENCIES)

    report = what_if([str(file)], MODELS).report
    # The last table has a row of this name, too.
    rows = {line.split("  ")[0]: line for line in reversed(done.stdout.splitlines())}
    assert f"{report.inversions:,}" in rows["inversions"]
    assert f"of {report.pairs:,}" in rows["inversions"]
    assert f"besides {report.rejected:,} rejected rows" in rows["ticks"]
    for change in report.tickers:
        assert change.staleness_ms is not None
        assert f"{change.staleness_ms[1].p99:,.3f}" in rows[change.ticker]
    assert report.ticker_pairs[0].first in done.stdout


def test_filters_choose_what_is_compared_and_the_page_tells_them(file: Path, tmp_path: Path) -> None:
    everything = what_if([str(file)], MODELS)
    ticker = everything.report.tickers[1].ticker
    first_ns, last_ns = everything.comparison.span_ns() or (0, 0)
    start, end = (format_timestamp(first_ns + (last_ns - first_ns) * part // 4) for part in (1, 3))
    page = tmp_path / "page.html"
    filters = ("--ticker", ticker, "--start", start, "--end", end)

    shown = midstream_here("whatif", file, *LATENCIES, *filters, "--html", page)
    report = json.loads(midstream_here("whatif", file, *LATENCIES, *filters, "--json").stdout)

    assert [change["ticker"] for change in report["tickers"]] == [ticker]
    assert 0 < report["ticks"] < everything.report.tickers[1].ticks
    assert (
        report["ticks"] + report["rejected"] + report["skipped"] == everything.report.ticks + everything.report.rejected
    )
    assert f"{report['skipped']:,} rows that the filters leave out" in shown.stdout
    assert f"{file}; only {ticker}, from {start}, before {end}" in unescape(page.read_text(encoding="utf-8"))


def test_one_model_is_compared_with_the_latencies_of_the_file(file: Path) -> None:
    done = midstream_here("whatif", file, "--latency", "offset:5ms", "--json")

    assert json.loads(done.stdout)["models"] == ["file", "offset:5ms"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--latency: two models are compared, and 0 were given; give two, or one"),
        (("--latency", "file") * 3, "3 were given"),
        (("--latency", "offset:5"), "midstream whatif: --latency: `offset:5` cannot be used"),
        (("--latency", "b.csv=offset:5ms"), "--latency: no source is named `b.csv`"),
        (("--latency", "file", "--start", "noon"), "--start: 'noon' is no time"),
        (
            ("--latency", "file", "--start", "2025-01-02 00:00:00", "--end", "2025-01-01 00:00:00"),
            "the start is not before the end",
        ),
        (("--latency", "file", "--html", "/not/there/a.html"), "--html: there is no folder /not/there"),
    ],
    ids=["none", "three", "no unit", "no such file", "no time", "no span", "no such folder"],
)
def test_what_cannot_be_compared_is_refused_with_the_fix(file: Path, arguments: tuple[str, ...], said: str) -> None:
    done = midstream_here("whatif", file, *arguments)

    assert (done.code, done.stdout) == (2, "")
    assert said in done.error_line


def test_page_needs_no_other_file_and_has_what_is_drawn(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    done = midstream_here("whatif", file, *LATENCIES, "--html", page)

    text = page.read_text(encoding="utf-8")
    assert done.stdout.rstrip().endswith(f"plots: {page}")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    # Nothing is loaded: addresses stand in remarks only.
    assert re.findall(r"(?:src|href)\s*=|@import|url\(|fetch\(", text.replace("this.src=", "")) == []
    assert "The MIT License" in text
    plots = json.loads(text.partition('id="plots">')[2].partition("</script>")[0])
    report = what_if([str(file)], MODELS).report
    assert plots["models"] == list(MODELS)
    assert plots["latencies"][0][50] == report.latency_ms[0].p50  # type: ignore[index]
    assert len(plots["times"]) == TIMES
    assert [drawn["ticker"] for drawn in plots["tickers"]] == [each.ticker for each in report.tickers[:TICKERS_DRAWN]]
    for drawn, change in zip(plots["tickers"], report.tickers, strict=False):
        assert change.ticks > 0
        for drawn_ages in drawn["ages"]:
            assert len(drawn_ages) == TIMES
            assert drawn_ages[-1] is not None
        assert any(drawn["differences"])
    assert f"{report.inversions:,}" in unescape(text)


def test_names_in_a_file_do_not_act_on_the_page(tmp_path: Path) -> None:
    path, page = tmp_path / "a.csv", tmp_path / "page.html"
    nasty = "</script><script>alert(1)</script>@@plots@@<b>"
    path.write_text(f"{HEADER}\n1,2025-01-01 00:00:00,{nasty},1,2,1,1,5\n1,2025-01-01 00:00:01,{nasty},1,2,1,1,5\n")

    done = midstream_here("whatif", path, "--latency", "offset:5ms", "--html", page)

    text = page.read_text(encoding="utf-8")
    assert done.code == 0
    assert "<script>alert" not in text
    assert "<b>" not in text
    plots = json.loads(text.partition('id="plots">')[2].partition("</script>")[0])
    assert plots["tickers"][0]["ticker"] == nasty


def test_page_about_nothing_is_a_page(tmp_path: Path) -> None:
    path, page = tmp_path / "a.csv", tmp_path / "page.html"
    path.write_text(HEADER + "\n")

    done = midstream_here("whatif", path, "--latency", "offset:5ms", "--html", page)

    assert done.code == 0
    assert "</html>" in page.read_text(encoding="utf-8")
