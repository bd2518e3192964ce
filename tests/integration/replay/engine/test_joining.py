"""A real feed whose past is in a file that is still written, joined by a real engine."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpath.frame import MARKER_GAP, MARKER_SEAM, MODE_HISTORICAL, MODE_LIVE, TickFrame
from fastpath.records import Marker
from services.runtime.session.hand_over import HandOverKind
from tests.integration.replay.engine.harness import LIVE, EngineChild, Session, records
from tests.support.driven_feed import driven_feed
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]
ROWS = 3000


def sent() -> list[tuple[str, float, float]]:
    """What the feed sends, in order."""
    with LIVE.open(newline="") as lines:
        return [
            (row["ticker"], float(row["bid_amount"] or "nan"), float(row["ask_amount"] or "nan"))
            for row in csv.DictReader(lines)
        ]


def published(frames: list[TickFrame], mode: int | None = None) -> list[tuple[str, float, float]]:
    return [(tick[1], tick[5], tick[7]) for frame in frames if mode in (None, frame.mode) for tick in frame.ticks()]


def markers(session: Session, kind: int) -> list[Marker]:
    return [marker for frame in session.frames() for marker in frame.markers if marker.kind == kind]


@pytest.mark.quick
def test_a_file_that_is_still_written_is_joined_with_its_feed_without_gap_or_repeat(
    redis_aof_url: str, session_name: str, start_engine: Start, tmp_path: Path
) -> None:
    session, path = Session(redis_aof_url, session_name), tmp_path / "recorded.csv"
    with driven_feed(LIVE, path, resend=20) as feed:
        feed.send(500)
        engine = start_engine(redis_aof_url, session_name, historical=[str(path)], live_url=feed.url)
        session.intend(1, "mode", mode=MODE_LIVE, hand_over=int(HandOverKind.JOIN))
        wait_until(lambda: feed.clients == 1 and session.last_sequence() >= 500, timeout_s=40)
        feed.send(500)
        wait_until(lambda: session.last_sequence() >= 1000, timeout_s=40)
        feed.send(ROWS - 1000)
        wait_until(lambda: session.last_sequence() >= ROWS + 1, timeout_s=40)
        # The seam leaves out the twenty that were sent again, at least.
        engine.wait_for(lambda state: state["joining"]["overlap_removed"] >= 20)
        assert engine.stop() == 0

    frames = session.frames()
    assert repr(published(frames)) == repr(sent())
    assert len(published(frames, MODE_HISTORICAL)) >= 500
    assert len(published(frames, MODE_LIVE)) > 100
    [seam] = markers(session, MARKER_SEAM)
    assert seam.gap_ns == 0
    assert seam.overlap_removed >= 20
    assert not markers(session, MARKER_GAP)
    records(frames)
