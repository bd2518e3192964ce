"""The report of a session, whoever reads it: that of its engine, or of the engines of all of its partitions as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from services.runtime.session import partitions_stored
from services.runtime.session.intents import Effective
from services.runtime.session.keys import SessionKeys
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.report import (
    BacklogReport,
    EngineReport,
    EngineState,
    HistoricalReport,
    LiveReport,
    PacingReport,
    TimeDebtReport,
)

_WORST_FIRST: Final = (
    EngineState.FAILED,
    EngineState.STARTING,
    EngineState.BACKPRESSURED,
    EngineState.RUNNING,
    EngineState.PAUSED,
    EngineState.COMPLETED,
)


async def read_report(client: Any, keys: SessionKeys) -> EngineReport | None:
    """Return the report of a session; None where there is none.

    Raises NewerVersion, FailedPrecondition, and ValueError on what cannot be read.
    """
    parts, stored = await client.mget(keys.partitions, keys.state)
    if parts is None:
        return EngineReport.decode(keys.session, stored) if stored else None
    count = partitions_stored.decode(keys, parts).count
    # One by one, because each may be on another node.
    found = await asyncio.gather(*(client.get(key) for key in _keys(keys.session, count)))
    return combine(keys.session, _decoded(keys.session, found))


def read_report_now(client: Any, keys: SessionKeys) -> EngineReport | None:
    """As `read_report`, with a client that waits."""
    parts, stored = client.mget(keys.partitions, keys.state)
    if parts is None:
        return EngineReport.decode(keys.session, stored) if stored else None
    count = partitions_stored.decode(keys, parts).count
    return combine(keys.session, _decoded(keys.session, [client.get(key) for key in _keys(keys.session, count)]))


def _keys(session: str, count: int) -> list[str]:
    return [SessionKeys(session, partition).partition_state for partition in range(count)]


def _decoded(session: str, stored: Iterable[bytes | None]) -> list[EngineReport | None]:
    return [EngineReport.decode(session, each) if each else None for each in stored]


def combine(session: str, reports: Sequence[EngineReport | None]) -> EngineReport | None:
    """Return the reports of all partitions, in their order, as one; None where there is none of any.

    Counts are sums, the position is that of the partition that is furthest behind, the state is the worst, and a command is applied once
    every partition has. There is no epoch of all of them.
    """
    there = [report for report in reports if report is not None]
    if not there:
        return None
    missing = [partition for partition, report in enumerate(reports) if report is None]
    states = [*(report.state for report in there), *([EngineState.STARTING] if missing else [])]
    first = there[0]
    return replace(
        first,
        partition=0,
        partitions=len(reports),
        oldest_partition=min(there, key=lambda report: report.reported_time_ns).partition,
        differing=_differing(there),
        parts=tuple(reports),
        state=min(states, key=_WORST_FIRST.index),
        effective=_effective(there, is_whole=not missing),
        epoch="",
        last_sequence=sum(report.last_sequence for report in there),
        last_arrival_time_ns=max(report.last_arrival_time_ns for report in there),
        position_arrival_time_ns=_position_ns(there),
        scheduled=_scheduled(there),
        backlog=_backlog([report.backlog for report in there]),
        historical=_historical([report.historical for report in there], is_whole=not missing),
        live=LiveReport(
            any(report.live.configured for report in there), all(report.live.connected for report in there)
        ),
        hand_over=min(there, key=lambda report: report.hand_over.phase).hand_over,
        pacing=_pacing([report.pacing for report in there]),
        time_debt=_time_debt([report.time_debt for report in there]),
        # Each partition has proofs of its own, and nothing proves the order between them.
        proof=None,
        error=_error(reports),
        reported_time_ns=min(report.reported_time_ns for report in there),
    )


def _effective(reports: Sequence[EngineReport], *, is_whole: bool) -> Effective:
    """Return what the last partition to apply commands has in effect, and the newest refusal of what all have seen.

    Where a scheduled command has come to its place in some of them only, it is not in effect yet.
    """
    last = min(
        (report.effective for report in reports),
        key=lambda effective: (effective.revision, effective.paused, effective.mode),
    )
    revision = last.revision if is_whole else 0
    refusals = [report.effective.refused for report in reports]
    seen = [refused for refused in refusals if refused is not None and refused.revision <= revision]
    return replace(last, revision=revision, refused=max(seen, key=lambda refused: refused.revision, default=None))


def _differing(reports: Sequence[EngineReport]) -> frozenset[str]:
    """Name what is not the same in all of them."""
    texts = [report.effective.texts() for report in reports]
    return frozenset(name for name in texts[0] if len({each[name] for each in texts}) > 1)


def _position_ns(reports: Sequence[EngineReport]) -> int:
    """Return the earliest of those that are not at their end; one without any record so far holds back nothing."""
    begun = [report for report in reports if report.position_arrival_time_ns]
    under_way = [report for report in begun if report.state is not EngineState.COMPLETED]
    if under_way:
        return min(report.position_arrival_time_ns for report in under_way)
    return max((report.position_arrival_time_ns for report in begun), default=0)


def _scheduled(reports: Sequence[EngineReport]) -> tuple[dict[str, Any], ...]:
    """Return what waits in any of them."""
    by_revision = {each["revision"]: each for report in reports for each in report.scheduled}
    return tuple(by_revision[revision] for revision in sorted(by_revision))


def oldest_of(partitions: Iterable[int]) -> int:
    """Return the number that the oldest record has in the one stream over all partitions, by the oldest that each retains; 0: none does.

    It is what a reader of everything gets first: its numbers are sums of where the partitions stand.
    """
    retained = [oldest for oldest in partitions if oldest]
    return 1 + sum(oldest - 1 for oldest in retained) if retained else 0


def _backlog(parts: Sequence[BacklogReport]) -> BacklogReport:
    return BacklogReport(
        records=sum(part.records for part in parts),
        bytes=sum(part.bytes for part in parts),
        oldest_sequence=oldest_of(part.oldest_sequence for part in parts),
        redis_run_id=parts[0].redis_run_id,
    )


def _historical(parts: Sequence[HistoricalReport], *, is_whole: bool) -> HistoricalReport:
    def every(texts: Callable[[HistoricalReport], tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for part in parts for text in texts(part)))

    return replace(
        parts[0],
        skipped=sum(part.skipped for part in parts),
        damaged_sources=max(part.damaged_sources for part in parts),
        first_read_monotonic_ns=min(
            (part.first_read_monotonic_ns for part in parts if part.first_read_monotonic_ns), default=0
        ),
        damage=every(lambda part: part.damage),
        unusable=every(lambda part: part.unusable),
        remarks=every(lambda part: part.remarks),
        unmatched_tickers=every(lambda part: part.unmatched_tickers),
        lines=_lines([part.lines for part in parts]) if is_whole else (),
    )


def _lines(parts: Sequence[tuple[LineCounts, ...]]) -> tuple[LineCounts, ...]:
    """Return what became of each file's lines in all partitions together, once all have read the same of it."""
    if len({len(lines) for lines in parts}) > 1:
        return ()
    found = []
    for of_file in zip(*parts, strict=True):
        if len({(counts.first_line, counts.lines_read, counts.blank) for counts in of_file}) > 1:
            return ()
        found.append(
            replace(
                of_file[0],
                ticks=sum(counts.ticks for counts in of_file),
                rejected=sum(counts.rejected for counts in of_file),
                skipped=sum(counts.skipped for counts in of_file),
                elsewhere=0,
            )
        )
    return tuple(found)


def _pacing(parts: Sequence[PacingReport]) -> PacingReport:
    """Return sums of what was counted, and the worst of what was measured."""
    paced = [part.achieved_speed for part in parts if part.achieved_speed]
    return PacingReport(
        batches=sum(part.batches for part in parts),
        late_batches=sum(part.late_batches for part in parts),
        late_p50_ns=max(part.late_p50_ns for part in parts),
        late_p99_ns=max(part.late_p99_ns for part in parts),
        late_p999_ns=max(part.late_p999_ns for part in parts),
        late_max_ns=max(part.late_max_ns for part in parts),
        achieved_speed=min(paced, default=0.0),
        records_per_second=sum(part.records_per_second for part in parts),
        replayed_ns=max(part.replayed_ns for part in parts),
        records=sum(part.records for part in parts),
        elapsed_ns=max(part.elapsed_ns for part in parts),
    )


def _time_debt(parts: Sequence[TimeDebtReport]) -> TimeDebtReport:
    return replace(
        parts[0],
        behind_ns=max(part.behind_ns for part in parts),
        behind_max_ns=max(part.behind_max_ns for part in parts),
        stretched_ns=max(part.stretched_ns for part in parts),
    )


def _error(reports: Sequence[EngineReport | None]) -> str:
    """Return what is wrong, and where; what is wrong in all of them once."""
    errors = [report.error if report is not None else "nobody has reported yet" for report in reports]
    if errors[0] and len(set(errors)) == 1:
        return f"all {len(errors)} partitions: {errors[0]}"
    return "; ".join(f"partition {partition}: {error}" for partition, error in enumerate(errors) if error)
