"""A real engine and a real Redis, killed at every step of a move: what is left is what an undisturbed run leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastpath.frame import MARKER_DISCONTINUITY, TickFrame
from services.runtime.faults import EXIT_CODE
from services.runtime.session.effects import Effect
from tests.integration.replay.engine.harness import EngineChild, Session, records
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]
MIDDLE_NS = 1_759_449_592_000_000_000
"""2025-10-02 23:59:52, in the middle of the sample."""
SCRIPT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("speed", {"speed": 0.0, "when": {"arrival_time_ns": MIDDLE_NS}}),
    ("seek", {"to": "by", "at": -1_000_000_000, "when": {"after_sequence": 3000}}),
    ("step", {"ticks": 700, "when": {"after_sequence": 3001}}),
    ("range", {"range": f"{MIDDLE_NS - 500_000_000}:{MIDDLE_NS + 500_000_000}:stop", "when": {"after_sequence": 5000}}),
    ("resume", {"when": {"after_sequence": 3701}}),
)
"""Every way of moving. The step leaves the session paused, and the one behind its last record resumes it."""


def play(redis_url: str, name: str, start_engine: Start) -> EngineChild:
    """Start an engine on the script, which is in the journal before it begins."""
    session = Session(redis_url, name)
    if not session.client.exists(session.keys.control):
        for revision, (kind, values) in enumerate(SCRIPT, 1):
            session.intend(revision, kind, **values)
    return start_engine(redis_url, name)


def moves(frames: list[TickFrame]) -> list[tuple[int, int, int, bytes]]:
    return [
        (marker.sequence, marker.revision, marker.position_arrival_time_ns, marker.state)
        for frame in frames
        for marker in frame.markers
        if marker.kind == MARKER_DISCONTINUITY
    ]


def effects(session: Session) -> list[tuple[int, int, int, bool, int, int]]:
    found: Any = session.client.xrange(session.keys.effects)
    read = [Effect.decode(fields[b"effect"]) for _, fields in found]
    return [(one.number, one.revision, one.sequence, one.scheduled, one.steps, one.marker_sequence) for one in read]


@pytest.fixture
def undisturbed(redis_url: str, session_name: str, start_engine: Start) -> Session:
    """What the script leaves when nobody is killed."""
    engine = play(redis_url, f"{session_name}.calm", start_engine)
    engine.wait_state("COMPLETED")
    assert engine.stop() == 0
    return Session(redis_url, f"{session_name}.calm")


@pytest.mark.cases(1)
@pytest.mark.parametrize("site", ["after_xadd", "before_checkpoint", "after_checkpoint"])
def test_killed_at_every_step_of_a_move_nothing_is_repeated_or_left_out(
    site: str,
    undisturbed: Session,
    redis_url: str,
    session_name: str,
    start_engine: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(moves(undisturbed.frames())) == 2
    kills = 0
    for nth in range(2, 7):
        name = f"{session_name}.{nth}"
        monkeypatch.setenv("MIDSTREAM_FAULT", f"{site}:{nth}")
        engine = play(redis_url, name, start_engine)
        wait_until(
            lambda engine=engine: (
                engine.process.poll() is not None  # type: ignore[misc]
                or engine.last_state().get("state") == "COMPLETED"
            ),
            timeout_s=20.0,
            what="a kill, or the end",
        )
        killed = engine.process.poll() is not None
        monkeypatch.delenv("MIDSTREAM_FAULT")
        if killed:
            assert engine.wait() == EXIT_CODE
            kills += 1
            engine = play(redis_url, name, start_engine)
            engine.wait_state("COMPLETED")
        # One that came through may be at that place for the first time when it drains.
        assert engine.stop() in ((0,) if killed else (0, EXIT_CODE))
        session = Session(redis_url, name)
        assert records(session.frames()) == records(undisturbed.frames()), f"{site} {nth}"
        assert moves(session.frames()) == moves(undisturbed.frames()), f"{site} {nth}"
        assert effects(session) == effects(undisturbed), f"{site} {nth}"
        session.client.close()
    assert kills >= 4


def test_a_queue_that_is_gone_goes_on_behind_the_move_in_another_numbering(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_url, session_name)
    session.intend(1, "pause")
    session.intend(2, "seek", to="time", at=MIDDLE_NS)
    engine = start_engine(redis_url, session_name)
    session.wait_applied(2)
    (before,) = session.frames()
    session.client.delete(session.keys.ticks, session.keys.checkpoint)

    wait_until(lambda: session.last_sequence() > 0, what="another stream")
    session.intend(3, "resume")
    engine.wait_state("COMPLETED")
    assert engine.stop() == 0

    frames = session.frames()
    assert frames[0].epoch != before.epoch
    (again,) = frames[0].markers
    assert again.kind == MARKER_DISCONTINUITY
    assert (again.state, again.first_key) == (before.markers[0].state, before.markers[0].first_key)
    arrivals = [tick[3] for frame in frames for tick in frame.ticks()]
    assert min(arrivals) >= MIDDLE_NS
    assert frames[0].first_sequence == 1
