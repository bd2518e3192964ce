"""G5: how fast payloads get into the stream, against redis-benchmark with the same payload size and pipelining."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import redis

from benchmarks.context import Context
from benchmarks.ordering import Feeder
from benchmarks.results import Goal, Result
from fastpath.columns import Block, Tickers
from fastpath.frame import BATCH_ROWS_MAX, MODE_HISTORICAL, encode_batch
from services.replay.queue import Publisher, QueueLimits, SinkExpectation
from services.replay.queue.pipeline import BATCHES_PER_TRANSACTION
from services.runtime.clock import SystemClock
from services.runtime.embedded import EmbeddedRedis
from services.runtime.session.keys import SessionKeys

ENTRIES: Final = 1500
RETAIN_BYTES: Final = 64 << 20
HIGH_BYTES: Final = 1 << 40
SESSION: Final = "bench"


def g5(context: Context) -> list[Result]:
    """Append the same number of entries of the same size with both."""
    what, goal = "XADD bandwidth, batches of 4,096 ticks", Goal(0.6, 0.8)
    tool = shutil.which("redis-benchmark")
    if tool is None:
        return [Result("G5", what, "redis-benchmark", (), goal, skipped="redis-benchmark is not installed")]
    block = _block(context)
    size = len(_batch(block, "0" * 16, 1)[0])
    rates: list[float] = []
    own_cpu: list[float] = []
    with _private_redis(context) as server:

        def ours() -> float:
            seconds, cpu_s = _publish(server.url, block)
            rates.append(ENTRIES * size / seconds / 1e6)
            own_cpu.append(cpu_s / ENTRIES)
            return seconds

        ratios = context.pairs_of(ours, lambda: _redis_benchmark(tool, server, size))
    return [
        Result(
            "G5",
            what,
            f"redis-benchmark -P {BATCHES_PER_TRANSACTION}, {size / 1000:.0f} kB",
            tuple(ratios),
            goal,
            note=(
                f"{max(rates):,.0f} MB/s at best, {max(rates) * 1e6 / size * BATCH_ROWS_MAX / 1e6:.1f} M ticks/s, exactly once "
                f"(MULTI, fence, explicit ids); the publisher takes {1e6 * min(own_cpu):.0f} us of CPU per entry"
            ),
        )
    ]


def _block(context: Context) -> Block:
    tickers = Tickers()
    block, source = Block(tickers), Feeder(context.data.paths[0], 0, tickers)
    while len(block) < BATCH_ROWS_MAX:
        source.feed(block, BATCH_ROWS_MAX)
    return block


def _batch(block: Block, epoch: str, first_sequence: int) -> tuple[bytes, int]:
    encoded, rows, last = encode_batch(
        block, 0, BATCH_ROWS_MAX, epoch=epoch, mode=MODE_HISTORICAL, first_sequence=first_sequence, sources=["bench"]
    )
    assert rows == BATCH_ROWS_MAX
    return encoded, last


@contextlib.contextmanager
def _private_redis(context: Context) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis.start(context.directory("redis"), append_only=False)
    try:
        yield server
    finally:
        server.stop()


def _publish(url: str, block: Block) -> tuple[float, float]:
    """Publish into an empty session; returns seconds until everything is acknowledged, and CPU seconds of this thread."""
    client: Any = redis.Redis.from_url(url)
    client.flushall()
    publisher = Publisher(
        url=url,
        keys=SessionKeys(SESSION),
        limits=QueueLimits(high_bytes=HIGH_BYTES, high_records=HIGH_BYTES, retain_bytes=RETAIN_BYTES),
        sinks=SinkExpectation(grace_s=0.1),
        live_configured=False,
        stopping=threading.Event(),
        clock=SystemClock(),
        random=Random(),
        on_state=lambda _state: None,
    )
    try:
        adopted = publisher.adopt()
        batches, sequence = [], adopted.next_sequence
        for _ in range(ENTRIES):
            encoded, last = _batch(block, adopted.epoch, sequence)
            batches.append((encoded, sequence, last))
            sequence = last + 1
        wake = threading.Event()
        started, cpu_started = time.perf_counter(), time.thread_time()
        for encoded, first, last in batches:
            publisher.publish(encoded, first, last, wake=wake, arrival_time_ns=0)
        publisher.flush()
        seconds, cpu_s = time.perf_counter() - started, time.thread_time() - cpu_started
        newest = client.xrevrange(SessionKeys(SESSION).ticks, count=1)[0]
        if newest != (b"0-%d" % batches[-1][1], {b"b": batches[-1][0]}):
            raise AssertionError("the newest entry is not the last batch")
        return seconds, cpu_s
    finally:
        publisher.close()
        client.close()


def _redis_benchmark(tool: str, server: EmbeddedRedis, size: int) -> float:
    """Seconds for as many entries of the same size; the stream is kept as long as ours by MAXLEN."""
    socket = server.url.removeprefix("unix://")
    client: Any = redis.Redis.from_url(server.url)
    client.flushall()
    kept = max(1, RETAIN_BYTES // size)
    command = [tool, "-s", socket, "-c", "1", "-P", str(BATCHES_PER_TRANSACTION), "-n", str(ENTRIES), "--csv", "-x"]
    command += ["XADD", "bench", "MAXLEN", "=", str(kept), "*", "b"]
    found = subprocess.run(command, input=b"x" * size, capture_output=True, check=True, timeout=120)
    if client.xlen("bench") != min(kept, ENTRIES) or len(client.xrevrange("bench", count=1)[0][1][b"b"]) != size:
        raise AssertionError(f"redis-benchmark did something else: {found.stdout!r} {found.stderr!r}")
    client.close()
    rate = next(line.split(b",")[1] for line in reversed(found.stdout.splitlines()) if line.startswith(b'"XADD'))
    return ENTRIES / float(rate.strip(b'"'))
