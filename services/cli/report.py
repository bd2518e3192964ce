"""The result of a replay: the figures of report.json, and the same for people."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fastpath.columns import BEFORE_EVERYTHING
from services.cli.shown_times import shown_time
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.report import EngineReport, HistoricalReport


@dataclass(frozen=True)
class ReportedPacing:
    """How exactly the run kept to the time of its records; all 0 at full speed, but for the speed achieved."""

    achieved_speed: float = 0.0
    """Replay seconds per real second, over the whole run."""
    records_per_second: float = 0.0
    """While it was played; `ticks_per_second` beside it counts from the first byte to the last line."""
    batches: int = 0
    """Of records that left together, and were paced."""
    late_batches: int = 0
    """Of these, the ones that left more than 2 ms after their first record was due."""
    late_p50_us: float = 0.0
    late_p99_us: float = 0.0
    late_p999_us: float = 0.0
    late_max_us: float = 0.0
    time_debt: str = "catch-up"
    """What becomes of records that could not leave in time."""
    behind_max_s: float = 0.0
    """The most that the run was behind its clock."""
    stretched_s: float = 0.0
    """Time that the clock waited for what was late (stretch)."""


@dataclass(frozen=True)
class OrderProofs:
    """The order digest behind `every` records, behind twice as many, and so on; 64 at most."""

    every: int
    digests: tuple[str, ...]


@dataclass(frozen=True)
class SourceLines:
    """One file: `lines_read` + `more_rows` + `reported` are the header (with `first_line` 1), ticks, rejected, skipped and blank ones.

    A run that was resumed read a file from `first_line` on, and some lines for the second time.
    """

    name: str
    first_line: int
    lines_read: int
    ticks: int
    rejected: int
    skipped: int
    blank: int
    reported: int
    """Rejections that are no line: they say how the file ends."""
    more_rows: int
    """Of a recording of frames: rows beyond the first one of their line."""
    note: str
    """It grew, or its last line has no line end; empty when all is well."""


@dataclass(frozen=True)
class Report:
    """Counts are cumulative over resumes; `ticks_per_second` is the last run's."""

    rows_in: int
    mids: int
    latency_filtered: int
    missing_side: int
    rejected: int
    skipped: int
    first_arrival: str
    last_arrival: str
    ticks_per_second: float
    order_digest: str
    order_digest_version: int
    """2; 1 for logs that an earlier version of Midstream began (docs/order_proof.md)."""
    order_proofs: OrderProofs
    complete: bool
    damaged_sources: int
    crossed: int
    locked: int
    mid_prices_log: str
    errors_log: str
    sources: tuple[SourceLines, ...] = ()
    """Lines that were read of each file, apart from what became of them; none: not all were read to their end."""
    latency: tuple[str, ...] = ()
    """Latency models of the sources as they were asked for; none: the files' own latencies."""
    speed: float = 0.0
    """Asked for; 0 is as fast as possible."""
    pacing: ReportedPacing = ReportedPacing()
    warnings: tuple[str, ...] = ()
    """What is wrong with the files or the filters, for people."""

    def write(self, path: Path) -> None:
        """Write report.json, whole or not at all."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")
        os.replace(temporary, path)


def build_report(
    out: Path,
    *,
    engine: EngineReport | None,
    sink: SinkAnnouncement,
    rows_before: int,
    complete: bool,
    latency: tuple[str, ...] = (),
) -> Report:
    """Put the engine's and the sink's figures together. `rows_before` were accounted for by earlier runs."""
    log, counts, rows_in = sink.log, sink.log.counts, sink.rows
    historical = engine.historical if engine is not None else HistoricalReport()
    elapsed_ns = log.durable_monotonic_ns - historical.first_read_monotonic_ns
    rows_now = rows_in - rows_before
    return Report(
        rows_in=rows_in,
        mids=counts.mids,
        latency_filtered=counts.latency_filtered,
        missing_side=counts.missing_side,
        rejected=counts.rejected,
        skipped=historical.skipped,
        first_arrival=_shown_time(log.first_arrival_time_ns),
        last_arrival=_shown_time(log.last_arrival_time_ns),
        ticks_per_second=round(rows_now * 1e9 / elapsed_ns, 1) if rows_now > 0 and elapsed_ns > 0 else 0.0,
        order_digest=log.digest,
        order_digest_version=log.digest_version,
        order_proofs=OrderProofs(log.proofs_every, log.proofs),
        complete=complete,
        damaged_sources=historical.damaged_sources,
        crossed=counts.crossed,
        locked=counts.locked,
        mid_prices_log=str(out / "mid_prices.log"),
        errors_log=str(out / "errors.log"),
        sources=tuple(
            _source_lines(name, counts) for name, counts in zip(historical.sources, historical.lines, strict=False)
        ),
        latency=latency,
        speed=engine.effective.speed if engine is not None else 0.0,
        pacing=_pacing(engine) if engine is not None else ReportedPacing(),
    )


def _source_lines(name: str, counts: LineCounts) -> SourceLines:
    fields = asdict(counts)
    # Of all partitions together nothing is elsewhere.
    del fields["elsewhere"]
    return SourceLines(name, **fields)


def _pacing(engine: EngineReport) -> ReportedPacing:
    pacing, debt = engine.pacing, engine.time_debt
    elapsed_ns = pacing.elapsed_ns
    return ReportedPacing(
        achieved_speed=round(pacing.replayed_ns / elapsed_ns, 6) if elapsed_ns else 0.0,
        records_per_second=round(pacing.records * 1e9 / elapsed_ns, 1) if elapsed_ns else 0.0,
        batches=pacing.batches,
        late_batches=pacing.late_batches,
        late_p50_us=pacing.late_p50_ns / 1000,
        late_p99_us=pacing.late_p99_ns / 1000,
        late_p999_us=pacing.late_p999_ns / 1000,
        late_max_us=pacing.late_max_ns / 1000,
        time_debt=debt.policy,
        behind_max_s=debt.behind_max_ns / 1e9,
        stretched_s=debt.stretched_ns / 1e9,
    )


def print_report(
    say: Callable[[str], None], report: Report, *, pace: str = "first byte read to last line durable"
) -> None:
    """Show the figures as a person reads them; `pace` says what the rate means."""
    lines = sum(source.lines_read for source in report.sources)
    rows = [("lines read", f"{lines:,}", "headers included")] if lines else []
    rows += [
        ("rows in", f"{report.rows_in:,}", _notes(report)),
        ("mid prices", f"{report.mids:,}", report.mid_prices_log),
        (
            "over the latency threshold",
            f"{report.latency_filtered:,}",
            report.errors_log if report.latency_filtered else "",
        ),
        ("a side is missing", f"{report.missing_side:,}", report.errors_log if report.missing_side else ""),
        ("rejected rows", f"{report.rejected:,}", report.errors_log if report.rejected else ""),
    ]
    if report.skipped:
        rows.append(("left out by filters", f"{report.skipped:,}", ""))
    pacing = report.pacing
    if pacing.batches:
        rows.append(("achieved speed", f"{pacing.achieved_speed:,.3f}x", f"of {report.speed:g}x"))
        late = f"99% {pacing.late_p99_us:,.0f} us, 99.9% {pacing.late_p999_us:,.0f} us, largest {pacing.late_max_us:,.0f} us"
        if pacing.stretched_s:
            rows.append(("clock waited", f"{pacing.stretched_s:,.3f} s", "for what was late (--time-debt stretch)"))
        rows.append(("late batches", f"{pacing.late_batches:,}", f"of {pacing.batches:,}; lateness {late}"))
    rows.append(("rows per second", f"{report.ticks_per_second:,.0f}", pace))
    # Plain columns: a table would wrap paths on a narrow terminal, and a wrapped path cannot be copied.
    for name, value, note in rows:
        say(f"{name:<28}{value:>12}   {note}".rstrip())
    for source in report.sources:
        if source.note:
            say(f"{'note':<28}{source.name}: {source.note}")
    for model in report.latency:
        say(f"{'latency model':<28}{model}")
    if report.first_arrival:
        say(f"{'arrivals':<28}{report.first_arrival} .. {report.last_arrival}")


def _notes(report: Report) -> str:
    notes = [
        f"{report.crossed:,} crossed" if report.crossed else "",
        f"{report.locked:,} locked" if report.locked else "",
    ]
    return ", ".join(note for note in notes if note)


def _shown_time(time_ns: int) -> str:
    if time_ns == BEFORE_EVERYTHING:
        return ""
    return shown_time(time_ns)
