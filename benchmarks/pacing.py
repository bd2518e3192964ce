"""G9: how exactly ticks leave at the pace of the data, and how late they are in a consumer's hands."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import numpy as np
import redis

from benchmarks.context import Context
from benchmarks.data import TICKS_PER_SECOND
from benchmarks.results import Goal, Result
from benchmarks.wire import columns
from services.replay.engine.pacing import LINGER_NS
from services.runtime.embedded import EmbeddedRedis
from services.runtime.session.keys import SessionKeys

DEADLINES, DEADLINES_QUICK = 1500, 500
RATE: Final = 100_000
"""Ticks per second through the queue: the data's own rate times a speed."""
LISTEN_S, LISTEN_S_QUICK = 3.0, 1.0
SETTLE_S: Final = 0.5
"""The first moments are the start's, not the pace's."""
RUNS_MAX: Final = 3
LINGER_MS: Final = LINGER_NS / 1e6


def g9(context: Context) -> list[Result]:
    """Compare our waiter with time.sleep and asyncio.sleep; then measure a real engine at 100,000 ticks per second."""
    deadlines = str(DEADLINES_QUICK if context.quick else DEADLINES)
    found: dict[str, list[float]] = {"ours": [], "sleep": [], "asyncio": []}
    ratios, loop_ratios = [], []
    for seed in context.rounds():
        for how, values in found.items():
            values.append(context.answer("benchmarks.pacing_probe", how, str(seed), deadlines)["p99_us"])
        ratios.append(found["ours"][-1] / found["sleep"][-1])
        loop_ratios.append(found["ours"][-1] / found["asyncio"][-1])
        context.say(
            f"  p99 {found['ours'][-1]:.0f} us, time.sleep {found['sleep'][-1]:.0f} us, "
            f"asyncio.sleep {found['asyncio'][-1]:.0f} us"
        )
    late = [_queue_p99_ms(context) for _ in context.rounds(min(context.pairs, RUNS_MAX))]
    return [
        Result(
            "G9",
            "pacing, p99 of lateness",
            "time.sleep to the same deadlines",
            tuple(ratios),
            Goal(0.4, 0.25, lower_is_better=True),
            note=f"{min(found['ours']):.0f} us against {min(found['sleep']):.0f} us at best",
        ),
        Result(
            "G9a",
            "pacing, p99 of lateness",
            "asyncio.sleep to the same deadlines",
            tuple(loop_ratios),
            Goal(0.4, 0.25, lower_is_better=True),
            note=f"{min(found['ours']):.0f} us against {min(found['asyncio']):.0f} us at best",
        ),
        Result(
            "G9b",
            f"due -> consumer has it, p99 at {RATE // 1000}k ticks/s",
            "",
            tuple(late),
            Goal(LINGER_MS + 1, LINGER_MS + 0.3, lower_is_better=True),
            unit=" ms",
            note="over the fastest tick of the run, whose own delay is not known",
        ),
    ]


def _queue_p99_ms(context: Context) -> float:
    out = context.directory("paced")
    speed = RATE / TICKS_PER_SECOND
    server = EmbeddedRedis.start(out / "redis", append_only=False)
    try:
        settings = {
            "MIDSTREAM_REDIS_URL": server.url,
            "MIDSTREAM_HISTORICAL": json.dumps(context.data.paths),
            "MIDSTREAM_SPEED": str(speed),
            "MIDSTREAM_SINKS": "",
            "MIDSTREAM_OUT": str(out),
            "MIDSTREAM_REPLAY_PORT": "0",
            "MIDSTREAM_REPLAY_METRICS_PORT": "0",
            "MIDSTREAM_LOG_LEVEL": "warning",
        }
        with context.child("services.replay", log=out / "server.log", settings=settings):
            received = _listen(server.url, LISTEN_S_QUICK if context.quick else LISTEN_S)
    finally:
        server.stop()
    # Received minus due, but for one constant: when the first tick was due.
    late_ns = np.concatenate([at_ns - columns(batch)["arrival_time_ns"] / speed for at_ns, batch in received])
    rate = len(late_ns) / ((received[-1][0] - received[0][0]) / 1e9)
    if rate < 0.8 * RATE:
        raise AssertionError(f"the engine kept up {rate:,.0f} ticks/s only")
    p99_ms = float(np.percentile(late_ns - late_ns.min(), 99) / 1e6)
    context.say(f"  queue p99 {p99_ms:.2f} ms at {rate:,.0f} ticks/s")
    return p99_ms


def _listen(url: str, seconds: float) -> list[tuple[int, bytes]]:
    """Read the stream as a consumer for some time; returns when each batch was there."""
    client: Any = redis.Redis.from_url(url)
    key, after = SessionKeys("default").ticks, b"0"
    received: list[tuple[int, bytes]] = []
    begin_ns = 0
    while not begin_ns or time.monotonic_ns() < begin_ns + seconds * 1e9:
        answer = client.xread({key: after}, count=16, block=2000)
        now_ns = time.monotonic_ns()
        for entry_id, fields in answer[0][1] if answer else []:
            begin_ns = begin_ns or now_ns + round(SETTLE_S * 1e9)
            after = entry_id
            if now_ns >= begin_ns:
                received.append((now_ns, fields[b"b"]))
    client.close()
    return received
