"""The consumer of several partitions that the documentation shows, as it shows it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from fastpath.frame import MARKER_DISCONTINUITY
from fastpath.records import Marker
from tests.integration.replay.test_woven_ticks import PartitionedQueue
from tests.support.woven import AT_LAST, Record, Tick, made_history, split

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "external_consumer.md"
EXAMPLE = ROOT / "examples" / "python" / "merged_consumer.py"


def documented_code() -> str:
    """The second Python block of the document."""
    return DOCUMENT.read_text().split("```python\n")[2].split("```")[0]


@pytest.fixture
def queue(redis_client: redis.Redis, session_name: str) -> PartitionedQueue:
    return PartitionedQueue(redis_client, session_name)


@pytest.mark.quick
def test_document_shows_the_example_that_is_run() -> None:
    assert documented_code() == EXAMPLE.read_text()
    imports = [line for line in documented_code().splitlines() if line.startswith(("import ", "from "))]
    allowed = ("redis", "protos.common.v1.market_pb2", "json", "sys", "time", "zlib", "collections")
    assert all(line.split()[1].startswith(allowed) for line in imports), imports


def test_documented_consumer_shows_the_one_order_over_a_seek(
    queue: PartitionedQueue, redis_url: str, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  shown when it fails
    rng = random.Random(seed)
    before, behind = made_history(rng, 200, 3), made_history(rng, 200, 3)
    seek = Marker(MARKER_DISCONTINUITY, revision=3)
    for partition, (first, last) in enumerate(zip(split(before, 3), split(behind, 3), strict=True)):
        queue.append(partition, [*first, seek])
        if last:
            queue.append(partition, last)
    queue.promise(AT_LAST)
    script = tmp_path / "consumer.py"
    script.write_text(documented_code())
    records = len(before) + len(behind) + 1

    done = subprocess.run(
        [sys.executable, str(script), redis_url, queue.session, str(records)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    told = [_text(record) for _, record in before] + ["KIND_DISCONTINUITY 3"] + [_text(record) for _, record in behind]
    assert done.stdout.splitlines() == told


def _text(record: Record) -> str:
    if isinstance(record, Tick):
        _, bid, _, ask, _ = record.columns()
        return f"{record.arrival_time_ns} {record.ticker} {bid} {ask}"
    assert not isinstance(record, Marker)
    return f"rejected {record.source}:{record.line}: {record.reason}"
