"""A comparison as one page that needs no other file: its tables, and its plots drawn by uPlot, which is in the page."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import Any

from services.cli.whatif.text import Rows, change_rows, filters_of, pair_rows, ticker_rows
from services.replay.sources.what_if import WhatIf

TICKERS_DRAWN = 6
TICKERS_LISTED = 100
PAIRS_LISTED = 50
TIMES = 600
"""Times at which the latest mids are looked at for a plot: about one for every other pixel."""
_SHARES = [*(percent / 100 for percent in range(100)), 0.995, 0.999, 1.0]


def page_of(found: WhatIf) -> str:
    """Return the page as HTML."""
    report = found.report
    here, assets = files("services.cli.whatif"), files("services.reporting.web") / "assets"
    # A name in a file may look like the end of the script.
    plots = json.dumps(plots_of(found)).replace("<", "\\u003c")
    parts = {
        "title": escape(f"from {report.models[0]} to {report.models[1]}"),
        "files": escape("; ".join(filter(None, (", ".join(report.files), filters_of(report))))),
        "changes": _table(change_rows(report)),
        "tickers": _table(ticker_rows(report, TICKERS_LISTED)),
        "pairs": _table(pair_rows(report, PAIRS_LISTED)),
        "license": (assets / "LICENSES" / "uplot.txt").read_text(encoding="utf-8"),
        "uplot_css": (assets / "uplot-1.6.32.min.css").read_text(encoding="utf-8"),
        "uplot_js": (assets / "uplot-1.6.32.min.js").read_text(encoding="utf-8"),
        "plots": plots,
        "script": (here / "page.js").read_text(encoding="utf-8"),
    }
    page = (here / "page.template").read_text(encoding="utf-8")
    # Piece by piece, so that nothing in a piece is taken for a place of another one.
    pieces = page.split("@@")
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def plots_of(found: WhatIf) -> dict[str, Any]:
    """Return what is drawn: latencies by share of the ticks, and per ticker the age of its latest mid and what the mids differ by."""
    comparison, report = found.comparison, found.report
    span = comparison.span_ns()
    if span is None:
        return {"models": report.models, "shares": [], "latencies": [[], []], "times": [], "tickers": []}
    first_ns, last_ns = span
    times = [first_ns + (last_ns - first_ns) * place // (TIMES - 1) for place in range(TIMES)]
    return {
        "models": report.models,
        "shares": [100 * share for share in _SHARES],
        "latencies": [[comparison.latency_quantile(model, share) / 1e6 for share in _SHARES] for model in (0, 1)],
        "times": [time_ns / 1e9 for time_ns in times],
        "tickers": [
            {"ticker": change.ticker, **_views(found, number, times)}
            for change, number in list(zip(report.tickers, found.tickers, strict=True))[:TICKERS_DRAWN]
        ],
    }


def _views(found: WhatIf, number: int, times: list[int]) -> dict[str, Any]:
    first, second = (found.comparison.latest(number, model, times) for model in (0, 1))
    ages = [
        [None if view is None else (time_ns - view[0]) / 1e6 for time_ns, view in zip(times, views, strict=True)]
        for views in (first, second)
    ]
    differences = [
        None if before is None or after is None or before[1] == 0 else 1e4 * (after[1] - before[1]) / abs(before[1])
        for before, after in zip(first, second, strict=True)
    ]
    return {"ages": ages, "differences": differences}


def _table(rows: Rows) -> str:
    head, *body = ("".join(f"<{cell}>{escape(text)}</{cell}>" for text in row) for row, cell in _cells(rows))
    lines = "\n".join(f"<tr>{row}</tr>" for row in body)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _cells(rows: Rows) -> list[tuple[tuple[str, ...], str]]:
    return [(row, "td" if number else "th") for number, row in enumerate(rows)]
