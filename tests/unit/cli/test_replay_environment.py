"""What `midstream replay` hands to its servers about the queue between them."""

from __future__ import annotations

import pytest

from services.cli.replay_command import HIGH_BYTES, RETAIN_BYTES, ReplayRun, _environment
from services.cli.run_directory import RunDirectory
from services.price.engine.options import EngineOptions
from services.replay.queue.model import QueueLimits
from tests.support.price_batches import make_batches
from tests.unit.cli.test_run_directory import OPTIONS

BATCH_RECORDS = 4096


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> ReplayRun:
    directory = RunDirectory(tmp_path_factory.mktemp("out"))
    return ReplayRun(OPTIONS, directory, redis_url=None, resume=False, overwrite=False, as_json=False)


def test_queue_in_a_private_redis_is_smaller_than_that_of_a_server(run: ReplayRun) -> None:
    private, shared = (_environment(run, "unix:///redis.sock", is_private) for is_private in (True, False))

    assert private["MIDSTREAM_HIGH_BYTES"] == str(HIGH_BYTES)
    assert private["MIDSTREAM_RETAIN_BYTES"] == str(RETAIN_BYTES)
    assert {"MIDSTREAM_HIGH_BYTES", "MIDSTREAM_RETAIN_BYTES"}.isdisjoint(shared)
    assert QueueLimits().high_bytes > HIGH_BYTES + RETAIN_BYTES


def test_queue_holds_more_than_the_sink_has_in_hand() -> None:
    # It takes up to two commits of records while a third is on its way to the disk, and acknowledges none of them before.
    in_hand = 3 * EngineOptions.commit_records
    batch = len(make_batches(BATCH_RECORDS, rows_per_batch=BATCH_RECORDS)[0].payload)

    assert 1.5 * in_hand / BATCH_RECORDS * batch < HIGH_BYTES
