"""A recording that is still written of an exchange that gives no event times, joined with its stream."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastpath.frame import MARKER_GAP, MARKER_SEAM, MODE_HISTORICAL, MODE_LIVE
from services.replay.recording.records import frame_of
from services.runtime.session.hand_over import HandOverKind
from tests.integration.replay.engine.harness import EngineChild, Session
from tests.support.cli import clean_environment, command, kill
from tests.support.simulator_process import SimulatorProcess, simulator_process
from tests.support.waiting import wait_until

URL = "binance://BTC/USDT"
Quoted = tuple[float, float]


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorProcess]:
    with simulator_process("binance", tmp_path, STEP="0.02") as running:
        monkeypatch.setenv("MIDSTREAM_BINANCE_URL", running.url)
        yield running


@pytest.fixture
def recording(exchange: SimulatorProcess, tmp_path: Path) -> Iterator[Path]:
    """What a recorder writes while the test runs."""
    path = tmp_path / "day.rec"
    environment = clean_environment({"MIDSTREAM_BINANCE_URL": exchange.url})
    with (tmp_path / "record.log").open("wb") as log:
        process = subprocess.Popen(
            command("record", URL, "--out", str(path)),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield path
        finally:
            kill(process)


def recorded(path: Path) -> list[Quoted]:
    """Bid and ask of every whole record."""
    found = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        if frame_of(line) is not None:
            quote = json.loads(line.split(b" ", 3)[3])
            found.append((float(quote["bid_price"]), float(quote["ask_price"])))
    return found


def published(session: Session, mode: int | None = None) -> list[Quoted]:
    return [(tick[4], tick[6]) for frame in session.frames() if mode in (None, frame.mode) for tick in frame.ticks()]


@pytest.mark.long
def test_the_numbers_of_an_exchange_tell_what_was_recorded(
    redis_aof_url: str, session_name: str, start_engine: Callable[..., EngineChild], recording: Path
) -> None:
    session = Session(redis_aof_url, session_name)
    session.intend(1, "mode", mode=MODE_LIVE, hand_over=int(HandOverKind.JOIN))
    wait_until(lambda: len(recorded(recording)) > 20, timeout_s=60, what="a recording")

    engine = start_engine(redis_aof_url, session_name, historical=[str(recording)], live_url=URL)
    wait_until(lambda: len(published(session, MODE_LIVE)) > 20, timeout_s=60, what="live quotes")
    assert engine.stop() == 0

    quotes = published(session)
    wait_until(lambda: len(recorded(recording)) >= len(quotes), timeout_s=60, what="the recorder")
    assert quotes == recorded(recording)[: len(quotes)]
    assert len(published(session, MODE_HISTORICAL)) > 20
    markers = [marker for frame in session.frames() for marker in frame.markers]
    assert [marker.kind for marker in markers if marker.kind == MARKER_GAP] == []
    [seam] = [marker for marker in markers if marker.kind == MARKER_SEAM]
    assert seam.gap_ns == 0
    assert seam.overlap_removed > 0
