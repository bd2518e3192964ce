"""Damaged files and a full Redis: noticed, survived or refused, never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.price.harness import Queue, read_logs, wait_for
from tests.integration.price.test_sink import SMALL_COMMITS, StartEngine, assert_exact
from tests.support.price_batches import expected_logs, make_batches


@pytest.mark.cases(2)
@pytest.mark.parametrize("damage", ["position gone", "log cut", "log gone", "position empty"])
def test_logs_and_position_that_do_not_belong_together_are_refused(
    start_engine: StartEngine, queue: Queue, out: Path, damage: str
) -> None:
    queue.publish(make_batches(500))
    first = start_engine()
    queue.wait_committed(500)
    assert first.stop() == 0
    match damage:
        case "position gone":
            (out / ".midstream" / "position").unlink()
        case "log cut":
            with (out / "mid_prices.log").open("r+b") as log:
                log.truncate(10)
        case "log gone":
            (out / "errors.log").unlink()
        case _:
            (out / ".midstream" / "position").write_bytes(b"")
    before = read_logs(out)

    refused = start_engine()

    assert refused.wait_exit() == 2
    assert "--overwrite" in refused.wait_report("refused")["message"]
    assert read_logs(out) == before


def test_torn_end_of_the_log_is_cut_when_the_sink_starts(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    batches = make_batches(1_000)
    queue.publish(batches[:5])
    first = start_engine()
    queue.wait_committed(500)
    first.kill()
    for name in ("mid_prices.log", "errors.log", "mid_prices.csv"):
        with (out / name).open("ab") as log:
            log.write(b"2025-01-01 00:00:00, 1")

    second = start_engine()
    second.wait_report("consuming")
    assert_exact(out, batches[:5])
    queue.publish(batches[5:])
    queue.wait_committed(1_000)

    assert_exact(out, batches)


def test_damaged_position_slot_continues_from_the_one_before(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    batches = make_batches(1_000)
    queue.publish(batches[:5])
    first = start_engine(**SMALL_COMMITS)
    queue.wait_committed(500)
    assert first.stop() == 0
    path = out / ".midstream" / "position"
    content = path.read_bytes()
    for slot in (0, len(content) // 2):
        damaged = bytearray(content)
        damaged[slot + 60] ^= 4
        path.write_bytes(damaged)
        engine = start_engine(**SMALL_COMMITS)
        queue.wait_committed(500)
        assert engine.stop() == 0
        assert_exact(out, batches[:5])
    queue.publish(batches[5:])
    start_engine(**SMALL_COMMITS)
    queue.wait_committed(1_000)

    assert_exact(out, batches)


def test_damaged_position_slot_keeps_the_log_when_the_queue_cannot_fill_it_again(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    batches = make_batches(1_000)
    first = start_engine()
    for batch in batches:
        queue.publish([batch])
        queue.wait_committed(batch.last_sequence)
    assert first.stop() == 0
    before = read_logs(out)
    path = out / ".midstream" / "position"
    content = path.read_bytes()
    newest = 0 if content.find(b'"sequence":1000') < len(content) // 2 else len(content) // 2
    path.write_bytes(content[:newest] + bytes(len(content) // 2) + content[newest + len(content) // 2 :])
    queue.client.xtrim(queue.keys.ticks, maxlen=0, approximate=False)

    queue.publish(make_batches(100, first_sequence=1_001))
    engine = start_engine()

    assert engine.wait_exit() == 1
    assert "missing" in engine.wait_report("stopped")["message"]
    assert read_logs(out) == before


def test_full_redis_still_gets_acknowledgements(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    batches = make_batches(1_000)
    queue.publish(batches)
    engine = start_engine(mids=True)
    queue.wait_committed(1_000)
    try:
        more = make_batches(500, first_sequence=1_001, seed=3)
        # From the moment these entries are there, Redis takes nothing that needs memory.
        pipeline = queue.client.pipeline(transaction=True)
        for batch in more:
            pipeline.xadd(queue.keys.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
        pipeline.config_set("maxmemory", "1")
        pipeline.execute()
        wait_for(lambda: queue.pending() == 0 and read_logs(out).mids == expected_logs(batches + more).mids,
                 what="commit and acknowledgement")  # fmt: skip
    finally:
        queue.client.config_set("maxmemory", "0")
    assert engine.stop() == 0
    assert_exact(out, batches + more)
