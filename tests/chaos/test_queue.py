"""P09, P11, P12: what happens to the queue in the middle of a replay leaves no trace in the logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import redis

from services.runtime.session.keys import SessionKeys
from tests.reference.history import expected_outputs
from tests.support.chaos import Chaos, TailReader, assert_exact, assert_logs_exact, can_see_processes
from tests.support.history_files import Quirks, write_files
from tests.support.made_ticks import made_outputs, write_made_ticks

pytestmark = pytest.mark.skipif(not can_see_processes(), reason="engines are found through /proc")

HEALS_S = 5.0
BATCH_BYTES = 1 << 20
HIGH_BYTES = 2 << 20

Damage = Callable[[redis.Redis, SessionKeys], object]
DAMAGES: dict[str, Damage] = {
    "everything": lambda client, keys: client.flushall(),
    "the stream": lambda client, keys: client.delete(keys.ticks),
    "the group": lambda client, keys: client.xgroup_destroy(keys.ticks, "price"),
    "the announcements": lambda client, keys: client.delete(keys.sinks),
    "the checkpoint": lambda client, keys: client.delete(keys.checkpoint),
    "the lease": lambda client, keys: client.delete(keys.lease),
}


@pytest.mark.long
def test_what_somebody_deletes_in_the_middle_heals_within_seconds(tmp_path: Path) -> None:
    """One after the other in one session; each time ticks have to flow again soon."""
    (tmp_path / "in").mkdir()
    files = write_files(tmp_path / "in", Random(12), 1, quirks=[Quirks(rows=12_000, step_us=3_000)])
    expected = expected_outputs(files)
    with (
        Chaos(tmp_path, seed=12, HISTORICAL=files[0], SPEED="1") as chaos,
        TailReader(chaos.out, expected) as reader,
        chaos.redis.client() as client,
    ):
        for name, damage in DAMAGES.items():
            flowing = chaos.log_bytes() + 1
            chaos.until(lambda least=flowing: chaos.log_bytes() > least, what="ticks")

            damage(client, chaos.keys)

            # What was on its way when it happened does not count.
            time.sleep(0.1)
            before = chaos.log_bytes()
            chaos.until(
                lambda least=before: chaos.log_bytes() > least, what=f"healing of {name}", timeout_s=HEALS_S, tend=False
            )
        sink = chaos.complete_at_full_speed()
        reader.assert_clean()
        assert_exact(chaos.out, expected, sink)
        assert [server.starts for server in chaos.servers.values()] == [2, 1]


@pytest.mark.nightly
@pytest.mark.parametrize("limit", ["high mark", "memory"])
def test_suspended_sink_bounds_the_queue_and_catches_up(tmp_path: Path, limit: str) -> None:
    rows = 120_000
    path = write_made_ticks(tmp_path / "made.csv", rows, step_us=10)
    expected = made_outputs(rows, step_us=10)
    options = ("--maxmemory", "5mb") if limit == "memory" else ()
    settings = {"HIGH_BYTES": str(HIGH_BYTES)} if limit == "high mark" else {}
    with (
        Chaos(
            tmp_path,
            seed=0,
            redis_options=options,
            HISTORICAL=str(path),
            SPEED="0.001",
            RETAIN_BYTES="65536",
            **settings,
        ) as chaos,
        TailReader(chaos.out, expected) as reader,
        chaos.redis.client() as client,
    ):
        chaos.until(lambda: chaos.log_bytes(), what="the first tick")
        with chaos.suspended("price engine"):
            chaos.servers["replay"].environment["MIDSTREAM_SPEED"] = "max"
            chaos.kill("replay")
            chaos.until(lambda: chaos.state().get("state") == "BACKPRESSURED", what="backpressure")
            waiting = chaos.state()
            # Backpressure is no reason to restart anything, nor to go on.
            chaos.tend_for(1.0)
            assert chaos.state()["last_sequence"] == waiting["last_sequence"] < rows
            assert chaos.state()["error"]
            if limit == "high mark":
                assert client.memory_usage(chaos.keys.ticks, samples=0) < 1.2 * HIGH_BYTES + BATCH_BYTES
            else:
                assert client.info("memory")["used_memory"] < 6 << 20
        sink = chaos.complete()
        reader.assert_clean()
        assert_logs_exact(chaos.out, expected)
        assert sink["counts"]["mids"] == rows
