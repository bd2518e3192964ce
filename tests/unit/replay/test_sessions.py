"""Sessions as messages, and batches cut where a subscriber begins."""

from __future__ import annotations

from fastpath.records import OrderProof
from protos.common.v1.market_pb2 import MODE_LIVE, TickBatch
from protos.replay.v1.replay_pb2 import SESSION_STATE_BACKPRESSURED, Session
from services.replay.sessions import session_message
from services.replay.tick_batches import cut_batch
from services.runtime.session.columns import columns_of
from services.runtime.session.hand_over import HandOverKind, HandOverPhase, HandOverReport
from services.runtime.session.intents import Effective, Range
from services.runtime.session.report import BacklogReport, EngineReport, EngineState, HistoricalReport, LiveReport

REPORT = EngineReport(
    "default",
    EngineState.BACKPRESSURED,
    Effective(mode=MODE_LIVE, revision=1, paused=True, speed=2.0, range=Range(3, 4, loop=True)),
    epoch="e",
    last_sequence=3,
    last_arrival_time_ns=4,
    position_arrival_time_ns=13,
    scheduled=({},),
    backlog=BacklogReport(records=5, bytes=6, oldest_sequence=7, redis_run_id="r"),
    historical=HistoricalReport(True, ("a.csv",), skipped=8, damaged_sources=9, first_read_monotonic_ns=10),
    live=LiveReport(configured=True, connected=True),
    hand_over=HandOverReport(HandOverKind.JOIN, HandOverPhase.JOINED, overlap_removed=14),
    error="x",
    proof=OrderProof(1, 3, 3, "d", 1, "w"),
    acknowledged="replica",
    reported_time_ns=11,
    pid=12,
)


def test_every_field_of_a_session_comes_from_the_report() -> None:
    session = session_message(REPORT)

    assert session.state == SESSION_STATE_BACKPRESSURED
    told = {field.name for field, _ in session.ListFields()}
    # What it was created with stands in its definition.
    assert told == {field.name for field in Session.DESCRIPTOR.fields} - {"definition", "private"}


def test_a_cut_batch_keeps_every_column_of_the_ticks_that_stay() -> None:
    batch = TickBatch(epoch="e", first_sequence=1, last_sequence=3, tickers=["BTC"])
    names = [name for name in columns_of(TickBatch) if name != "tick_sequence"]
    for name in names:
        getattr(batch, name).extend([0, 1, 2] if name != "ticker_index" else [0, 0, 0])

    payload = cut_batch(batch.SerializeToString(), 2)

    assert payload is not None
    cut = TickBatch.FromString(payload)
    assert (cut.first_sequence, cut.last_sequence) == (3, 3)
    assert {name: list(getattr(cut, name)) for name in names} == {
        name: [0] if name == "ticker_index" else [2] for name in names
    }
