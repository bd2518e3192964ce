"""What the model of docs/scale.md is made of: measured costs, read from where they were written, and what is assumed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import page
from benchmarks.partition_costs import COUNTS, ENGINE, MEASURED, REDIS, SINK
from fastpath.columns import Block, Tickers
from fastpath.frame import BATCH_ROWS_MAX, MODE_HISTORICAL, encode_batch
from services.replay.queue.model import QueueLimits

NS: Final = 1e-9


@dataclass(frozen=True)
class Assumed:
    """A machine of the kind that one rents, and how it is used. Nobody measured these."""

    cores: int = 16
    memory_bytes: int = 64 << 30
    network_bytes_s: float = 10e9 / 8
    busy: float = 0.5
    """What part of a core's time may be used: the rest is for bursts, and for what a dead machine leaves."""
    readers: int = 3
    """Subscribers to everything, each of its own."""
    replicas: int = 1
    session_partitions_max: int = 8
    """Beyond this many partitions a session is cut in two, by sources: each engine reads the rows of all."""
    weave_ns: float = 100.0
    """What one order of several partitions takes a tick: ten million a second of a core is what benchmark G16 must do."""


@dataclass(frozen=True)
class Costs:
    """Of one tick, CPU in ns; memory and connections of one partition."""

    own_ns: float
    other_ns: float
    """Of an engine, for a row that is another partition's."""
    redis_ns: float
    sink_ns: float
    deliver_ns: float
    live_ns: float
    """A live message of one tick, from the socket to the queue; all roles."""
    tick_bytes: float
    partition_bytes: int
    """Engine and sink, and what its queue may hold, once."""
    connections: float
    load: float
    """Of the machine when that was measured."""
    measured: dict[int, dict[str, float]]
    """CPU a tick by role, and "wall", by number of partitions."""


def load() -> Costs:
    """Read what was measured last."""
    content = json.loads(MEASURED.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = content["partitions"]
    rows = {count: found[str(count)] for count in COUNTS}
    own, other = fit({count - 1: row[ENGINE] for count, row in rows.items()})
    _, connections = fit({count: row["connections"] for count, row in rows.items()})
    notes = {result.id: result.note for result in page.load()[1]}
    queue = QueueLimits()
    largest = rows[max(rows)]["peak_bytes"]
    return Costs(
        own_ns=own,
        other_ns=other,
        redis_ns=rows[1][REDIS],
        sink_ns=rows[1][SINK],
        deliver_ns=number(r"a delivered tick takes (\d+) ns", notes["G7b"]),
        live_ns=1e9 / number(r"([\d,]+) frames/s of one tick", notes["G10"]),
        tick_bytes=bytes_per_tick(),
        partition_bytes=int(sum(largest.values())) + queue.high_bytes + queue.retain_bytes,
        connections=connections,
        load=content["load"],
        measured={
            count: {name: float(row[name]) for name in (ENGINE, SINK, REDIS, "wall")} for count, row in rows.items()
        },
    )


def number(pattern: str, note: str) -> float:
    """Read a figure out of a benchmark's note. Raises ValueError where the note says something else now."""
    found = re.search(pattern, note)
    if found is None:
        raise ValueError(f"no {pattern!r} in {note!r}: the benchmark says it in other words now")
    return float(found[1].replace(",", ""))


def fit(points: dict[int, float]) -> tuple[float, float]:
    """Return intercept and slope of the straight line through points, by least squares."""
    mean_x, mean_y = sum(points) / len(points), sum(points.values()) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points.items()) / sum((x - mean_x) ** 2 for x in points)
    return mean_y - slope * mean_x, slope


def bytes_per_tick() -> float:
    """Encode a full batch, as engines of several partitions do."""
    block = Block(Tickers())
    for row in range(BATCH_ROWS_MAX):
        block.append_tick(
            f"COIN{row % 50}/USDT",
            arrival_time_ns=row,
            event_time_ns=row,
            bid_price=1.0,
            bid_amount=1.0,
            ask_price=2.0,
            ask_amount=1.0,
            row=row + 1,
        )
    encoded, rows, _ = encode_batch(
        block, 0, len(block), epoch="e" * 16, mode=MODE_HISTORICAL, first_sequence=1, sources=["s"], tie_order=True
    )
    return len(encoded) / rows
