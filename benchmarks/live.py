"""G10: from a websocket into the queue, as fast as it goes. Both sides write to a Redis with an append-only file."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import redis

from benchmarks import firehose
from benchmarks.competitors.naive_live import STREAM
from benchmarks.context import Context
from benchmarks.results import Goal, Result
from benchmarks.wire import columns
from fastpath.frame import peek
from services.runtime.embedded import EmbeddedRedis
from services.runtime.session.keys import SessionKeys

FRAMES, FRAMES_QUICK = 200_000, 50_000
NAIVE_FRAMES, NAIVE_FRAMES_QUICK = 10_000, 3_000
PATIENCE_S: Final = 120.0
POLL_S: Final = 0.005
BATCH_ROWS_MAX: Final = 4096
NEWEST_ID: Final = "local e = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1) return e[1] and e[1][1]"


def g10(context: Context) -> list[Result]:
    """Compare rates; the naive side gets fewer frames of the same feed, since it is so much slower."""
    frames = FRAMES_QUICK if context.quick else FRAMES
    few = NAIVE_FRAMES_QUICK if context.quick else NAIVE_FRAMES
    rates: list[float] = []
    naive: list[float] = []

    def ours() -> float:
        rates.append(frames / _ours(context, frames))
        return 1 / rates[-1]

    def theirs() -> float:
        naive.append(few / _naive(context, few))
        return 1 / naive[-1]

    ratios = context.pairs_of(ours, theirs)
    return [
        Result(
            "G10",
            "live websocket -> queue",
            "websockets, json, one XADD per tick",
            tuple(ratios),
            Goal(5, 10),
            note=f"{max(rates):,.0f} frames/s of one tick against {max(naive):,.0f} at best; nothing lost",
        )
    ]


def _ours(context: Context, frames: int) -> float:
    """Seconds from the feed's first byte until every tick is in the stream."""
    out = context.directory("live")
    keys = SessionKeys("default")
    with _redis(context) as server, firehose_of(context, frames) as (port, feed):
        settings = {
            "MIDSTREAM_REDIS_URL": server.url,
            "MIDSTREAM_LIVE_URL": f"ws://127.0.0.1:{port}",
            "MIDSTREAM_START_MODE": "live",
            "MIDSTREAM_SINKS": "",
            "MIDSTREAM_RETAIN_BYTES": str(1 << 30),
            "MIDSTREAM_OUT": str(out),
            "MIDSTREAM_REPLAY_PORT": "0",
            "MIDSTREAM_REPLAY_METRICS_PORT": "0",
            "MIDSTREAM_LOG_LEVEL": "warning",
        }
        with context.child("services.replay", log=out / "server.log", settings=settings):
            assert feed.stdout is not None
            begin = float(feed.stdout.readline())
            client: Any = redis.Redis.from_url(server.url)
            newest = client.register_script(NEWEST_ID)
            deadline = time.monotonic() + PATIENCE_S
            while True:
                entry_id = newest(keys=[keys.ticks])
                if entry_id is not None and int(entry_id.split(b"-")[1]) > frames - BATCH_ROWS_MAX:
                    head = peek(client.xrevrange(keys.ticks, count=1)[0][1][b"b"])
                    if head.last_sequence >= frames:
                        break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the feed did not come in: {(out / 'server.log').read_text()[-2000:]}")
                time.sleep(POLL_S)
            seconds = time.monotonic() - begin
            _check(client, keys, frames)
            client.close()
    return seconds


def _check(client: Any, keys: SessionKeys, frames: int) -> None:
    """Raise AssertionError unless every tick of the feed is there, in its order."""
    parts = [columns(fields[b"b"]) for _, fields in client.xrange(keys.ticks)]
    times = np.concatenate([part["event_time_ns"] for part in parts])
    if not np.array_equal(times, np.array(firehose.event_times_us(frames)) * 1000):
        raise AssertionError(f"{len(times)} of {frames} live ticks are in the stream, or their order is another")


def _naive(context: Context, frames: int) -> float:
    out = context.directory("naive-live")
    module = "benchmarks.competitors.naive_live"
    with (
        _redis(context) as server,
        firehose_of(context, frames) as (port, feed),
        context.child(module, str(port), server.url, str(frames), log=out / "naive.log") as process,
    ):
        assert feed.stdout is not None
        assert process.stdout is not None
        begin = float(feed.stdout.readline())
        end = float(json.loads(process.stdout.readline())["end"])
        client: Any = redis.Redis.from_url(server.url)
        if client.xlen(STREAM) != frames:
            raise AssertionError("the naive ingest lost ticks")
        client.close()
    return end - begin


@contextlib.contextmanager
def _redis(context: Context) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis.start(context.directory("live-redis"), append_only=True)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def firehose_of(context: Context, frames: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Keep a feed of so many frames running for a block; gives its port, and the process, which prints when it begins to send."""
    log = context.directory("firehose") / "firehose.log"
    with context.child("benchmarks.firehose", str(frames), log=log) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
