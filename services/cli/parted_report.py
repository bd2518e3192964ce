"""What a rerun of several partitions adds to the report: each of them by itself, and whether its logs are those that it had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from services.cli.report import Report
from services.runtime.session.announcement import LogReport, SinkAnnouncement

SAME = "identical"


@dataclass(frozen=True)
class PartitionReport:
    """One partition; where nothing was played its figures are 0."""

    partition: int
    last_sequence: int
    rows_in: int
    mids: int
    order_digest: str
    order_digest_version: int
    mid_prices_log: str
    errors_log: str
    difference: str | None
    """How its logs differ from those that were to be repeated; empty: they do not; None: it did not come to its end."""


@dataclass(frozen=True)
class PartedReport(Report):
    """The figures of all partitions together. There is no order digest of all of them: each has its own."""

    partitions: tuple[PartitionReport, ...] = ()


def with_partitions(
    report: Report, out: Path, sinks: Sequence[SinkAnnouncement | None], differences: Sequence[str]
) -> PartedReport:
    """Add the partitions. `differences` has a text for each; nothing when the run did not come to its end."""
    parts = tuple(
        _partition(out / f"p{number}", number, sink, differences[number] if differences else None)
        for number, sink in enumerate(sinks)
    )
    figures = {field.name: getattr(report, field.name) for field in fields(Report)}
    figures |= {"mid_prices_log": str(out / "p*" / "mid_prices.log"), "errors_log": str(out / "p*" / "errors.log")}
    return PartedReport(**figures, partitions=parts)


def _partition(directory: Path, number: int, sink: SinkAnnouncement | None, difference: str | None) -> PartitionReport:
    log = LogReport() if sink is None else sink.log
    return PartitionReport(
        partition=number,
        last_sequence=0 if sink is None else sink.position.sequence,
        rows_in=0 if sink is None else sink.rows,
        mids=log.counts.mids,
        order_digest=log.digest,
        order_digest_version=log.digest_version,
        mid_prices_log=str(directory / "mid_prices.log"),
        errors_log=str(directory / "errors.log"),
        difference=difference,
    )


def print_partitions(say: Callable[[str], None], report: Report, session: str) -> None:
    """Show a line for each partition, and what it comes to; nothing of a run of one."""
    if not isinstance(report, PartedReport):
        return
    for part in report.partitions:
        verdict = {None: "did not come to its end", "": SAME}.get(part.difference, "differs")
        say(f"  partition {part.partition:<3}  {part.last_sequence:>12,} records, {verdict}")
    if all(part.difference == "" for part in report.partitions):
        count = len(report.partitions)
        say(f"{SAME}: the logs of all {count} partitions are those of session `{session}`, record by record")
