"""The engine's figures, as its thread writes them, and the report that they make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from fastpath.records import OrderProof
from services.replay.engine.achieved import Achieved
from services.replay.engine.lateness import Lateness
from services.replay.engine.pace import AS_RECORDED, Pace
from services.replay.engine.time_debt import TimeDebt
from services.replay.lateness_bounds import LATENESS_BOUNDS_S
from services.replay.sources import Complaints
from services.runtime.session.hand_over import HandOverReport
from services.runtime.session.intents import Effective
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.report import BacklogReport, EngineReport, EngineState, HistoricalReport, LiveReport

COMPLAINTS_MAX: Final = 20
"""Files or tickers that a report names, of each kind: it is written twice a second."""


class QueueFigures(Protocol):
    """What the publisher lets other threads read."""

    @property
    def waiting(self) -> bool: ...
    @property
    def waited_s(self) -> float: ...
    @property
    def reconnects(self) -> int: ...
    @property
    def problem(self) -> str: ...
    @property
    def redis_run_id(self) -> str: ...
    @property
    def backlog_records(self) -> int: ...
    @property
    def backlog_bytes(self) -> int: ...
    @property
    def oldest_sequence(self) -> int: ...


class LiveFigures(Protocol):
    """What the live source lets other threads read."""

    connected: bool
    reconnects: int

    @property
    def problem(self) -> str: ...
    @property
    def lost_frames(self) -> int: ...
    @property
    def queued_frames(self) -> int: ...


class HistoricalFigures(Protocol):
    """What the historical source lets other threads read."""

    @property
    def skipped(self) -> int: ...
    @property
    def damaged(self) -> tuple[str, ...]: ...
    @property
    def complaints(self) -> Complaints: ...
    @property
    def line_counts(self) -> tuple[LineCounts, ...]: ...


@dataclass
class EngineFigures:
    """Figures that the engine's thread writes and others read. Every field is replaced, never changed in place."""

    session: str
    partition: int = 0
    partitions: int = 1
    historical_configured: bool = False
    live_configured: bool = False
    acknowledged: str = ""
    """What it takes until a record counts as published, as the setting names it."""
    phase: EngineState = EngineState.STARTING
    """STARTING, RUNNING, COMPLETED or FAILED; pauses and waits are worked out when a report is made."""
    owned: bool = False
    """Whether the session is ours: only then does its state in Redis say what we do."""
    effective: Effective = field(default_factory=Effective)
    scheduled: tuple[dict[str, Any], ...] = ()
    """Commands that wait for their place, as the checkpoint has them."""
    epoch: str = ""
    last_sequence: int = 0
    last_arrival_time_ns: int = 0
    position_arrival_time_ns: int = 0
    """Replay time: of the last historical record, or where it was moved to since."""
    proof: OrderProof | None = None
    """The last one that left, and of all records at the end of history."""
    error: str = ""
    turned_ns: int = 0
    """When the engine's thread last began a turn of its loop, on its clock; 0 before the first. It never waits for long in one."""
    sources: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How they are read, by the names of the settings."""
    first_read_monotonic_ns: int = 0
    rows: int = 0
    rejected: int = 0
    batches: int = 0
    published_bytes: int = 0
    gaps: int = 0
    lateness: Lateness = field(default_factory=Lateness)
    achieved: Achieved = field(default_factory=Achieved)
    debt: TimeDebt = field(default_factory=TimeDebt)
    pace: Pace = AS_RECORDED
    queue: QueueFigures | None = None
    live: LiveFigures | None = None
    hand_over: HandOverReport = field(default_factory=HandOverReport)
    historical: HistoricalFigures | None = None

    @property
    def state(self) -> EngineState:
        """The name of what the engine does at the moment."""
        if self.phase in (EngineState.STARTING, EngineState.FAILED):
            return self.phase
        if self.effective.paused:
            return EngineState.PAUSED
        if self.queue is not None and self.queue.waiting:
            return EngineState.BACKPRESSURED
        return self.phase

    def standing_s(self, now_ns: int) -> float:
        """Return for how long the engine's thread has been in one turn that waits for nothing that is announced; 0.0 otherwise."""
        waits = self.phase is EngineState.STARTING or (self.queue is not None and self.queue.waiting)
        return 0.0 if waits or not self.turned_ns else max(now_ns - self.turned_ns, 0) / 1e9

    def problems(self) -> str:
        """Everything that is wrong at the moment, for people; empty when nothing is."""
        found = [self.error]
        if self.queue is not None and self.queue.waiting:
            found.append(self.queue.problem)
        if self.live is not None:
            found.append(self.live.problem)
        if self.historical is not None:
            found += [f"{name} is damaged: what could be read was replayed" for name in self.historical.damaged]
            found += self.historical.complaints.unusable
            found += [f"no row has the ticker `{name}`" for name in self.historical.complaints.unmatched_tickers]
        return "; ".join(text for text in found if text)

    def report(self, time_ns: int, now_ns: int) -> EngineReport:
        """Return the report of this moment."""
        queue, live, historical = self.queue, self.live, self.historical
        complaints = Complaints() if historical is None else historical.complaints
        return EngineReport(
            session=self.session,
            partition=self.partition,
            partitions=self.partitions,
            state=self.state,
            effective=self.effective,
            epoch=self.epoch,
            last_sequence=self.last_sequence,
            last_arrival_time_ns=self.last_arrival_time_ns,
            position_arrival_time_ns=self.position_arrival_time_ns,
            scheduled=self.scheduled,
            backlog=BacklogReport()
            if queue is None
            else BacklogReport(
                records=queue.backlog_records,
                bytes=queue.backlog_bytes,
                oldest_sequence=queue.oldest_sequence,
                redis_run_id=queue.redis_run_id,
            ),
            historical=HistoricalReport(
                configured=self.historical_configured,
                sources=self.sources,
                reading=self.reading,
                skipped=historical.skipped if historical is not None else 0,
                damaged_sources=len(historical.damaged) if historical is not None else 0,
                damage=complaints.damage[:COMPLAINTS_MAX],
                unusable=complaints.unusable[:COMPLAINTS_MAX],
                remarks=complaints.remarks[:COMPLAINTS_MAX],
                unmatched_tickers=complaints.unmatched_tickers[:COMPLAINTS_MAX],
                first_read_monotonic_ns=self.first_read_monotonic_ns,
                lines=historical.line_counts if historical is not None else (),
            ),
            live=LiveReport(configured=self.live_configured, connected=live is not None and live.connected),
            proof=self.proof,
            error=self.problems(),
            acknowledged=self.acknowledged,
            hand_over=replace(self.hand_over, buffered_frames=0 if live is None else live.queued_frames),
            pacing=replace(
                self.lateness.report(self.achieved),
                gap_cap_ns=self.pace.gap_cap_ns,
                rate=self.pace.rate,
                delay_ns=self.pace.delay_ns,
            ),
            time_debt=self.debt.report(now_ns),
            reported_time_ns=time_ns,
            pid=os.getpid(),
        )

    def metrics(self, now_ns: int) -> dict[str, float | list[float] | None]:
        """Return the figures for Prometheus by name; None for what nobody knows now. `services/replay/metrics.py` declares them."""
        queue, live, historical = self.queue, self.live, self.historical
        late = self.lateness.take()
        figures: dict[str, float | list[float] | None] = {
            "midstream_replay_sequence": self.last_sequence,
            "midstream_replay_revision": self.effective.revision,
            "midstream_replay_mode": self.effective.mode,
            "midstream_replay_paused": int(self.effective.paused),
            "midstream_replay_rows_total": self.rows,
            "midstream_replay_rejected_total": self.rejected,
            "midstream_replay_gaps_total": self.gaps,
            "midstream_queue_entries_total": self.batches,
            "midstream_queue_appended_bytes_total": self.published_bytes,
            "midstream_pacing_speed": self.effective.speed,
            "midstream_pacing_late_seconds": self.lateness.tally(LATENESS_BOUNDS_S),
            "midstream_pacing_late_batches_total": self.lateness.late,
            "midstream_pacing_behind_seconds": self.debt.behind_ns(now_ns) / 1e9,
            "midstream_pacing_stretched_seconds_total": self.debt.stretched_ns / 1e9,
            "midstream_pacing_replayed_seconds_total": self.achieved.distance.replay_ns / 1e9,
            "midstream_pacing_elapsed_seconds_total": self.achieved.distance.real_ns / 1e9,
            "midstream_live_connected": int(live is not None and live.connected),
        }
        # Nothing was paced in the interval: the figures of another one would say that something is late.
        figures["midstream_pacing_late_p50_seconds"] = None if late is None else late.p50_ns / 1e9
        figures["midstream_pacing_late_p99_seconds"] = None if late is None else late.p99_ns / 1e9
        figures["midstream_pacing_late_max_seconds"] = None if late is None else late.max_ns / 1e9
        if queue is not None:
            figures["midstream_queue_backlog_records"] = queue.backlog_records
            figures["midstream_queue_backlog_bytes"] = queue.backlog_bytes
            figures["midstream_queue_backpressured"] = int(queue.waiting)
            figures["midstream_queue_wait_seconds_total"] = queue.waited_s
            figures["midstream_queue_reconnects_total"] = queue.reconnects
        if live is not None:
            figures["midstream_live_reconnects_total"] = live.reconnects
            figures["midstream_live_lost_frames_total"] = live.lost_frames
            figures["midstream_live_queue_frames"] = live.queued_frames
        if historical is not None:
            figures["midstream_replay_skipped_total"] = historical.skipped
        return figures
