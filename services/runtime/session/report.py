"""The engine's report: what it does, what is in effect, and how far it is. The engine writes it, everybody reads it."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from fastpath.records import OrderProof
from services.runtime.json_text import read_json, short_reason
from services.runtime.session.hand_over import NO_HAND_OVER, HandOverReport
from services.runtime.session.intents import Effective, RefusedIntent
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.versions import check_version

VERSION: Final = 1
REPORT_TTL_MS: Final = 3_600_000
"""How long a report stays in Redis after the last one."""
STORE_REPORT: Final = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"
"""For EVAL with a key, the report and REPORT_TTL_MS: a Redis without memory takes it, which is when people look at the report."""

UNDECIDED: Final = Effective()
"""In effect while an engine has not found out what is."""


class EngineState(enum.StrEnum):
    """What an engine does, as SessionState of replay.proto names it without its prefix."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    BACKPRESSURED = "BACKPRESSURED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class BacklogReport:
    """What the queue holds."""

    records: int = 0
    """Published, and not yet committed by the slowest consumer group."""
    bytes: int = 0
    oldest_sequence: int = 0
    """Oldest that is retained; 0 when the queue is empty."""
    redis_run_id: str = ""
    """Which Redis process that was; empty before the session was adopted."""


@dataclass(frozen=True)
class HistoricalReport:
    """How the recorded sources are."""

    configured: bool = False
    sources: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How they are read: the settings of it that are not at their default, as they were given."""
    skipped: int = 0
    """Rows that filters left out."""
    damaged_sources: int = 0
    """Sources of which a part could not be read."""
    first_read_monotonic_ns: int = 0
    """When the first byte was read, on the machine's monotonic clock; 0 before."""
    damage: tuple[str, ...] = ()
    """What is wrong with some of them: name, row and reason, for people."""
    unusable: tuple[str, ...] = ()
    """Sources of which no row could be used, and why, for people."""
    remarks: tuple[str, ...] = ()
    """Sources that may not be whole, and why, for people."""
    unmatched_tickers: tuple[str, ...] = ()
    """Tickers that were asked for and that no row has."""
    lines: tuple[LineCounts, ...] = ()
    """What was read of each source, in the order of `sources`; empty until all of them came to their end."""


@dataclass(frozen=True)
class LiveReport:
    """How the live feed is."""

    configured: bool = False
    connected: bool = False


@dataclass(frozen=True)
class PacingReport:
    """How exactly records left at the pace of their data, since this engine began; all 0 while nothing was paced."""

    batches: int = 0
    """Batches that were paced."""
    late_batches: int = 0
    """Of these, the ones that left more than 2 ms after their first record was due."""
    late_p50_ns: int = 0
    """How late batches left, by their first record: at most an eighth above the truth."""
    late_p99_ns: int = 0
    late_p999_ns: int = 0
    late_max_ns: int = 0
    achieved_speed: float = 0.0
    """Replay seconds per real second of publishing, over the last ten seconds of it; 0 when not known."""
    records_per_second: float = 0.0
    """Historical records published, over the same time."""
    replayed_ns: int = 0
    """Replay time that passed in all, moves left out."""
    records: int = 0
    """Historical records published in that time."""
    elapsed_ns: int = 0
    """Real time in which it passed: neither paused nor live, up to the last record published."""
    gap_cap_ns: int = 0
    """In effect: the longest gap between two records of the data; 0: gaps are as they are."""
    rate: float = 0.0
    """In effect: records per second in place of the gaps; 0: the gaps count."""
    delay_ns: int = 0
    """In effect: from one record to the next in place of the gaps; 0: the gaps count."""

    def fields(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, fields: dict[str, Any]) -> PacingReport:
        """Read them again; what an older engine did not tell is 0."""
        counts: dict[str, Any] = {name: int(fields.get(name) or 0) for name in _PACING_COUNTS}
        rates: dict[str, Any] = {
            name: float(fields.get(name) or 0.0) for name in ("achieved_speed", "records_per_second", "rate")
        }
        return cls(**counts, **rates)


_PACING_COUNTS: Final = (
    "batches",
    "late_batches",
    "late_p50_ns",
    "late_p99_ns",
    "late_p999_ns",
    "late_max_ns",
    "replayed_ns",
    "records",
    "elapsed_ns",
    "gap_cap_ns",
    "delay_ns",
)


@dataclass(frozen=True)
class TimeDebtReport:
    """How far a session is behind its clock, and what becomes of that."""

    policy: str = "catch-up"
    """catch-up, stretch or fail."""
    behind_ns: int = 0
    """For how long the next record should have left already; 0 when it is not due."""
    behind_max_ns: int = 0
    """The most that was, since this engine began."""
    stretched_ns: int = 0
    """Real time that the clock has waited for what was late, in all (stretch)."""
    limit_ns: int = 0
    """What it may be behind (fail); 0: nothing forbids."""

    @property
    def exceeded(self) -> bool:
        """Whether it was further behind than it may be."""
        return 0 < self.limit_ns < self.behind_max_ns

    def fields(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, fields: dict[str, Any]) -> TimeDebtReport:
        """Read them again; what an older engine did not tell is 0."""
        names = ("behind_ns", "behind_max_ns", "stretched_ns", "limit_ns")
        return cls(str(fields.get("policy") or "catch-up"), *(int(fields.get(name) or 0) for name in names))


@dataclass(frozen=True)
class EngineReport:
    """One report. In Redis it is one JSON object, so that people can read it there."""

    session: str
    state: EngineState = EngineState.STARTING
    effective: Effective = UNDECIDED
    epoch: str = ""
    last_sequence: int = 0
    last_arrival_time_ns: int = 0
    position_arrival_time_ns: int = 0
    """Replay time: arrival of the last historical record published, or where it was moved to since; 0 before the first."""
    scheduled: tuple[dict[str, Any], ...] = ()
    """Commands that wait for their place: `revision` and `intent` of each."""
    backlog: BacklogReport = BacklogReport()
    historical: HistoricalReport = HistoricalReport()
    live: LiveReport = LiveReport()
    hand_over: HandOverReport = NO_HAND_OVER
    pacing: PacingReport = PacingReport()
    time_debt: TimeDebtReport = TimeDebtReport()
    proof: OrderProof | None = None
    """What the records so far come to; None where nobody asked for it, or none is due yet."""
    error: str = ""
    """For people; empty when nothing is wrong."""
    acknowledged: str = ""
    """What it takes until a record counts as published: "memory", "replica" or "durable"; empty when not known."""
    reported_time_ns: int = 0
    pid: int = 0
    partition: int = 0
    partitions: int = 1
    """Of how many it is one; of a report over all of them, how many these are."""
    oldest_partition: int = 0
    """Of a report over all partitions: whose is the oldest."""
    differing: frozenset[str] = frozenset()
    """Of a report over all partitions: what of `effective`, by its field, is not the same in all of them."""
    parts: tuple[EngineReport | None, ...] = ()
    """Of a report over all partitions: that of each; None for one that says nothing."""

    def fields(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        effective, backlog, historical, live = self.effective, self.backlog, self.historical, self.live
        refused = effective.refused
        return {
            "version": VERSION,
            "name": self.session,
            "epoch": self.epoch,
            "state": self.state.value,
            **effective.fields(),
            "last_sequence": self.last_sequence,
            "oldest_sequence": backlog.oldest_sequence,
            "backlog_records": backlog.records,
            "backlog_bytes": backlog.bytes,
            "last_arrival_time_ns": self.last_arrival_time_ns,
            "position_arrival_time_ns": self.position_arrival_time_ns,
            "scheduled": list(self.scheduled),
            "skipped": historical.skipped,
            "live_configured": live.configured,
            "live_connected": live.connected,
            "joining": self.hand_over.fields(),
            "error": self.error,
            "acknowledged": self.acknowledged,
            "reported_time_ns": self.reported_time_ns,
            "historical_configured": historical.configured,
            "damaged_sources": historical.damaged_sources,
            "damage": list(historical.damage),
            "unusable": list(historical.unusable),
            "remarks": list(historical.remarks),
            "unmatched_tickers": list(historical.unmatched_tickers),
            "refused": None if refused is None else {"revision": refused.revision, "reason": refused.reason},
            "first_read_monotonic_ns": historical.first_read_monotonic_ns,
            "lines": [_counts(counts) for counts in historical.lines],
            "sources": list(historical.sources),
            "reading": dict(historical.reading),
            "redis_run_id": backlog.redis_run_id,
            "pid": self.pid,
            "pacing": self.pacing.fields(),
            "time_debt": self.time_debt.fields(),
            **({} if self.partitions == 1 else {"partition": self.partition, "partitions": self.partitions}),
            "proof": None if self.proof is None else asdict(self.proof),
        }

    def encode(self) -> str:
        """Return the report as it lies in Redis."""
        return json.dumps(self.fields(), separators=(",", ":"))

    @classmethod
    def decode(cls, session: str, stored: bytes | str) -> EngineReport:
        """Read the report of `session`. Raises NewerVersion, and ValueError on what cannot be read."""
        try:
            fields: dict[str, Any] = read_json(stored)
            check_version(f"the engine's report of session `{session}`", fields.get("version"), VERSION)
            return cls(
                session=session,
                partition=int(fields.get("partition") or 0),
                partitions=int(fields.get("partitions") or 1),
                state=EngineState(fields["state"]),
                effective=_effective(fields),
                epoch=str(fields.get("epoch") or ""),
                last_sequence=int(fields.get("last_sequence") or 0),
                last_arrival_time_ns=int(fields.get("last_arrival_time_ns") or 0),
                position_arrival_time_ns=int(fields.get("position_arrival_time_ns") or 0),
                scheduled=tuple(dict(one) for one in fields.get("scheduled") or ()),
                backlog=BacklogReport(
                    records=int(fields.get("backlog_records") or 0),
                    bytes=int(fields.get("backlog_bytes") or 0),
                    oldest_sequence=int(fields.get("oldest_sequence") or 0),
                    redis_run_id=str(fields.get("redis_run_id") or ""),
                ),
                historical=HistoricalReport(
                    configured=bool(fields.get("historical_configured")),
                    sources=_texts(fields, "sources"),
                    reading=dict(fields.get("reading") or {}),
                    skipped=int(fields.get("skipped") or 0),
                    damaged_sources=int(fields.get("damaged_sources") or 0),
                    damage=_texts(fields, "damage"),
                    unusable=_texts(fields, "unusable"),
                    remarks=_texts(fields, "remarks"),
                    unmatched_tickers=_texts(fields, "unmatched_tickers"),
                    first_read_monotonic_ns=int(fields.get("first_read_monotonic_ns") or 0),
                    lines=tuple(LineCounts(**counts) for counts in fields.get("lines") or ()),
                ),
                live=LiveReport(
                    configured=bool(fields.get("live_configured")), connected=bool(fields.get("live_connected"))
                ),
                error=str(fields.get("error") or ""),
                acknowledged=str(fields.get("acknowledged") or ""),
                reported_time_ns=int(fields.get("reported_time_ns") or 0),
                pid=int(fields.get("pid") or 0),
                hand_over=HandOverReport.read(fields.get("joining")),
                pacing=PacingReport.read(fields.get("pacing") or {}),
                time_debt=TimeDebtReport.read(fields.get("time_debt") or {}),
                proof=OrderProof(**fields["proof"]) if fields.get("proof") else None,
            )
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as exc:
            raise ValueError(
                f"the engine's report of session `{session}` cannot be read ({short_reason(exc)})"
            ) from exc


def _counts(counts: LineCounts) -> dict[str, Any]:
    # Left out where it says nothing, as it was before there were partitions.
    return {name: value for name, value in asdict(counts).items() if name != "elsewhere" or value}


def _texts(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(str(text) for text in fields.get(name) or ())


def _effective(fields: dict[str, Any]) -> Effective:
    refused = fields.get("refused")
    return Effective.read(
        UNDECIDED.fields() | fields,
        refused=None if not refused else RefusedIntent(int(refused["revision"]), str(refused["reason"])),
    )
