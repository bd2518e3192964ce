"""The sink writes every record once, in order, whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.price.harness import Engine, Queue, read_logs
from tests.support.price_batches import expected_logs, make_batches

StartEngine = Callable[..., Engine]
CSV_HEADER = b"timestamp,arrival,ticker,sequence,mid\n"


@pytest.mark.quick
def test_undisturbed_run_writes_what_the_kernel_says(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    batches = make_batches(2_000)
    queue.publish(batches)

    engine = start_engine()
    announcement = queue.wait_committed(2_000)
    code = engine.stop()

    expected = expected_logs(batches)
    logs = read_logs(out)
    assert code == 0
    assert logs.mids == expected.mids
    assert logs.errors == expected.errors
    assert logs.csv == CSV_HEADER + expected.csv
    assert announcement["mid_bytes"] == len(expected.mids)
    assert announcement["error_bytes"] == len(expected.errors)
    assert queue.pending() == 0
