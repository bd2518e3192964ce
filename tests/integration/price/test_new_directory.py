"""A sink on other logs than those that its group was read for: it takes what the queue still holds, or stops loudly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.integration.price.harness import Engine, Queue
from tests.integration.price.test_sink import assert_exact
from tests.support.price_batches import make_batches

StartEngine = Callable[..., Engine]


def start_over(queue: Queue) -> None:
    """Forget what the sink before this one announced, so that a test waits for the next one's word."""
    queue.client.delete(queue.keys.sinks)


def test_new_directory_gets_everything_that_its_group_has_read(
    start_engine: StartEngine, queue: Queue, out: Path, tmp_path: Path
) -> None:
    batches = make_batches(2_000)
    queue.publish(batches)
    first = start_engine()
    queue.wait_committed(2_000)
    first.stop()

    start_over(queue)
    start_engine(out=str(tmp_path / "other"))
    queue.wait_committed(2_000)

    assert_exact(tmp_path / "other", batches)


def test_older_copy_of_a_directory_catches_up(
    start_engine: StartEngine, queue: Queue, out: Path, tmp_path: Path
) -> None:
    batches = make_batches(2_000)
    queue.publish(batches[: len(batches) // 2])
    first = start_engine()
    queue.wait_committed(batches[len(batches) // 2 - 1].last_sequence)
    first.stop()
    shutil.copytree(out, tmp_path / "copy")
    queue.publish(batches[len(batches) // 2 :])
    second = start_engine()
    queue.wait_committed(2_000)
    second.stop()

    start_over(queue)
    start_engine(out=str(tmp_path / "copy"))
    queue.wait_committed(2_000)

    assert_exact(tmp_path / "copy", batches)


def test_new_directory_whose_beginning_is_trimmed_stops_loudly(
    start_engine: StartEngine, queue: Queue, tmp_path: Path
) -> None:
    batches = make_batches(2_000)
    queue.publish(batches)
    first = start_engine()
    queue.wait_committed(2_000)
    first.stop()
    queue.client.xtrim(queue.keys.ticks, maxlen=2, approximate=False)

    engine = start_engine(out=str(tmp_path / "other"))
    stopped = engine.wait_report("stopped")

    assert "are missing from the queue" in stopped["message"]
    assert "another directory and session" in stopped["message"]
    assert engine.wait_exit() == 1
