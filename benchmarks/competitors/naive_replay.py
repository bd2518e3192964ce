"""The usual glue: `python -m benchmarks.competitors.naive_replay OUT PIPELINED FILE...`.

csv.reader and fromisoformat, a heap over the files, one JSON entry per tick (PIPELINED of them per round trip), a reader
process with a consumer group, one line per tick. Prints {"seconds": s}: from the first byte read to the last line written.
"""

from __future__ import annotations

import csv
import heapq
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import redis

from services.runtime.embedded import EmbeddedRedis

THRESHOLD_MS: Final = 20.0
STREAM, GROUP = "ticks", "price"
READ_COUNT: Final = 1000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

Tick = tuple[int, int, int, list[str]]
"""Arrival in us, rank of the file, row, fields."""


def main() -> None:
    """Run producer and consumer once."""
    out, pipelined, paths = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        server = EmbeddedRedis.start(Path(directory), append_only=False)
        try:
            client = redis.Redis.from_url(server.url)
            client.xgroup_create(STREAM, GROUP, mkstream=True)
            ready = multiprocessing.Event()
            done: multiprocessing.Queue[float] = multiprocessing.Queue()
            reader = multiprocessing.Process(target=consume, args=(server.url, out, ready, done), daemon=True)
            reader.start()
            ready.wait()
            started = time.monotonic()
            produce(client, pipelined, paths)
            ended = done.get()
            reader.join()
        finally:
            server.stop()
    print(json.dumps({"seconds": ended - started}))


def produce(client: Any, pipelined: int, paths: list[str]) -> None:
    """Append one entry per tick, in order of arrival; an empty one ends the stream."""
    pipeline, waiting = client.pipeline(transaction=False), 0
    for _, _, _, fields in merged(paths):
        entry = {"t": fields[1], "s": fields[2], "a": fields[4], "b": fields[5], "l": fields[7]}
        if pipelined == 1:
            client.xadd(STREAM, {"j": json.dumps(entry)})
            continue
        pipeline.xadd(STREAM, {"j": json.dumps(entry)})
        waiting += 1
        if waiting == pipelined:
            pipeline.execute()
            waiting = 0
    pipeline.execute()
    client.xadd(STREAM, {"end": "1"})


def merged(paths: list[str]) -> Iterator[Tick]:
    """Merge the files by arrival; every file holds its rows back until nothing earlier can come."""
    yield from heapq.merge(*(by_arrival(path, rank) for rank, path in enumerate(paths)))


def by_arrival(path: str, rank: int) -> Iterator[Tick]:
    """Read one file, sorted by event time, in order of arrival."""
    heap: list[Tick] = []
    with open(path, newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for number, fields in enumerate(rows):
            event_us = microseconds(fields[1])
            heapq.heappush(heap, (event_us + round(float(fields[7]) * 1000), rank, number, fields))
            while heap[0][0] < event_us:
                yield heapq.heappop(heap)
    while heap:
        yield heapq.heappop(heap)


def microseconds(text: str) -> int:
    """Read a timestamp in UTC."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def consume(url: str, out: Path, ready: Any, done: Any) -> None:
    """Write one line per entry until the end."""
    client: Any = redis.Redis.from_url(url)
    with (out / "mid_prices.log").open("w") as mids, (out / "errors.log").open("w") as errors:
        ready.set()
        ended = False
        while not ended:
            answer = client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=READ_COUNT, block=1000)
            entries = answer[0][1] if answer else []
            for _, fields in entries:
                if b"end" in fields:
                    ended = True
                    break
                write_line(json.loads(fields[b"j"]), mids, errors)
            if entries:
                client.xack(STREAM, GROUP, *(entry_id for entry_id, _ in entries))
                client.xtrim(STREAM, minid=entries[-1][0], approximate=False)
    done.put(time.monotonic())


def write_line(tick: dict[str, str], mids: Any, errors: Any) -> None:
    """Filter, compute, format."""
    if float(tick["l"]) > THRESHOLD_MS:
        latency = tick["l"].rstrip("0").rstrip(".")
        errors.write(f"No mid price at {shown(tick['t'])} as latency {latency}ms is bigger than {THRESHOLD_MS:g}ms\n")
    else:
        mids.write(f"{shown(tick['t'])}, {0.5 * (float(tick['b']) + float(tick['a']))!r}\n")


def shown(text: str) -> str:
    """Spell the time with three digits where they say it all."""
    time_us = datetime.fromisoformat(text)
    return time_us.isoformat(" ", "milliseconds" if time_us.microsecond % 1000 == 0 else "microseconds")


if __name__ == "__main__":
    main()
