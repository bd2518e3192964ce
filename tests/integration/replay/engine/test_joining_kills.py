"""A real engine, a real Redis and a real websocket: killed at every step of a join, and a feed that drops in its course."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastpath.frame import (
    MARKER_DISCONNECTED,
    MARKER_GAP,
    MARKER_RECONNECTED,
    MARKER_SEAM,
    MODE_HISTORICAL,
    MODE_LIVE,
    TickFrame,
)
from fastpath.records import Marker
from services.runtime.faults import EXIT_CODE
from services.runtime.session.hand_over import HandOverKind
from tests.integration.replay.engine.harness import LIVE, EngineChild, Session, records
from tests.integration.replay.engine.test_joining import published, sent
from tests.support.driven_feed import DrivenFeed, driven_feed
from tests.support.simulator_process import simulator_process
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]
PATIENCE_S = 40.0
LOOKS_PER_RECORD = 5
RESENT = 20
BEFORE = 500
"""Records that are in the file before anybody connects."""


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[DrivenFeed]:
    with driven_feed(LIVE, tmp_path / "recorded.csv", resend=RESENT) as feed:
        feed.send(BEFORE)
        yield feed


@pytest.fixture
def session(redis_aof_url: str, session_name: str) -> Session:
    session = Session(redis_aof_url, session_name)
    session.intend(1, "mode", mode=MODE_LIVE, hand_over=int(HandOverKind.JOIN))
    return session


@pytest.fixture
def start(redis_aof_url: str, session_name: str, start_engine: Start, feed: DrivenFeed, tmp_path: Path) -> Start:
    """Start an engine that joins the feed behind its file."""
    recorded = [str(tmp_path / "recorded.csv")]
    return lambda: start_engine(redis_aof_url, session_name, historical=recorded, live_url=feed.url)


def seams(frames: list[TickFrame]) -> list[Marker]:
    """The seams of a stream, each held against the records around it."""
    found, last_arrival_ns = [], 0
    for frame in frames:
        ticks = frame.ticks()
        for marker in frame.markers:
            if marker.kind != MARKER_SEAM:
                continue
            assert marker.last_key is not None
            assert marker.last_key[0] == last_arrival_ns
            assert marker.first_key is None or marker.first_key[0] == ticks[0][3]
            assert marker.first_key is not None or marker.mode == MODE_HISTORICAL
            found.append(marker)
        last_arrival_ns = ticks[-1][3] if ticks else last_arrival_ns
    return found


def kinds(frames: list[TickFrame]) -> list[int]:
    return [marker.kind for frame in frames for marker in frame.markers]


def ticks(session: Session) -> int:
    return len(published(session.frames()))


def is_live(engine: EngineChild) -> bool:
    return engine.last_state().get("mode") == MODE_LIVE


def send_until(feed: DrivenFeed, condition: Callable[[], bool], what: str) -> None:
    """Send one record after the other for as long as it takes; there are enough of them for a minute."""
    looks = itertools.count()

    def came_true() -> bool:
        if condition():
            return True
        if next(looks) % LOOKS_PER_RECORD == 0:
            feed.send(1)
        return False

    wait_until(came_true, timeout_s=PATIENCE_S, what=what)


def end(session: Session, engine: EngineChild, feed: DrivenFeed) -> list[TickFrame]:
    """Let everything come through; return what is in the queue, which has to be what was sent."""
    wait_until(lambda: ticks(session) >= feed.sent, timeout_s=PATIENCE_S, what="the last record")
    assert engine.stop() == 0
    frames = session.frames()
    assert repr(published(frames)) == repr(sent()[: feed.sent])
    assert MARKER_GAP not in kinds(frames)
    records(frames)
    return frames


def test_the_seam_tells_exactly_what_both_sides_had(session: Session, start: Start, feed: DrivenFeed) -> None:
    engine = start()
    wait_until(lambda: feed.clients == 1, timeout_s=PATIENCE_S)
    send_until(feed, lambda: is_live(engine), "live data")

    frames = end(session, engine, feed)

    [seam] = seams(frames)
    historical = len(published(frames, MODE_HISTORICAL))
    assert seam.overlap_removed == historical - (feed.sent_before - RESENT)
    assert (seam.previous_mode, seam.mode, seam.revision, seam.gap_ns) == (MODE_HISTORICAL, MODE_LIVE, 1, 0)


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("site", "missed"),
    [
        pytest.param("join_catching_up", 100, marks=pytest.mark.long),
        pytest.param("join_meeting", 100, marks=pytest.mark.long),
        pytest.param("join_buffering", 100, marks=pytest.mark.long),
        ("join_before_seam", 100),
        ("join_after_seam", 0),
        ("join_after_seam", 100),
    ],
)
def test_killed_at_every_step_of_a_join_nothing_is_repeated_or_left_out(
    site: str, missed: int, session: Session, start: Start, feed: DrivenFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_FAULT", f"{site}:1")
    killed = start()
    send_until(feed, lambda: killed.process.poll() is not None, site)
    assert killed.wait() == EXIT_CODE
    monkeypatch.delenv("MIDSTREAM_FAULT")
    # Behind the seam the feed sends again what was missed, or the file has it.
    feed.send(missed)

    engine = start()
    send_until(feed, lambda: is_live(engine), "live data")

    frames = end(session, engine, feed)
    assert [seam.gap_ns for seam in seams(frames) if seam.mode == MODE_LIVE][-1] == 0
    assert len(published(frames, MODE_LIVE)) > 0


@pytest.mark.parametrize("site", [pytest.param("join_before_filling", marks=pytest.mark.long), "join_after_filling"])
def test_killed_while_files_begin_to_fill_what_the_feed_left_out_nothing_is_missing(
    site: str, session: Session, start: Start, feed: DrivenFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_FAULT", f"{site}:1")
    killed = start()
    send_until(feed, lambda: is_live(killed), "live data")
    feed.drop()
    feed.send(100)
    send_until(feed, lambda: killed.process.poll() is not None, site)
    assert killed.wait() == EXIT_CODE
    monkeypatch.delenv("MIDSTREAM_FAULT")

    engine = start()
    send_until(feed, lambda: is_live(engine), "live data")

    frames = end(session, engine, feed)
    assert [seam.gap_ns for seam in seams(frames)] == [0] * len(seams(frames))
    assert kinds(frames).count(MARKER_DISCONNECTED) == 1


def test_a_feed_that_drops_three_times_and_sends_again_needs_no_file(
    session: Session, start: Start, feed: DrivenFeed
) -> None:
    engine = start()
    send_until(feed, lambda: is_live(engine), "live data")
    for handshakes in (2, 3, 4):
        feed.drop()
        wait_until(lambda: feed.clients == 0)
        feed.send(RESENT - 1)
        wait_until(lambda handshakes=handshakes: feed.handshakes == handshakes, timeout_s=PATIENCE_S)  # type: ignore[misc]
        feed.send(1)
        wait_until(lambda: ticks(session) == feed.sent, timeout_s=PATIENCE_S, what="all that was missed")

    frames = end(session, engine, feed)
    assert len(seams(frames)) == 1
    assert kinds(frames)[1:] == [MARKER_DISCONNECTED, MARKER_RECONNECTED] * 3


@pytest.mark.long
def test_a_feed_process_that_drops_three_times_is_filled_from_the_file_and_joined_again_each_time(
    session: Session, start_engine: Start, tmp_path: Path
) -> None:
    path = tmp_path / "recorded.csv"
    settings: dict[str, str] = {"PAST": str(path), "SPEED": "0.3", "FAULTS": "drop_after=100,drops=3"}
    with simulator_process("feed", tmp_path, **settings) as simulator:
        engine = start_engine(session.url, session.keys.session, historical=[str(path)], live_url=simulator.ws_url)
        # No connection but the fourth one lives to bring as many.
        wait_until(lambda: live_run(session) > 150, timeout_s=PATIENCE_S, what="a connection that lasts")
        # Asked each time: on a busy machine one more may come.
        engine.wait_for(lambda state: state["joining"]["rejoins"] == times_filled(session.frames()))
        assert engine.stop() == 0

    frames = session.frames()
    rejoins = times_filled(frames)
    assert repr(published(frames)) == repr(sent()[: len(published(frames))])
    # What is lost while history catches up costs nothing, and is not told.
    told = kinds(frames)
    assert 1 <= told.count(MARKER_DISCONNECTED) == told.count(MARKER_RECONNECTED) <= 3
    assert MARKER_GAP not in told
    found = seams(frames)
    assert [seam.gap_ns for seam in found] == [0] * len(found)
    assert [seam.mode for seam in found] == [MODE_LIVE, *(MODE_HISTORICAL, MODE_LIVE) * rejoins]
    assert rejoins > 0


def times_filled(frames: list[TickFrame]) -> int:
    """How often files began to fill what the feed had left out."""
    return [seam.mode for seam in seams(frames)].count(MODE_HISTORICAL)


def live_run(session: Session) -> int:
    """How many live records there are behind the last marker."""
    count = 0
    for frame in reversed(session.frames()):
        count += len(frame.ticks())
        if frame.markers or frame.mode != MODE_LIVE:
            return count if frame.mode == MODE_LIVE else 0
    return count
