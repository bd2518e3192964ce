"""Lines reach the file before the commit that covers them; whatever happens in between, no line is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.price.engine.disk import EARLY_BYTES
from tests.integration.price.harness import Engine, Queue, read_logs, wait_for
from tests.integration.price.test_sink import assert_exact
from tests.support.price_batches import Batch, expected_logs, make_batches

StartEngine = Callable[..., Engine]
# None but those of a moment without an entry.
NO_COMMIT = {"commit_records": 10_000_000, "commit_interval_ms": 600_000, "mids": True}
ROWS = 60_000
SITES = ("sink_before_write", "sink_between_writes", "sink_after_write")


def many_batches() -> list[Batch]:
    """Make batches whose text is written early about ten times."""
    batches = make_batches(ROWS, rows_per_batch=1_000)
    logs = expected_logs(batches)
    assert len(logs.mids) + len(logs.errors) + len(logs.csv) > 8 * EARLY_BYTES
    return batches


def test_lines_are_in_the_file_before_they_are_committed_and_cut_off_after_a_crash(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    batches = many_batches()
    expected = expected_logs(batches)
    # Stopped where the first commit begins: everything that is in the file was written early.
    queue.publish(batches)
    engine = start_engine(fault="sink_before_sync:1:stall", **NO_COMMIT)
    wait_for(lambda: len(read_logs(out).mids) > 0, what="a log that grows")
    assert queue.announcement()["sequence"] == 0
    engine.kill()
    left_behind = read_logs(out)
    assert expected.mids.startswith(left_behind.mids)
    assert expected.errors.startswith(left_behind.errors)

    start_engine(mids=True)
    queue.wait_committed(ROWS)

    assert_exact(out, batches)


@pytest.mark.parametrize("site", SITES)
def test_killed_while_lines_are_written_early_the_logs_end_up_identical(
    start_engine: StartEngine, queue: Queue, out: Path, site: str
) -> None:
    batches = many_batches()
    queue.publish(batches)

    assert start_engine(fault=f"{site}:3", **NO_COMMIT).wait_exit() == 137
    restarted = start_engine(**NO_COMMIT)
    queue.wait_committed(ROWS)

    assert restarted.stop() == 0
    assert_exact(out, batches)


@pytest.mark.parametrize("site", SITES)
def test_a_disk_that_fills_while_lines_are_written_early_ends_the_sink(
    start_engine: StartEngine, queue: Queue, out: Path, site: str
) -> None:
    batches = many_batches()
    queue.publish(batches)

    engine = start_engine(fault=f"{site}:3:enospc", **NO_COMMIT)
    assert engine.wait_exit() == 1

    stopped = engine.wait_report("stopped")
    assert "cannot write" in stopped["message"]
    assert queue.announcement()["finished_error"] == stopped["message"]
    assert queue.announcement()["sequence"] < ROWS
    assert queue.pending() > 0
    start_engine(**NO_COMMIT)
    queue.wait_committed(ROWS)
    assert_exact(out, batches)


def test_a_commit_under_way_counts_although_the_disk_fills_meanwhile(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    batches = many_batches()
    queue.publish(batches)

    engine = start_engine(
        fault="sink_before_write:4:enospc", commit_records=3_000, commit_interval_ms=600_000, mids=True
    )
    assert engine.wait_exit() == 1

    committed = queue.announcement()["sequence"]
    assert 0 < committed < ROWS
    # Whatever follows in the file belongs to no commit, and is cut off.
    assert queue.pending() > 0
    start_engine(**NO_COMMIT)
    queue.wait_committed(ROWS)
    assert_exact(out, batches)
