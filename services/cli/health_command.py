"""`midstream health`, `lag` and `sessions`: what the servers say about themselves and about the queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from clients.rpc import ChannelSettings, HealthClient, ReplayClient
from protos.health.v1 import health_pb2 as pb
from protos.replay.v1 import replay_pb2
from services.cli.names import MODE_NAMES, STATUS_NAMES, status_figure
from services.cli.output import ExitCode
from services.cli.shown_times import shown_span, shown_time
from services.cli.terminal import table
from services.cli.watching import Answer, show_answers

_CODES: Final = {pb.STATUS_OK: ExitCode.COMPLETE, pb.STATUS_UNSPECIFIED: ExitCode.POSTPONED}


def run_health(*, as_json: bool, watch: bool, channel: ChannelSettings) -> int:
    """Show the health report; 0 when all is well, 75 while something has not been checked yet, else 1."""

    def ask(address: str) -> Answer:
        with HealthClient(address, channel=channel) as client:
            report = client.report()
        lines = [
            f"{STATUS_NAMES[report.status]}  as of {shown_time(report.report_time_ns)[11:19]} UTC",
            *table([*_check_rows(report), *_exchange_rows(report)]),
        ]
        return Answer(lines, _report_figures(report), _CODES.get(report.status, ExitCode.FAILED))

    return show_answers("health", channel, ask, as_json=as_json, watch=watch)


def _check_rows(report: pb.Report) -> Iterator[list[str]]:
    for check in report.checks:
        before = f" (last error: {check.last_error})" if check.last_error not in ("", check.detail) else ""
        yield [STATUS_NAMES[check.status], check.name, _ago(check.age_ms), f"{check.detail}{before}"]


def _exchange_rows(report: pb.Report) -> Iterator[list[str]]:
    for each in report.exchanges:
        said = [f"breaker {each.breaker_state.replace('_', ' ')}" if each.breaker_state else "not called yet"]
        if each.latency_p50_ms:
            said.append(f"{each.latency_p50_ms:.0f} ms, slowest {each.latency_p99_ms:.0f} ms")
        said.append(f"{each.limiter_fill:.0%} of its limit")
        said.append(f"clock {each.clock_offset_ms:+.0f} ms (within {each.clock_error_ms:.0f})")
        if each.stream_age_ms >= 0:
            said.append(f"last message {_ago(each.stream_age_ms)}")
        if each.last_error:
            said.append(f"last error: {each.last_error}")
        name = f"{each.target} {each.group} ({each.process})"
        yield [STATUS_NAMES[each.status], name, _ago(each.age_ms), ", ".join(said)]


def _ago(age_ms: int) -> str:
    return f"{shown_span(age_ms / 1000)} ago"


def _report_figures(report: pb.Report) -> dict[str, Any]:
    return {
        "status": status_figure(report.status),
        "report_time_ns": report.report_time_ns,
        "checks": [
            {
                "name": check.name,
                "status": status_figure(check.status),
                "detail": check.detail,
                "last_error": check.last_error,
                "age_ms": check.age_ms,
                "duration_us": check.duration_us,
            }
            for check in report.checks
        ],
        "exchanges": [
            {
                "target": each.target,
                "group": each.group,
                "process": each.process,
                "status": status_figure(each.status),
                "latency_p50_ms": each.latency_p50_ms,
                "latency_p99_ms": each.latency_p99_ms,
                "breaker_state": each.breaker_state,
                "limiter_fill": each.limiter_fill,
                "clock_offset_ms": each.clock_offset_ms,
                "clock_error_ms": each.clock_error_ms,
                "stream_age_ms": each.stream_age_ms if each.stream_age_ms >= 0 else None,
                "last_error": each.last_error,
                "age_ms": each.age_ms,
            }
            for each in report.exchanges
        ],
    }


def run_lag(*, as_json: bool, watch: bool, channel: ChannelSettings) -> int:
    """Show how far every consumer group and every sink is behind."""

    def ask(address: str) -> Answer:
        with HealthClient(address, channel=channel) as client:
            report = client.report()
        rows = [*_group_rows(report), *_sink_rows(report)]
        heading = ["session", "reader", "records", "data time", ""]
        lines = table([heading, *rows], right=(2, 3)) if rows else ["no session has a consumer group yet"]
        return Answer(lines, _lag_figures(report))

    return show_answers("health", channel, ask, as_json=as_json, watch=watch)


def _group_rows(report: pb.Report) -> Iterator[list[str]]:
    for each in report.queues:
        notes = _notes(each.standing_ms, "" if each.active else "not counted any more: no call within the group lease")
        yield [_session(each), f"group {each.group}", f"{each.lag_records:,}", _data_time(each.lag_data_time_ns), notes]


def _sink_rows(report: pb.Report) -> Iterator[list[str]]:
    for each in report.sinks:
        other = "stands in a numbering that is over" if each.other_epoch else ""
        notes = _notes(each.standing_ms, other, f"stopped: {each.error}" if each.error else "")
        records = "?" if each.other_epoch or (each.error and not each.sequence) else f"{each.lag_records:,}"
        notes = ", ".join(filter(None, (f"committed {each.sequence:,}", notes)))
        yield [_session(each), f"sink {each.sink}", records, _data_time(each.lag_data_time_ns), notes]


def _session(each: pb.QueueLag | pb.SinkLag) -> str:
    return f"{each.session}/{each.partition}" if each.HasField("partition") else each.session


def _notes(standing_ms: int, *more: str) -> str:
    standing = f"standing for {shown_span(standing_ms / 1000)}" if standing_ms else ""
    return ", ".join(filter(None, (standing, *more)))


def _data_time(span_ns: int) -> str:
    return f"{span_ns / 1e9:,.3f} s"


def _lag_figures(report: pb.Report) -> dict[str, Any]:
    return {
        "report_time_ns": report.report_time_ns,
        "groups": [
            {
                "session": each.session,
                "group": each.group,
                "partition": each.partition if each.HasField("partition") else None,
                "lag_records": each.lag_records,
                "lag_bytes": each.lag_bytes,
                "lag_data_time_ns": each.lag_data_time_ns,
                "standing_ms": each.standing_ms,
                "active": each.active,
            }
            for each in report.queues
        ],
        "sinks": [
            {
                "session": each.session,
                "sink": each.sink,
                "partition": each.partition if each.HasField("partition") else None,
                "sequence": each.sequence,
                "lag_records": None if each.other_epoch else each.lag_records,
                "lag_data_time_ns": each.lag_data_time_ns,
                "standing_ms": each.standing_ms,
                "other_epoch": each.other_epoch,
                "error": each.error,
            }
            for each in report.sinks
        ],
    }


def run_sessions(*, as_json: bool, watch: bool, channel: ChannelSettings) -> int:
    """List the sessions that the replay server's queue knows."""

    def ask(address: str) -> Answer:
        with ReplayClient(address, channel=channel) as client:
            sessions = list(client.sessions())
        now_ns = time.time_ns()
        heading = ["session", "mode", "state", "published", "revision", "reported", ""]
        rows = [_session_row(each, now_ns) for each in sessions]
        lines = table([heading, *rows], right=(3, 4)) if rows else ["no sessions yet"]
        return Answer(lines, {"sessions": [session_figures(each, now_ns) for each in sessions]})

    return show_answers("replay", channel, ask, as_json=as_json, watch=watch)


def _session_row(session: replay_pb2.Session, now_ns: int) -> list[str]:
    age_s = _age_s(session, now_ns)
    reported = "never" if age_s is None else f"{shown_span(age_s)} ago"
    speed = f"{session.speed:g}x" if session.speed else "max"
    parts = f"{session.partitions} partitions" if session.partitions > 1 else ""
    notes = ", ".join(filter(None, (f"speed {speed}", parts, session.error)))
    state = session_state(session).replace("unspecified", "unknown")
    numbers = [f"{session.last_sequence:,}", str(session.revision)]
    return [session.name, MODE_NAMES[session.mode], state, *numbers, reported, notes]


def session_state(session: replay_pb2.Session) -> str:
    """Return what a session does, as people say it."""
    return replay_pb2.SessionState.Name(session.state).removeprefix("SESSION_STATE_").lower()


def _age_s(session: replay_pb2.Session, now_ns: int) -> float | None:
    return max(round((now_ns - session.reported_time_ns) / 1e9, 1), 0.0) if session.reported_time_ns else None


def session_figures(session: replay_pb2.Session, now_ns: int) -> dict[str, Any]:
    """Return a session as JSON values."""
    return {
        "name": session.name,
        "epoch": session.epoch,
        "mode": MODE_NAMES[session.mode],
        "state": session_state(session),
        "paused": session.paused,
        "speed": session.speed,
        "revision": session.revision,
        "last_sequence": session.last_sequence,
        "oldest_sequence": session.oldest_sequence,
        "backlog_records": session.backlog_records,
        "backlog_bytes": session.backlog_bytes,
        "last_arrival_time_ns": session.last_arrival_time_ns or None,
        "skipped": session.skipped,
        "damaged_sources": session.damaged_sources,
        "live_connected": session.live_connected,
        "reported_time_ns": session.reported_time_ns or None,
        "report_age_s": _age_s(session, now_ns),
        "error": session.error,
        "acknowledged": session.acknowledged or None,
        "partitions": session.partitions or None,
    }
