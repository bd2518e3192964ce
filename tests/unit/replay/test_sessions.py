"""Sessions as messages, and batches cut where a subscriber begins."""

from __future__ import annotations

from protos.common.v1.market_pb2 import MODE_LIVE
from protos.replay.v1.replay_pb2 import SESSION_STATE_BACKPRESSURED, Session
from services.replay.sessions import session_message
from services.runtime.session.intents import Effective
from services.runtime.session.report import BacklogReport, EngineReport, EngineState, HistoricalReport, LiveReport

REPORT = EngineReport(
    "default",
    EngineState.BACKPRESSURED,
    Effective(mode=MODE_LIVE, revision=1, paused=True, speed=2.0),
    epoch="e",
    last_sequence=3,
    last_arrival_time_ns=4,
    backlog=BacklogReport(records=5, bytes=6, oldest_sequence=7, redis_run_id="r"),
    historical=HistoricalReport(True, ("a.csv",), skipped=8, damaged_sources=9, first_read_monotonic_ns=10),
    live=LiveReport(configured=True, connected=True),
    error="x",
    reported_time_ns=11,
    pid=12,
)


def test_every_field_of_a_session_comes_from_the_report() -> None:
    session = session_message(REPORT)

    assert session.state == SESSION_STATE_BACKPRESSURED
    assert {field.name for field, _ in session.ListFields()} == {field.name for field in Session.DESCRIPTOR.fields}
