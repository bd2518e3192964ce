"""A real websocket feed through a real engine."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpath.frame import MARKER_DISCONNECTED, MARKER_RECONNECTED, MARKER_SEAM, MODE_HISTORICAL, MODE_LIVE
from tests.integration.replay.engine.harness import (
    LIVE,
    EngineChild,
    FeedFaults,
    Session,
    free_port_url,
    now_s,
    records,
    serving_feed,
)
from tests.support.tick_files import live_file, over_sources
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]


def tickers_and_bids(path: Path) -> list[tuple[str, float]]:
    with path.open(newline="") as lines:
        return [(row["ticker"], float(row["bid_amount"] or "nan")) for row in csv.DictReader(lines)]


def received(session: Session) -> list[tuple[str, float]]:
    return [(tick[1], tick[5]) for frame in session.frames() if frame.mode == MODE_LIVE for tick in frame.ticks()]


def same(left: list[tuple[str, float]], right: list[tuple[str, float]]) -> bool:
    return [repr(item) for item in left] == [repr(item) for item in right]


@pytest.mark.quick
def test_every_row_of_a_feed_arrives_in_order(redis_aof_url: str, session_name: str, start_engine: Start) -> None:
    session = Session(redis_aof_url, session_name)
    with serving_feed() as (url, _):
        engine = start_engine(redis_aof_url, session_name, historical=[], live_url=url)
        wait_until(lambda: session.last_sequence() >= 3000, timeout_s=20)
        engine.wait_for(lambda state: state.get("live_connected", False))
        assert engine.stop() == 0

    assert same(received(session), tickers_and_bids(LIVE))
    arrivals = [tick[3] for frame in session.frames() for tick in frame.ticks()]
    assert arrivals == sorted(arrivals)


@over_sources()
def test_thirty_thousand_rows_arrive_complete_and_in_order(
    redis_aof_url: str, session_name: str, start_engine: Start, source: str, tmp_path: Path
) -> None:
    path = live_file(source, tmp_path)
    session = Session(redis_aof_url, session_name)
    with serving_feed(path) as (url, _):
        engine = start_engine(redis_aof_url, session_name, historical=[], live_url=url)
        wait_until(lambda: session.last_sequence() >= 30_000, timeout_s=60)
        engine.stop()

    assert same(received(session), tickers_and_bids(path))


@pytest.mark.quick
def test_historical_to_live_and_back_resumes_behind_the_last_row(
    redis_aof_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_aof_url, session_name)
    with serving_feed() as (url, _):
        engine = start_engine(redis_aof_url, session_name, speed=10.0, live_url=url)
        wait_until(lambda: session.last_sequence() > 2000)
        session.intend(1, "mode", mode=2)
        session.wait_applied(1)
        wait_until(lambda: len(received(session)) == 3000, timeout_s=20)
        engine.kill()
        engine = start_engine(redis_aof_url, session_name, speed=10.0, live_url=url)
        engine.wait_state("RUNNING")
        session.intend(2, "mode", mode=1)
        session.intend(3, "speed", speed=0)
        engine.wait_state("COMPLETED")
        engine.stop()

    frames = session.frames()
    rows = [tick[1:] for frame in frames if frame.mode == MODE_HISTORICAL for tick in frame.ticks()]
    rejected = [item for frame in frames if frame.mode == MODE_HISTORICAL for item in frame.rejections]
    assert len(rows) + len(rejected) == 20_007
    assert [row[2] for row in rows] == sorted(row[2] for row in rows)
    seams = [marker for frame in frames for marker in frame.markers if marker.kind == MARKER_SEAM]
    assert [(seam.previous_mode, seam.mode, seam.revision) for seam in seams] == [(1, 2, 1), (2, 1, 2)]
    assert all(seam.first_key is not None for seam in seams)
    records(frames)


def test_a_feed_that_drops_is_connected_again_with_markers_in_between(
    redis_aof_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_aof_url, session_name)
    with serving_feed(faults=FeedFaults(drop_after=500, drops=2)) as (url, feed):
        engine = start_engine(redis_aof_url, session_name, historical=[], live_url=url)
        wait_until(lambda: same(received(session)[-3000:], tickers_and_bids(LIVE)), timeout_s=30)
        engine.stop()

    kinds = [marker.kind for frame in session.frames() for marker in frame.markers]
    assert kinds == [MARKER_DISCONNECTED, MARKER_RECONNECTED] * 2
    assert feed.handshakes == 3
    assert 3000 < len(received(session)) <= 4000


def test_garbage_becomes_rejections_and_the_rest_goes_on(
    redis_aof_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_aof_url, session_name)
    with serving_feed(faults=FeedFaults(garbage_every=100)) as (url, _):
        engine = start_engine(redis_aof_url, session_name, historical=[], live_url=url)
        wait_until(lambda: len(received(session)) >= 3000, timeout_s=20)
        engine.stop()

    rejections = [item for frame in session.frames() for item in frame.rejections]
    assert len(rejections) >= 30
    assert {item.source for item in rejections} == {url}
    assert same(received(session), tickers_and_bids(LIVE))


def test_arrays_of_rows_are_read_too(redis_aof_url: str, session_name: str, start_engine: Start) -> None:
    session = Session(redis_aof_url, session_name)
    with serving_feed(batch=100) as (url, _):
        engine = start_engine(redis_aof_url, session_name, historical=[], live_url=url)
        wait_until(lambda: session.last_sequence() >= 3000, timeout_s=20)
        engine.stop()

    assert same(received(session), tickers_and_bids(LIVE))


def test_a_feed_that_is_not_there_is_visible_and_stopping_does_not_wait_for_it(
    redis_aof_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_aof_url, session_name)
    engine = start_engine(redis_aof_url, session_name, live_url=free_port_url(), speed=1.0)
    session.intend(1, "mode", mode=2)
    session.wait_applied(1)
    engine.wait_for(lambda state: "cannot be reached" in state.get("error", ""))
    state = session.state()
    assert (state["mode"], state["state"], state["live_connected"]) == (2, "RUNNING", False)

    began_s = now_s()
    assert engine.stop() == 0
    assert now_s() - began_s < 3.0


def test_live_needs_an_append_only_file(redis_url: str, session_name: str, start_engine: Start) -> None:
    engine = start_engine(redis_url, session_name, live_url=free_port_url())

    assert engine.wait() == 2
    assert "append-only" in engine.events("refused")[0]["message"]


def test_frames_of_a_paused_session_that_overflow_leave_one_gap(
    redis_aof_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_aof_url, session_name)
    session.intend(1, "pause")
    with serving_feed() as (url, _):
        engine = start_engine(redis_aof_url, session_name, historical=[], live_url=url, live_frames_max=800)
        session.wait_applied(1)
        engine.wait_for(lambda state: state.get("state") == "PAUSED")
        wait_until(
            lambda: (
                sum(
                    event["figures"].get("midstream_live_lost_frames_total", 0) >= 2200
                    for event in engine.events("figures")
                )
                > 0
            ),
            timeout_s=20,
        )
        session.intend(2, "resume")
        wait_until(lambda: session.last_sequence() > 0)
        wait_until(lambda: same(received(session)[-1:], tickers_and_bids(LIVE)[-1:]))
        engine.stop()

    gaps = [marker for frame in session.frames() for marker in frame.markers]
    assert gaps[0].lost_frames > 2000
    before = gaps[0].sequence - 1
    rows = tickers_and_bids(LIVE)
    assert same(received(session), rows[:before] + rows[before + gaps[0].lost_frames :])
