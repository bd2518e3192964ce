"""The live source with a feed that exists only here."""

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import MARKER_DISCONNECTED, MARKER_RECONNECTED
from services.replay.engine.feed_connection import FeedLink, OnMessages, ReceiveClock, without_credentials
from services.replay.engine.live import LiveSource
from tests.support.clock import FakeClock

GOOD = {
    "index": 1,
    "timestamp": "2025-10-02 23:59:57.290000",
    "ticker": "A",
    "ask_amount": 1,
    "ask_price": 2,
    "bid_price": 1,
    "bid_amount": 1,
}


def message(ticker: str = "A") -> bytes:
    return json.dumps(GOOD | {"ticker": ticker}).encode()


class ScriptedLink:
    """A connection that delivered its messages already, holds for a while, and breaks."""

    def __init__(self, clock: FakeClock, held_s: float, *, is_refusal: bool) -> None:
        self._clock = clock
        self._held_s = held_s
        self.is_refusal = is_refusal

    async def wait_closed(self) -> None:
        self._clock.advance(self._held_s)

    def end(self) -> None:
        pass

    def reason(self) -> str:
        return "too large" if self.is_refusal else "broken"


class ScriptedDialer:
    """Answers each attempt with the next step: an exception, or (messages, seconds that the connection holds)."""

    def __init__(
        self, clock: FakeClock, steps: list[Exception | tuple[list[bytes], float]], *, is_refusal: bool = False
    ) -> None:
        self._clock = clock
        self._is_refusal = is_refusal
        self._steps = steps
        self.attempts = 0

    async def __call__(self, on_messages: OnMessages) -> FeedLink:
        self.attempts += 1
        if not self._steps:
            raise asyncio.CancelledError
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        messages, held_s = step
        if messages:
            on_messages(self._clock.time_ns(), messages)
        return ScriptedLink(self._clock, held_s, is_refusal=self._is_refusal)


async def follow(
    steps: list[Exception | tuple[list[bytes], float]],
    *,
    seed: int = 1,
    tickers: frozenset[str] | None = None,
    is_refusal: bool = False,
) -> tuple[LiveSource, list[float], FakeClock]:
    clock, delays = FakeClock(), []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        clock.advance(seconds)

    dial = ScriptedDialer(clock, steps, is_refusal=is_refusal)
    source = LiveSource("ws://feed", dial=dial, clock=clock, random=Random(seed), tickers=tickers, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await source.follow()
    return source, delays, clock


async def test_messages_become_rows_and_garbage_becomes_rejections() -> None:
    source, _, _ = await follow([([message(), b"not json", b"[" + message() + b"," + message() + b"]"], 1.0)])
    block = Block(Tickers())

    poll = source.poll(block, 100)

    assert poll.rows == 4
    assert [row[0][2] for row in block.to_rows()] == [1, 2, 3, 3]
    assert sum(len(row) == 3 for row in block.to_rows()) == 1


async def test_a_loss_is_told_at_once_and_the_return_with_the_next_row() -> None:
    source, _, _ = await follow([([message()], 1.0), ([message()], 1.0), ([], 1.0), ([message()], 1.0)])
    block = Block(Tickers())

    polls = [source.poll(block, 100) for _ in range(5)]

    lost, back = MARKER_DISCONNECTED, MARKER_RECONNECTED
    kinds = [[marker.kind for marker in poll.markers] for poll in polls]
    assert [poll.rows for poll in polls] == [1, 1, 1, 0, 0]
    assert kinds == [[], [lost, back], [lost, back, lost, back], [lost], []]
    assert [poll.urgent for poll in polls] == [False, False, False, True, False]
    assert source.reconnects == 3


async def test_a_feed_that_is_back_without_a_row_is_not_told_yet() -> None:
    source, _, _ = await follow([([message()], 1.0), ([], 1.0)])
    block = Block(Tickers())

    source.poll(block, 100)
    poll = source.poll(block, 100)

    assert [marker.kind for marker in poll.markers] == [MARKER_DISCONNECTED, MARKER_RECONNECTED, MARKER_DISCONNECTED]
    assert poll.urgent


async def test_failures_before_the_first_connection_leave_no_marker_but_are_visible() -> None:
    source, delays, _ = await follow([OSError("refused"), TimeoutError("slow")])

    assert source.poll(Block(Tickers()), 100).markers == ()
    assert source.problem == "the live feed cannot be reached: slow"
    assert len(delays) == 2


async def test_accepting_and_closing_at_once_for_a_minute_gets_at_most_twelve_connections() -> None:
    counts = []
    for seed in range(200):
        _, delays, _ = await follow([([message()], 0.01)] * 40, seed=seed)
        elapsed, connects = 0.0, 1
        for delay in delays:
            elapsed += delay + 0.01
            if elapsed > 60:
                break
            connects += 1
        counts.append(connects)

    assert sorted(counts)[int(len(counts) * 0.95)] <= 12
    assert max(counts) <= 16


async def test_only_a_stable_connection_starts_the_delays_over() -> None:
    steps: list[Exception | tuple[list[bytes], float]] = [OSError()] * 10
    _, unstable, _ = await follow([*steps, ([message()], 29.0), *[OSError()] * 3], seed=3)
    _, stable, _ = await follow([*steps, ([message()], 31.0), *[OSError()] * 3], seed=3)

    assert max(stable[10:]) <= 4.0
    assert max(unstable[10:]) > 4.0


async def test_connections_that_all_end_in_a_refusal_do_not_start_the_delays_over() -> None:
    steps: list[Exception | tuple[list[bytes], float]] = [([message()], 31.0)] * 12
    _, refused, _ = await follow(list(steps), seed=3, is_refusal=True)
    _, broken, _ = await follow(steps, seed=3)

    assert max(refused) > 10.0
    assert max(broken) <= 1.0


async def test_a_refusal_stays_visible_until_a_connection_has_held() -> None:
    clock = FakeClock()
    source = LiveSource("ws://feed", dial=ScriptedDialer(clock, []), clock=clock, random=Random(1))
    source._refusal = "it sent too much"
    source._on_open()
    assert source.problem == "the live feed was lost before: it sent too much"

    clock.advance(31.0)

    assert source.problem == ""


async def test_delays_are_bounded_and_attempts_never_end() -> None:
    _, delays, _ = await follow([OSError()] * 300)

    assert len(delays) == 300
    assert max(delays) <= 60.0


async def test_rows_of_other_tickers_are_skipped() -> None:
    source, _, _ = await follow([([message("A"), message("B"), message("A")], 1.0)], tickers=frozenset({"B"}))
    block = Block(Tickers())

    poll = source.poll(block, 100)

    assert (poll.rows, source.skipped) == (1, 2)


def test_receive_times_follow_the_monotonic_clock_and_never_go_back() -> None:
    clock = FakeClock()
    received = ReceiveClock(time_ns=clock.time_ns, monotonic_ns=clock.monotonic_ns)
    first = received.now_ns()
    clock.jump_wall_ns(-3_600_000_000_000)
    clock.advance_ns(5)
    second = received.now_ns()
    received.anchor()
    third = received.now_ns()
    clock.jump_wall_ns(7_200_000_000_000)
    received.anchor()
    fourth = received.now_ns()

    assert second == first + 5
    assert third == second
    assert fourth > third


def test_stop_ends_a_connection_attempt_that_hangs() -> None:
    clock = FakeClock()

    class Hanging:
        async def __call__(self, on_messages: OnMessages) -> FeedLink:
            await asyncio.sleep(3600)
            raise AssertionError

    source = LiveSource("ws://feed", dial=Hanging(), clock=clock, random=Random(1))
    source.start(lambda: None)
    source.start(lambda: None)
    thread = source._thread

    source.stop()

    assert thread is not None
    assert not thread.is_alive()


def test_a_url_is_shown_without_secrets() -> None:
    assert without_credentials("wss://user:secret@host:1/path?token=x") == "wss://host:1/path"
