"""A sink's announcement: what it has committed. The sink writes it, adoption and the command line read it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.midprice import PriceCounts
from services.runtime.json_text import read_json, short_reason
from services.runtime.session.versions import check_version

VERSION: Final = 1

NO_COUNTS: Final = PriceCounts(*(0 for _ in PriceCounts._fields))


@dataclass(frozen=True)
class SinkPosition:
    """How far one sink is; what adoption needs to know."""

    name: str
    epoch: str
    sequence: int
    live_sequence: int
    """Last sequence seen that is not published again: of a live record, or of a discontinuity; 0 is none."""
    cursor: bytes
    """Encoded HistoricalCursor; empty is the beginning."""
    run_id: str
    """Which Redis process it read from."""


@dataclass(frozen=True)
class LogReport:
    """What the sink's logs hold, and when that became durable."""

    counts: PriceCounts = NO_COUNTS
    first_arrival_time_ns: int = BEFORE_EVERYTHING
    last_arrival_time_ns: int = BEFORE_EVERYTHING
    digest: str = ""
    digest_version: int = 1
    """Which order digest it is; announcements that do not say have the first."""
    mid_bytes: int = 0
    error_bytes: int = 0
    durable_monotonic_ns: int = 0
    """On the machine's monotonic clock; 0 while this process has committed nothing."""
    latency_threshold_ns: int | None = None
    """Rows slower than this have an error line; None where it is not said."""
    log_timestamp: str = ""
    """Which time stands in the lines: event or arrival."""
    proofs_every: int = 0
    """Records between two proofs; 0: the sink does not say."""
    proofs: tuple[str, ...] = ()
    """The digest behind so many records, behind twice as many, and so on."""


@dataclass(frozen=True)
class HandOver:
    """What another machine needs beside position and proofs to go on with the logs; only of sinks of partitions, which move."""

    gap_next_sequence: int
    """The sequence with which a gap marker said the numbering goes on; 0 means none."""
    kernel_state: bytes


@dataclass(frozen=True)
class SinkAnnouncement:
    """One announcement. In Redis it is one flat JSON object, so that people can read it there."""

    position: SinkPosition
    log: LogReport = LogReport()
    rows_at_start: int = 0
    """Of `rows`, those that were accounted for before this process."""
    time_ns: int = 0
    finished_error: str | None = None
    """Why the sink stopped for good; None while it works."""
    hand_over: HandOver | None = None

    @property
    def rows(self) -> int:
        """How many rows are accounted for, one way or another."""
        return rows_of(self.log.counts)

    def encode(self) -> str:
        """Return the announcement as it lies in Redis."""
        position, log = self.position, self.log
        fields = {
            "version": VERSION,
            "epoch": position.epoch,
            "sequence": position.sequence,
            "live_sequence": position.live_sequence,
            "cursor": base64.b64encode(position.cursor).decode(),
            "run_id": position.run_id,
            "time_ns": self.time_ns,
            "rows_at_start": self.rows_at_start,
            "counts": log.counts._asdict(),
            "first_arrival_time_ns": log.first_arrival_time_ns,
            "last_arrival_time_ns": log.last_arrival_time_ns,
            "digest": log.digest,
            "digest_version": log.digest_version,
            "proofs_every": log.proofs_every,
            "proofs": list(log.proofs),
            "durable_monotonic_ns": log.durable_monotonic_ns,
            "mid_bytes": log.mid_bytes,
            "error_bytes": log.error_bytes,
            "latency_threshold_ns": log.latency_threshold_ns,
            "log_timestamp": log.log_timestamp,
            "group": position.name,
            "finished_error": self.finished_error,
        }
        if self.hand_over is not None:
            fields["gap_next_sequence"] = self.hand_over.gap_next_sequence
            fields["kernel_state"] = base64.b64encode(self.hand_over.kernel_state).decode()
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def decode(cls, name: str, stored: bytes) -> SinkAnnouncement:
        """Read the announcement of the sink `name`. Raises NewerVersion, and ValueError on what cannot be read.

        Only the position has to be there: that is all that a sink of another make needs to announce.
        """
        try:
            fields: dict[str, Any] = read_json(stored)
            check_version(f"the announcement of sink `{name}`", fields.get("version"), VERSION)
            stopped = fields.get("finished_error")
            return cls(
                SinkPosition(
                    name=name,
                    epoch=str(fields["epoch"]),
                    sequence=int(fields["sequence"]),
                    live_sequence=int(fields.get("live_sequence") or 0),
                    cursor=base64.b64decode(fields.get("cursor") or "", validate=True),
                    run_id=str(fields["run_id"]),
                ),
                _log(fields),
                rows_at_start=int(fields.get("rows_at_start") or 0),
                time_ns=int(fields.get("time_ns") or 0),
                finished_error=None if stopped is None else str(stopped),
                hand_over=_hand_over(fields),
            )
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as exc:
            raise ValueError(f"the announcement of sink `{name}` cannot be read ({short_reason(exc)})") from exc


def together(sinks: Sequence[SinkAnnouncement]) -> SinkAnnouncement:
    """Return the announcements of one sink in several partitions as one: counts and sequences are sums, and nothing proves their order."""
    logs, first = [sink.log for sink in sinks], sinks[0]
    log = replace(
        first.log,
        counts=PriceCounts(*(sum(each) for each in zip(*(log.counts for log in logs), strict=True))),
        # Where there is none, it is before everything.
        first_arrival_time_ns=min(
            (log.first_arrival_time_ns for log in logs if log.first_arrival_time_ns != BEFORE_EVERYTHING),
            default=BEFORE_EVERYTHING,
        ),
        last_arrival_time_ns=max(log.last_arrival_time_ns for log in logs),
        digest="",
        proofs_every=0,
        proofs=(),
        mid_bytes=sum(log.mid_bytes for log in logs),
        error_bytes=sum(log.error_bytes for log in logs),
        durable_monotonic_ns=max(log.durable_monotonic_ns for log in logs),
    )
    return replace(
        first,
        position=replace(first.position, sequence=sum(sink.position.sequence for sink in sinks)),
        log=log,
        rows_at_start=sum(sink.rows_at_start for sink in sinks),
        finished_error=next((sink.finished_error for sink in sinks if sink.finished_error is not None), None),
        hand_over=None,
    )


def rows_of(counts: PriceCounts) -> int:
    """Return how many rows the counts stand for; crossed and locked quotes are mids, markers are no rows."""
    return counts.mids + counts.latency_filtered + counts.missing_side + counts.rejected


def _hand_over(fields: dict[str, Any]) -> HandOver | None:
    if fields.get("kernel_state") is None:
        return None
    state = base64.b64decode(fields["kernel_state"], validate=True)
    return HandOver(int(fields.get("gap_next_sequence") or 0), state)


def _log(fields: dict[str, Any]) -> LogReport:
    none = LogReport()
    counted = fields.get("counts") or {}
    return LogReport(
        counts=PriceCounts(*(int(counted.get(name) or 0) for name in PriceCounts._fields)),
        first_arrival_time_ns=int(fields.get("first_arrival_time_ns", none.first_arrival_time_ns)),
        last_arrival_time_ns=int(fields.get("last_arrival_time_ns", none.last_arrival_time_ns)),
        digest=str(fields.get("digest") or ""),
        digest_version=int(fields.get("digest_version", none.digest_version)),
        proofs_every=int(fields.get("proofs_every") or 0),
        proofs=tuple(str(digest) for digest in fields.get("proofs") or ()),
        mid_bytes=int(fields.get("mid_bytes") or 0),
        error_bytes=int(fields.get("error_bytes") or 0),
        latency_threshold_ns=None
        if fields.get("latency_threshold_ns") is None
        else int(fields["latency_threshold_ns"]),
        log_timestamp=str(fields.get("log_timestamp") or ""),
        durable_monotonic_ns=int(fields.get("durable_monotonic_ns") or 0),
    )
