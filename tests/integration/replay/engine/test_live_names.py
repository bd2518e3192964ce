"""A live feed that invents names: it gets rejections, and takes no memory. Figures are printed (`-s` shows them)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.integration.replay.engine.harness import EngineChild, Session
from tests.support.process_figures import MIB, Peak
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]
TICK = {"timestamp": 1_759_449_597_290, "ask_amount": 1, "ask_price": 3, "bid_price": 1, "bid_amount": 1}
NAMES_MAX = 1_000
GROWTH_MAX = 150 * MIB
"""Frames that wait may take 64 MiB, and more than that is lost by name; what is sent fits. Entries of the queue may take as much again."""


def _long_names() -> Iterator[str]:
    for number in range(100):
        yield json.dumps({**TICK, "ticker": f"{number:03d}" + "x" * 500_000})


def _many_names() -> Iterator[str]:
    for first in range(0, 60_000, 500):
        yield json.dumps([{**TICK, "ticker": f"NAME-{number:07d}-{'x' * 200}"} for number in range(first, first + 500)])


@contextmanager
def _feed(messages: Callable[[], Iterator[str]]) -> Iterator[str]:
    """Send everything to whoever connects, and a last tick of a good name; then say nothing."""

    def handler(connection: ServerConnection) -> None:
        try:
            connection.send(json.dumps({**TICK, "ticker": "GOOD"}))
            for message in messages():
                connection.send(message)
            connection.send(json.dumps({**TICK, "ticker": "GOOD", "bid_price": 2}))
            connection.recv()
        except ConnectionClosed:
            return

    with serve(handler, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("messages", "rejected", "reason"),
    [
        pytest.param(_long_names, 100, "is longer than 256 bytes", id="100 names of 500 kB"),
        pytest.param(_many_names, 60_000 - NAMES_MAX + 1, "the session has 1000 already", id="60,000 names"),
    ],
)
def test_s16_names_of_a_feed_are_bounded_in_length_and_number(
    redis_aof_url: str,
    session_name: str,
    start_engine: Start,
    messages: Callable[[], Iterator[str]],
    rejected: int,
    reason: str,
) -> None:
    session = Session(redis_aof_url, session_name)
    with _feed(messages) as url:
        engine = start_engine(
            redis_aof_url,
            session_name,
            historical=[],
            live_url=url,
            live_tickers_max=NAMES_MAX,
            high_records=10_000_000,
        )
        wait_until(lambda: session.last_sequence() >= 1, what="the first tick")
        with Peak(engine.process.pid) as peak:
            wait_until(lambda: _last_price(session) == 2, timeout_s=60.0, what="the last tick")
        assert engine.stop() == 0

    print(f"{reason}: grown={peak.grown / MIB:.1f} MiB before: {peak.before} most: {peak.most}")  # noqa: T201
    frames = session.frames()
    reasons = [rejection.reason for frame in frames for rejection in frame.rejections]
    assert len(reasons) == rejected
    assert all(reason in each for each in reasons)
    names = {tick[1] for frame in frames for tick in frame.ticks()}
    assert len(names) <= NAMES_MAX
    assert peak.grown < GROWTH_MAX


def _last_price(session: Session) -> float:
    frames = session.frames()
    ticks = list(frames[-1].ticks()) if frames else []
    return float(ticks[-1][4]) if ticks else 0.0
