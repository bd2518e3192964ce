"""`midstream inspect`: read files through and tell what is in them, to people or to machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from services.cli.output import ExitCode, fail
from services.cli.terminal import one_line, write
from services.replay.sources.inspect import Figures, FileReport, InspectReport, inspect
from services.runtime.errors import StartRefused
from services.runtime.scratch import scratch_directory

TICKERS_SHOWN = 8
REASONS_SHOWN = 8
FILES_SHOWN = 40


def run_inspect(files: Sequence[str], fraction_unit_us: bool, latency_threshold_ms: float, *, as_json: bool) -> int:
    """Inspect and print; returns the exit code: 0, 1 when a file could not be read to its end, 2 when it cannot be used."""
    try:
        with scratch_directory() as scratch:
            report = _inspect(files, fraction_unit_us, latency_threshold_ms, scratch, quiet=as_json)
    except StartRefused as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json, command="midstream inspect")
    if as_json:
        write(json.dumps(report.to_dict()))
    else:
        print_inspection(Console(highlight=False), report)
    total = report.total
    is_loss = any(file.damage for file in report.files) or total.rows != total.ticks + total.rejected
    return ExitCode.FAILED if is_loss else ExitCode.COMPLETE


def _inspect(
    files: Sequence[str], fraction_unit_us: bool, latency_threshold_ms: float, scratch: Path, *, quiet: bool
) -> InspectReport:
    if quiet or not sys.stderr.isatty():
        return inspect(
            files, fraction_unit_us=fraction_unit_us, latency_threshold_ms=latency_threshold_ms, temp_dir=scratch
        )
    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,} rows read"), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("reading", total=None)
        return inspect(
            files,
            fraction_unit_us=fraction_unit_us,
            latency_threshold_ms=latency_threshold_ms,
            temp_dir=scratch,
            on_progress=lambda rows: bar.advance(task, rows),
        )


def print_inspection(console: Console, report: InspectReport) -> None:
    """Show every file in a line, then all of them together."""
    rows = [("file", "layout", "rows", "rejected", "sorted by", "note")]
    for file in report.files[:FILES_SHOWN]:
        figures = file.figures
        rows.append((file.path, file.layout, f"{figures.rows:,}", f"{figures.rejected:,}", file.sorted_by, _note(file)))
    # Plain columns: a table would cut paths on a narrow terminal, and a path that is cut cannot be copied.
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        path, layout, *numbers, order, note = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        numbers = [number.strip().rjust(width) for number, width in zip(numbers, widths[2:4], strict=True)]
        console.print(one_line("  ".join((path, layout, *numbers, order, note)).rstrip()), markup=False, soft_wrap=True)
    if len(report.files) > FILES_SHOWN:
        console.print(f"... and {len(report.files) - FILES_SHOWN:,} more files (--json lists them all)")
    console.print()
    for name, value in _lines(report):
        console.print(one_line(f"{name:<16}{value}"), markup=False, soft_wrap=True)


def _note(file: FileReport) -> str:
    notes = [text for text in (file.damage, file.remark) if text]
    if file.needs_sorting:
        broken = file.order_broken
        where = f" (first at line {broken.line}: {broken.before}, then {broken.now})" if broken is not None else ""
        notes.append(f"needs --unsorted sort{where}")
    return "; ".join(notes)


def _lines(report: InspectReport) -> list[tuple[str, str]]:
    total = report.total
    is_whole = total.rows == total.ticks + total.rejected
    sign, bug = ("=", "") if is_whole else ("IS NOT", "; this is a bug, please report it")
    lines = [("rows", f"{total.rows:,} {sign} {total.ticks:,} ticks + {total.rejected:,} rejected{bug}")]
    for name, span in (("event time", total.event_time), ("arrival time", total.arrival_time)):
        if span is not None:
            lines.append((name, f"{span.first} .. {span.last}"))
    lines.append(("tickers", f"{total.ticker_count:,}: {_busiest(total)}"))
    if total.latency_ms is not None:
        latency = total.latency_ms
        lines.append(
            (
                "latency, ms",
                f"min {latency.min:g}  p1 {latency.p1:.3f}  p50 {latency.p50:.3f}  p90 {latency.p90:.3f}  "
                f"p99 {latency.p99:.3f}  max {latency.max:g}",
            )
        )
    threshold = f"{report.latency_threshold_ms:g} ms"
    lines.append(("over threshold", f"{total.over_threshold:,} ({total.over_threshold_share:.1%}) above {threshold}"))
    lines.append(
        (
            "ties",
            f"{total.event_ties:,} in event time, {report.arrival_ties:,} in arrival time (largest {report.largest_arrival_tie:,})",
        )
    )
    lines.append(
        (
            "odd quotes",
            f"{total.bid_missing:,} without bid, {total.ask_missing:,} without ask, {total.both_missing:,} without both, "
            f"{total.crossed:,} crossed, {total.locked:,} locked, {total.negative_latency:,} with negative latency",
        )
    )
    for rejected in total.rejections[:REASONS_SHOWN]:
        where = ", ".join(str(line) for line in rejected.first_lines)
        lines.append(("rejected", f"{rejected.count:,} x {rejected.reason} (line {where})"))
    left = total.rejections[REASONS_SHOWN:]
    if left:
        more = f"{sum(rejected.count for rejected in left):,} for {len(left)} more reasons (--json lists them)"
        lines.append(("rejected", more))
    return lines


def _busiest(total: Figures) -> str:
    shown = ", ".join(f"{entry.ticker} {entry.ticks:,}" for entry in total.tickers[:TICKERS_SHOWN])
    return shown + (", ..." if total.ticker_count > TICKERS_SHOWN else "")
