"""The consumer that the documentation shows, as it shows it, beside the product's own sink."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.runtime.session.keys import SessionKeys
from tests.support.cli import ROOT, kill, until
from tests.support.made_ticks import MADE_START_NS, MADE_TICKERS, write_made_ticks
from tests.support.redis_server import RedisForTests
from tests.support.serving import serving

DOCUMENT = ROOT / "docs" / "external_consumer.md"
EXAMPLE = ROOT / "examples" / "python" / "external_consumer.py"
ROWS = 60_000


def documented_code() -> str:
    """The Python block of the document."""
    return DOCUMENT.read_text().split("```python\n")[1].split("```")[0]


@pytest.mark.quick
def test_document_shows_the_example_that_is_run() -> None:
    assert documented_code() == EXAMPLE.read_text()
    imports = [line for line in documented_code().splitlines() if line.startswith(("import ", "from "))]
    allowed = ("redis", "protos.common.v1.market_pb2", "sys", "time", "collections")
    assert all(line.split()[1].startswith(allowed) for line in imports), imports


def test_documented_consumer_gets_every_tick_once_although_it_is_killed(
    tmp_path: Path, new_redis: Callable[..., RedisForTests]
) -> None:
    redis_server = new_redis(append_only=True)
    script = tmp_path / "consumer.py"
    script.write_text(documented_code())
    made = write_made_ticks(tmp_path / "made.csv", ROWS, step_us=10)
    keys = SessionKeys("default")

    def start(output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as stdout:
            return subprocess.Popen(
                [sys.executable, str(script), redis_server.url, "default", "mine", str(ROWS)],
                stdout=stdout,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    with contextlib.closing(redis_server.client()) as client:
        first = start(tmp_path / "first")
        try:
            # Its group is there before anything is published, so it gets everything.
            until(lambda: client.exists(keys.ticks), what="the group")
            with serving(
                tmp_path / "out", ("replay", "control", "price"), REDIS_URL=redis_server.url, HISTORICAL=str(made)
            ) as servers:
                until(lambda: (tmp_path / "first").stat().st_size > 600_000, what="some batches")
                kill(first)
                pending = int(client.xpending(keys.ticks, "mine")["pending"])
                second = start(tmp_path / "second")
                try:
                    assert second.wait(timeout=60) == 0
                finally:
                    kill(second)
                servers.wait_committed(ROWS)
        finally:
            kill(first)

    before = (tmp_path / "first").read_bytes().rpartition(b"\n")[0].splitlines()
    after = (tmp_path / "second").read_bytes().splitlines()
    assert pending > 0
    assert before == expected_lines()[: len(before)]
    # What it had worked on and not acknowledged comes again, nothing is left out, and it ends with the last tick.
    assert ROWS - len(before) <= len(after) < ROWS
    assert after == expected_lines()[ROWS - len(after) :]


@pytest.mark.long
def test_documented_consumer_survives_a_restart_of_the_redis_under_it(
    tmp_path: Path, new_redis: Callable[..., RedisForTests]
) -> None:
    redis_server = new_redis(append_only=True)
    script, output, complaints = (tmp_path / name for name in ("consumer.py", "ticks", "complaints"))
    script.write_text(documented_code())
    made = write_made_ticks(tmp_path / "made.csv", ROWS, step_us=10)
    keys = SessionKeys("default")
    with output.open("wb") as stdout, complaints.open("wb") as stderr:
        consumer = subprocess.Popen(
            [sys.executable, str(script), redis_server.url, "default", "mine", str(ROWS)],
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        with contextlib.closing(redis_server.client()) as client:
            until(lambda: client.exists(keys.ticks), what="the group")
        with serving(
            tmp_path / "out", ("replay", "control", "price"), REDIS_URL=redis_server.url, HISTORICAL=str(made)
        ) as servers:
            until(lambda: output.stat().st_size > 600_000, what="some batches")
            redis_server.restart()
            assert consumer.wait(timeout=60) == 0, complaints.read_text()
            servers.wait_committed(ROWS)
    finally:
        kill(consumer)

    assert output.read_bytes().splitlines() == expected_lines()


def test_documented_consumer_waits_for_a_redis_that_is_not_there_yet(
    tmp_path: Path, new_redis: Callable[..., RedisForTests]
) -> None:
    redis_server = new_redis(append_only=True)
    redis_server.kill()
    script, complaints = tmp_path / "consumer.py", tmp_path / "complaints"
    script.write_text(documented_code())
    with complaints.open("wb") as stderr:
        consumer = subprocess.Popen(
            [sys.executable, str(script), redis_server.url, "default", "mine"],
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        until(lambda: b"waiting for Redis" in complaints.read_bytes(), what="a word about Redis")
        redis_server.restart()
        with contextlib.closing(redis_server.client()) as client:
            until(lambda: client.exists(SessionKeys("default").ticks), what="the group")
        assert consumer.poll() is None
    finally:
        kill(consumer)


def expected_lines() -> list[bytes]:
    lines = []
    for row in range(1, ROWS + 1):
        event_ns = MADE_START_NS + row * 10_000
        ticker = MADE_TICKERS[row % len(MADE_TICKERS)]
        lines.append(f"{event_ns} {event_ns + 5_000_000} {ticker} {row}.0 {row + 1}.0".encode())
    return lines
