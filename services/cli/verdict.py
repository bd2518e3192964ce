"""What a replay that came to its end has to tell beside its figures, and the exit code that follows from it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastpath.columns import Block, Tickers
from fastpath.survey import Survey
from fastpath.values import format_timestamp
from services.replay.sources.inputs import expand, open_inputs
from services.replay.sources.latency_kernels import source_latencies
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import LATENCY_BOUND_MIN, Reading
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.report import HistoricalReport

LOOK_ROWS_MAX: Final = 2_000_000
"""Rows that are read again to say what a filter could have let through: a second or two."""
READ_ROWS: Final = 8192
NAMES_SHOWN: Final = 8
BUG: Final = "this is a bug, please report it with the directory; start over with --overwrite"
FILES_SHOWN: Final = 5


def unaccounted(published: int, sink: SinkAnnouncement) -> str:
    """Compare what the engine published with what the sink made of it; return what is wrong, empty when nothing is."""
    known = sink.rows + sink.log.counts.markers
    if published == known:
        return ""
    return f"{published:,} records were published and {known:,} are accounted for in the logs: {BUG}"


def unaccounted_lines(historical: HistoricalReport, sink: SinkAnnouncement, *, rows_before: int) -> str:
    """Compare the lines that were read with what became of them; return what is wrong, empty when nothing is."""
    for name, counts in zip(historical.sources, historical.lines, strict=False):
        if counts.unaccounted:
            return f"{name}: {counts.lines_read:,} lines were read, and {abs(counts.unaccounted):,} of them {_lost(counts)}: {BUG}"
    # Who was resumed, or moved by a command, read some rows twice and others not at all.
    is_whole = not rows_before and not sink.log.counts.markers and all(one.first_line == 1 for one in historical.lines)
    rows = sum(counts.ticks + counts.rejected for counts in historical.lines)
    if not is_whole or not historical.lines or rows == sink.rows:
        return ""
    return f"{rows:,} rows were read and {sink.rows:,} are accounted for in the logs: {BUG}"


def _lost(counts: LineCounts) -> str:
    return "became nothing" if counts.unaccounted > 0 else "became more than one row"


@dataclass(frozen=True)
class Verdict:
    """Lines for people, and whether something is missing that should not be."""

    warnings: tuple[str, ...]
    is_loss: bool


def judge(
    historical: HistoricalReport, options: HistoricalOptions, files: Sequence[str], *, usable_rows: int, skipped: int
) -> Verdict:
    """Say what came of the files: `usable_rows` were replayed, `skipped` left out by filters."""
    damage = [
        f"{text}; errors.log says so in its place. Get the file again and start over with --overwrite"
        for text in _some(historical.damage)
    ]
    unusable = _some(historical.unusable)
    filters: list[str] = []
    nothing_left = usable_rows == 0 and skipped > 0
    if nothing_left or historical.unmatched_tickers:
        seen = _look(files, options)
        filters += [seen.about_ticker(name) for name in _some(historical.unmatched_tickers)]
        if nothing_left:
            filters += seen.about_window(options)
            filters.append(
                f"nothing is left to replay: the filters left out all {skipped:,} rows; correct them and start over with --overwrite"
            )
    elif usable_rows == 0 and not damage and not unusable:
        filters.append("there was nothing to replay: the files hold no rows")
    return Verdict((*damage, *unusable, *_some(historical.remarks), *filters), bool(damage or unusable or nothing_left))


def _some(texts: Sequence[str]) -> list[str]:
    more = len(texts) - FILES_SHOWN
    return [*texts[:FILES_SHOWN], *([f"... and {more} or more others"] if more > 0 else [])]


@dataclass(frozen=True)
class _Seen:
    """What the files hold, as far as they were read."""

    names: tuple[str, ...]
    """Tickers, the busiest first."""
    arrivals_ns: tuple[int, int] | None
    is_all: bool

    def about_ticker(self, name: str) -> str:
        by_lower = {known.lower(): known for known in self.names}
        close = difflib.get_close_matches(name.lower(), by_lower, n=1) or [
            known for known in by_lower if name.lower() in known
        ]
        guess = f"; did you mean `{by_lower[close[0]]}`?" if close else "."
        names = ", ".join(self.names[:NAMES_SHOWN]) + (", ..." if len(self.names) > NAMES_SHOWN else "")
        return f"--ticker: no row has `{name}`{guess} The files have {names or 'none'}"

    def about_window(self, options: HistoricalOptions) -> list[str]:
        if self.arrivals_ns is None or (options.start_time_ns is None and options.end_time_ns is None):
            return []
        first, last = (format_timestamp(time_ns) for time_ns in self.arrivals_ns)
        to = last if self.is_all else f"{last} and later"
        given = [
            f"{name} {format_timestamp(time_ns)}"
            for name, time_ns in (("--start", options.start_time_ns), ("--end", options.end_time_ns))
            if time_ns is not None
        ]
        return [f"the rows arrive from {first} to {to} (UTC), and you gave {' and '.join(given)}"]


def _look(files: Sequence[str], options: HistoricalOptions) -> _Seen:
    """Read the files without filters."""
    plain = HistoricalOptions(fraction_unit_us=options.fraction_unit_us)
    latencies = source_latencies(options, expand(files))
    tickers = Tickers()
    block, survey = Block(tickers), Survey(latency_threshold_ns=0)
    is_all = True
    inputs = open_inputs(files)
    try:
        for rank, (opened, latency) in enumerate(zip(inputs, latencies, strict=True)):
            content = opened.content
            rows = content.read(
                Reading(
                    tickers,
                    plain,
                    content.beginning,
                    rank=rank,
                    latency_bound_ns=LATENCY_BOUND_MIN,
                    latency=latency.kernel,
                    check_order=False,
                )
            )
            left = LOOK_ROWS_MAX // len(inputs)
            while not rows.finished and left > 0:
                rows.feed(block, READ_ROWS)
                survey.add(block)
                left -= READ_ROWS
                block.clear()
            is_all = is_all and rows.finished
    finally:
        for opened in inputs:
            opened.close()
    spans = survey.spans()
    counts = survey.ticker_rows()
    names = tuple(tickers.name(number) for number in sorted(counts, key=lambda number: -counts[number]))
    return _Seen(names, None if spans is None else spans[1], is_all)
