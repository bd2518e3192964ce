"""The figures of a comparison as rows of text, the same on a terminal and on a page."""

from __future__ import annotations

from fastpath.values import format_timestamp
from services.replay.sources.what_if import TickerChange, WhatIfReport

Rows = list[tuple[str, ...]]


def filters_of(report: WhatIfReport) -> str:
    """Say what of the files is compared; empty is all of it."""
    parts = [f"only {', '.join(report.only_tickers)}"] if report.only_tickers else []
    if report.start_time_ns is not None:
        parts.append(f"from {format_timestamp(report.start_time_ns)}")
    if report.end_time_ns is not None:
        parts.append(f"before {format_timestamp(report.end_time_ns)}")
    return ", ".join(parts)


def change_rows(report: WhatIfReport) -> Rows:
    """Return what the models make of all ticks: one row per figure, a column for each model, and what the figure means."""
    first, second = report.models
    rows: Rows = [("", first, second, "")]
    if report.latency_ms is not None:
        before, after = report.latency_ms
        rows += [
            ("latency p50, ms", _ms(before.p50), _ms(after.p50), "waiting for the row before included"),
            ("latency p99, ms", _ms(before.p99), _ms(after.p99), ""),
            ("latency max, ms", _ms(before.max), _ms(after.max), ""),
            ("waited", f"{before.waited:,}", f"{after.waited:,}", "ticks that waited for the row before in their file"),
        ]
    late = f"above {report.latency_threshold_ms:g} ms; {report.late_in_both:,} under both"
    rows.append(("late", f"{report.late[0]:,}", f"{report.late[1]:,}", late))
    left_out = [f"{count:,} {what}" for count, what in _left_out(report) if count]
    rows += [
        ("ticks", "", f"{report.ticks:,}", f"besides {' and '.join(left_out)}" if left_out else ""),
        ("moved", "", f"{report.moved:,}", f"{_share(report.moved, report.ticks)} have another place in the order"),
        ("inversions", "", f"{report.inversions:,}", f"pairs whose order differs, of {report.pairs:,}"),
    ]
    return rows


def _left_out(report: WhatIfReport) -> list[tuple[int, str]]:
    return [
        (report.rejected, "rejected rows"),
        (report.unusable, "whose arrival no year of ours holds"),
        (report.skipped, "rows that the filters leave out"),
    ]


def ticker_rows(report: WhatIfReport, limit: int) -> Rows:
    """Return a row per ticker, the busiest first: late ticks and how old its latest mid was, before and after."""
    rows: Rows = [("ticker", "ticks", "late", "", "stale p50, ms", "", "stale p99, ms", "", "stale max, ms")]
    rows += [_ticker_row(change) for change in report.tickers[:limit]]
    if len(report.tickers) > limit:
        rows.append((f"and {len(report.tickers) - limit:,} more", *[""] * 8))
    return rows


def _ticker_row(change: TickerChange) -> tuple[str, ...]:
    counts = (change.ticker, f"{change.ticks:,}", f"{change.late[0]:,}", f"{change.late[1]:,}")
    if change.staleness_ms is None:
        return (*counts, "", "", "", "", "no mid under one of the models")
    before, after = change.staleness_ms
    return (
        *counts,
        _ms(before.p50),
        _ms(after.p50),
        _ms(before.p99),
        _ms(after.p99),
        f"{_ms(before.max)} to {_ms(after.max)}",
    )


def pair_rows(report: WhatIfReport, limit: int) -> Rows:
    """Return a row per pair of tickers whose ticks change places."""
    rows: Rows = [("inversions", "first under the first model, second under the second")]
    rows += [(f"{pair.inversions:,}", f"{pair.first}, {pair.second}") for pair in report.ticker_pairs[:limit]]
    if len(report.ticker_pairs) > limit:
        rest = sum(pair.inversions for pair in report.ticker_pairs[limit:])
        rows.append((f"{rest:,}", "between others"))
    return rows


def _ms(value: float) -> str:
    return f"{value:,.3f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0 %"
