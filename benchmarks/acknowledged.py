"""What each level of MIDSTREAM_ACKNOWLEDGED costs, on a primary and a replica of this machine: `python -m benchmarks.acknowledged`."""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from fastpath.columns import Block, Tickers
from fastpath.frame import BATCH_ROWS_MAX, MODE_HISTORICAL, encode_batch
from services.replay.queue import Level, Publisher, QueueLimits, SinkExpectation
from services.runtime.clock import SystemClock
from services.runtime.connection import connect
from services.runtime.embedded import EmbeddedRedis
from services.runtime.session.keys import SessionKeys

ROUNDS: Final = 5
FULL: Final = (400, BATCH_ROWS_MAX)
"""Batches and their ticks: history as fast as it goes."""
SMALL: Final = (1000, 1)
"""A tick at a time, each waited for: what live data sees."""
CASES: Final = (
    ("memory", Level.MEMORY, "everysec"),
    ("replica", Level.REPLICA, "everysec"),
    ("durable, appendfsync always", Level.DURABLE, "always"),
)


def main() -> None:
    """Print a row for each level: medians of rounds that took turns."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name, _, _ in CASES}
    with tempfile.TemporaryDirectory(prefix="midstream-bench-") as directory:
        port, other = _free_ports()
        primary = EmbeddedRedis.start(Path(directory) / "primary", append_only=True, extra=_listening(port))
        replica = EmbeddedRedis.start(
            Path(directory) / "replica",
            append_only=True,
            extra=(*_listening(other), "--replicaof", f"127.0.0.1 {port}"),
        )
        try:
            for _ in range(ROUNDS):
                for name, level, fsync in CASES:
                    found[name].append(_measure(primary, replica, level, fsync))
        finally:
            replica.stop()
            primary.stop()
    for name, rounds in found.items():
        rate, cpu_ns, wait_us = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{name:<28} {rate / 1e6:6.2f} M ticks/s {cpu_ns:6.1f} ns of CPU a tick {wait_us:8.0f} us to be acknowledged"
        )


def _measure(primary: EmbeddedRedis, replica: EmbeddedRedis, level: Level, fsync: str) -> tuple[float, float, float]:
    """Ticks per second, CPU of all three processes per tick, and how long a tick by itself takes."""
    with connect(primary.url, client_name="bench") as client:
        admin: Any = client
        admin.flushall()
        admin.config_set("appendfsync", fsync)
        while not admin.wait(1, 1000):
            admin.set("not yet", "")
    pids = os.getpid(), primary.pid, replica.pid
    publisher = Publisher(
        url=primary.url,
        keys=SessionKeys("bench"),
        limits=QueueLimits(high_bytes=1 << 40, high_records=1 << 40, retain_bytes=64 << 20),
        sinks=SinkExpectation(grace_s=0.0),
        live_configured=False,
        stopping=threading.Event(),
        clock=SystemClock(),
        random=Random(),
        on_state=lambda _state: None,
        acknowledged=level,
    )
    try:
        adopted = publisher.adopt()
        batches, sequence = _batches(adopted.epoch, 1, *FULL)
        began_s, began_cpu_s = time.perf_counter(), sum(map(_cpu_s, pids))
        for encoded, first, last in batches:
            publisher.publish(encoded, first, last, wake=_NEVER, arrival_time_ns=0)
        publisher.flush()
        took_s, cpu_s = time.perf_counter() - began_s, sum(map(_cpu_s, pids)) - began_cpu_s
        waits = []
        for encoded, first, last in _batches(adopted.epoch, sequence, *SMALL)[0]:
            began_s = time.perf_counter()
            publisher.publish(encoded, first, last, wake=_NEVER, arrival_time_ns=0, urgent=True)
            publisher.flush()
            waits.append(time.perf_counter() - began_s)
    finally:
        publisher.close()
    ticks = FULL[0] * FULL[1]
    return ticks / took_s, cpu_s / ticks * 1e9, statistics.median(waits) * 1e6


def _listening(port: int) -> tuple[str, ...]:
    # A replica comes by TCP only.
    return ("--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


_NEVER: Final = threading.Event()


def _batches(epoch: str, sequence: int, count: int, rows: int) -> tuple[list[tuple[bytes, int, int]], int]:
    block = Block(Tickers())
    for row in range(rows):
        block.append_tick(
            f"T{row % 50}",
            arrival_time_ns=1_735_689_600_000_000_000 + row * 1_000_000,
            event_time_ns=1_735_689_600_000_000_000 + row * 999_000,
            bid_price=100.0 + row % 97 / 8,
            bid_amount=1.5,
            ask_price=101.0 + row % 89 / 8,
            ask_amount=2.5,
            row=row + 1,
        )
    made = []
    for _ in range(count):
        encoded, _, last = encode_batch(
            block, 0, rows, epoch=epoch, mode=MODE_HISTORICAL, first_sequence=sequence, sources=["bench"]
        )
        made.append((encoded, sequence, last))
        sequence = last + 1
    return made, sequence


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
