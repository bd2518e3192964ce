"""The sink writes every record once, in order, whatever happens to it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from fastpath.frame import MARKER_GAP, MODE_LIVE, encode_cursor
from fastpath.records import Cursor, Marker, SourceCursor
from tests.integration.price.harness import Engine, Queue, read_logs, wait_for
from tests.integration.price.redis_proxy import ReplyDropper
from tests.support.price_batches import Batch, expected_logs, make_batches, marker_batch

StartEngine = Callable[..., Engine]
CSV_HEADER = b"timestamp,arrival,ticker,sequence,mid\n"
SMALL_COMMITS = {"commit_records": 100, "commit_interval_ms": 1, "read_count": 1}
"""At most 300 records per commit."""
SITES = (
    "sink_before_mids",
    "sink_after_mids",
    "sink_before_write",
    "sink_between_writes",
    "sink_after_write",
    "sink_before_sync",
    "sink_after_sync",
    "sink_before_position",
    "sink_after_position",
    "sink_before_ack",
    "sink_after_ack",
)


def assert_exact(out: Path, batches: Sequence[Batch]) -> None:
    """The three files are byte for byte those of an undisturbed run, and every record is accounted for."""
    expected, logs = expected_logs(batches), read_logs(out)
    assert logs.mids == expected.mids
    assert logs.errors == expected.errors
    assert logs.csv == CSV_HEADER + expected.csv


@pytest.mark.quick
def test_undisturbed_run_writes_what_the_kernel_says(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    batches = make_batches(2_000)
    queue.publish(batches)

    engine = start_engine()
    announcement = queue.wait_committed(2_000)
    code = engine.stop()

    assert code == 0
    assert_exact(out, batches)
    counts = announcement["counts"]
    assert counts["mids"] + counts["latency_filtered"] + counts["missing_side"] + counts["rejected"] == 2_000
    assert announcement["mid_bytes"] == len(read_logs(out).mids)
    assert announcement["error_bytes"] == len(read_logs(out).errors)
    assert announcement["finished_error"] is None
    assert announcement["run_id"] == str(queue.client.info("server")["run_id"])
    assert queue.pending() == 0


def test_announcement_carries_cursor_live_sequence_and_counts(start_engine: StartEngine, queue: Queue) -> None:
    sources = encode_cursor(Cursor(None, (SourceCursor(100, 7, 5, 0, 4, 0),)))
    batches = make_batches(300, cursor_sources=sources)
    live = make_batches(100, first_sequence=301, mode=MODE_LIVE, seed=9, cursor_sources=sources)
    queue.publish(batches + live)

    start_engine()
    announcement = queue.wait_committed(400)

    assert announcement["live_sequence"] == 400
    assert announcement["epoch"] == "epoch-1"
    assert announcement["cursor"] != ""
    assert announcement["group"] == "price"
    assert len(announcement["digest"]) == 64


def test_line_of_a_paced_tick_is_in_the_log_at_once(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    batches = make_batches(50, rows_per_batch=1)
    start_engine().wait_report("consuming")
    for batch in batches:
        queue.publish([batch])
        queue.wait_committed(batch.last_sequence)

        assert read_logs(out).mids == expected_logs(batches[: batch.last_sequence]).mids


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    "place",
    [pytest.param("first", marks=pytest.mark.long), "middle", pytest.param("last", marks=pytest.mark.long)],
)
@pytest.mark.parametrize("site", SITES)
def test_killed_at_every_site_the_logs_end_up_identical(
    start_engine: StartEngine, queue: Queue, out: Path, site: str, place: str
) -> None:
    batches = make_batches(3_000)
    if place == "last":
        queue.publish(batches[:-1])
        before = start_engine(mids=True, **SMALL_COMMITS)
        queue.wait_committed(2_900)
        assert before.stop() == 0
    queue.publish(batches if place != "last" else batches[-1:])

    killed = start_engine(fault=f"{site}:{5 if place == 'middle' else 1}", mids=True, **SMALL_COMMITS)
    assert killed.wait_exit() == 137
    restarted = start_engine(mids=True, **SMALL_COMMITS)
    queue.wait_committed(3_000)
    wait_for(lambda: queue.pending() == 0, what="the last acknowledgement")
    assert restarted.stop() == 0

    assert_exact(out, batches)


def test_reader_of_the_log_always_sees_a_prefix(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    random = Random(20251121)
    batches = make_batches(6_000)
    expected = expected_logs(batches)
    violations: list[int] = []
    finished = threading.Event()

    def tail() -> None:
        while not finished.is_set():
            logs = read_logs(out)
            if not expected.mids.startswith(logs.mids) or not expected.errors.startswith(logs.errors):
                violations.append(len(logs.mids))

    reader = threading.Thread(target=tail)
    reader.start()
    try:
        for first in range(0, len(batches), 12):
            engine = start_engine(**SMALL_COMMITS)
            engine.wait_report("consuming")
            queue.publish(batches[first : first + 12])
            queue.wait_committed(batches[first + random.randrange(0, 6)].last_sequence)
            engine.kill()
        start_engine(**SMALL_COMMITS)
        queue.wait_committed(6_000)
    finally:
        finished.set()
        reader.join()

    assert violations == []
    assert_exact(out, batches)


@pytest.mark.cases(2)
@pytest.mark.parametrize("kind", ["enospc", pytest.param("eio", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "site", ["sink_before_write", "sink_between_writes", "sink_before_sync", "sink_before_position"]
)
def test_disk_error_stops_acknowledging_and_resumes_exactly(
    start_engine: StartEngine, queue: Queue, out: Path, site: str, kind: str
) -> None:
    batches = make_batches(2_000)
    queue.publish(batches)

    engine = start_engine(fault=f"{site}:4:{kind}", **SMALL_COMMITS)
    code = engine.wait_exit()

    stopped = engine.wait_report("stopped")
    announcement = queue.announcement()
    assert code == 1
    assert "cannot write" in stopped["message"]
    assert announcement["finished_error"] == stopped["message"]
    acknowledged = announcement["sequence"]
    assert acknowledged < 2_000
    assert queue.pending() > 0
    start_engine(**SMALL_COMMITS)
    queue.wait_committed(2_000)
    assert queue.announcement()["finished_error"] is None
    assert_exact(out, batches)


def test_second_engine_is_refused_at_once_when_it_must_not_wait(start_engine: StartEngine) -> None:
    first = start_engine()
    first.wait_report("consuming")

    second = start_engine(lock_wait=False)
    code = second.wait_exit()

    assert code == 2
    assert f"process {first.pid}" in second.wait_report("refused")["message"]


def test_stopped_holder_keeps_the_directory_and_a_dead_one_frees_it(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    batches = make_batches(2_000)
    first = start_engine(**SMALL_COMMITS)
    first.wait_report("consuming")
    queue.publish(batches[:10])
    queue.wait_committed(batches[9].last_sequence)
    first.signal(signal.SIGSTOP)
    second = start_engine(**SMALL_COMMITS)
    assert f"process {first.pid}" in second.wait_report("standby")["reason"]
    queue.publish(batches[10:15])

    first.signal(signal.SIGCONT)
    queue.wait_committed(batches[14].last_sequence)
    assert [report["event"] for report in second.reports] == ["standby"]
    first.kill()
    queue.publish(batches[15:])
    queue.wait_committed(2_000)

    second.wait_report("consuming")
    assert_exact(out, batches)


def test_stopping_a_standby_ends_it_in_order(start_engine: StartEngine) -> None:
    start_engine().wait_report("consuming")
    standby = start_engine()
    standby.wait_report("standby")

    assert standby.stop() == 0


@pytest.mark.parametrize("lost", ["stream", "group", "everything"])
def test_lost_queue_is_continued_when_it_is_published_again(
    start_engine: StartEngine, queue: Queue, out: Path, lost: str
) -> None:
    batches = make_batches(2_000)
    engine = start_engine(mids=True)
    engine.wait_report("consuming")
    queue.publish(batches[:10])
    queue.wait_committed(1_000)

    match lost:
        case "stream":
            queue.client.delete(queue.keys.ticks)
        case "group":
            queue.client.xgroup_destroy(queue.keys.ticks, "price")
        case _:
            queue.client.delete(queue.keys.ticks, queue.keys.sinks, queue.keys.mids, queue.keys.latest)
    # Published in another cut, from before the committed position: what is there already is skipped record by record.
    again = make_batches(2_000, rows_per_batch=77)
    engine.wait_report("consuming", nth=2)
    wait_for(queue.announcement, what="the announcement after the loss")
    queue.client.delete(queue.keys.ticks)
    queue.publish([batch for batch in again if batch.last_sequence > 900])
    queue.wait_committed(2_000)

    assert engine.stop() == 0
    assert_exact(out, batches)


def test_record_that_is_missing_stops_the_sink_loudly(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    batches = make_batches(1_000)
    queue.publish(batches[:4] + batches[5:])

    engine = start_engine()
    code = engine.wait_exit()

    message = engine.wait_report("stopped")["message"]
    assert code == 1
    assert "records 401 to 500 are missing" in message
    assert queue.announcement()["finished_error"] == message
    assert queue.announcement()["sequence"] == 400
    assert_exact(out, batches[:4])


def test_entry_that_another_consumer_holds_is_found_in_the_stream(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    batches = make_batches(1_000)
    queue.publish(batches)
    queue.client.xgroup_create(queue.keys.ticks, "price", id="0")
    queue.client.xreadgroup("price", "somebody-else", {queue.keys.ticks: ">"}, count=3)

    start_engine()
    queue.wait_committed(1_000)

    assert_exact(out, batches)


def test_entries_delivered_to_a_dying_connection_are_found_on_a_quiet_stream(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    batches = make_batches(500)
    start_engine().wait_report("consuming")
    queue.publish(batches[:3])
    queue.wait_committed(300)
    # The sink's own consumer name, as a connection would use it that Redis has not given up yet.
    pipeline = queue.client.pipeline(transaction=True)
    for batch in batches[3:]:
        pipeline.xadd(queue.keys.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
    pipeline.xreadgroup("price", "sink", {queue.keys.ticks: ">"})
    pipeline.execute()

    queue.wait_committed(500)
    assert_exact(out, batches)


def test_gap_marker_explains_numbers_that_were_lost(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    before = make_batches(500)
    gap = Marker(MARKER_GAP, reason="redis lost its last second", next_sequence=901)
    marker = marker_batch(gap, sequence=501)
    after = make_batches(300, first_sequence=901, seed=4)
    queue.publish([*before, marker, *after])

    engine = start_engine()
    queue.wait_committed(1_200)

    assert engine.stop() == 0
    assert_exact(out, [*before, *after])


def test_gap_that_begins_before_and_ends_behind_the_sink_is_followed_after_a_restart(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    before = make_batches(700)
    queue.publish(before)
    engine = start_engine()
    queue.wait_committed(700)
    gap = Marker(MARKER_GAP, reason="redis lost its last second", next_sequence=901)
    queue.client.delete(queue.keys.ticks)
    queue.publish([*before[:5], marker_batch(gap, sequence=501)])
    wait_for(lambda: queue.acknowledged() == 501, what="the marker's acknowledgement")
    engine.kill()
    queue.client.xtrim(queue.keys.ticks, maxlen=0, approximate=False)

    after = make_batches(300, first_sequence=901, seed=4)
    queue.publish(after)
    start_engine()
    queue.wait_committed(1_200)

    assert_exact(out, [*before, *after])


def test_new_epoch_continues_the_log_from_its_first_record(start_engine: StartEngine, queue: Queue, out: Path) -> None:
    first = make_batches(500)
    second = make_batches(400, epoch="epoch-2", seed=5)
    engine = start_engine(mids=True)
    queue.publish(first)
    queue.wait_committed(500)
    queue.client.delete(queue.keys.ticks)

    queue.publish(second)
    queue.wait_committed(400, epoch="epoch-2")

    assert engine.stop() == 0
    assert b"epoch changed" in engine.stderr
    logs = read_logs(out)
    assert logs.mids == expected_logs(first).mids + expected_logs(second).mids
    newest = queue.client.xrevrange(queue.keys.mids, count=1)
    assert b"epoch-2" in newest[0][1][b"b"]


def test_epoch_that_does_not_start_at_its_beginning_stops_the_sink(
    start_engine: StartEngine, queue: Queue, out: Path
) -> None:
    first = make_batches(500)
    queue.publish(first)
    engine = start_engine()
    queue.wait_committed(500)

    queue.publish(make_batches(100, epoch="epoch-2", first_sequence=501))

    assert engine.wait_exit() == 1
    assert "epoch-2" in engine.wait_report("stopped")["message"]
    assert_exact(out, first)


@pytest.mark.parametrize("payload", [b"", b"\xff" * 40, None], ids=["empty", "garbage", "cut"])
def test_entry_that_cannot_be_read_stops_the_sink_and_is_named(
    start_engine: StartEngine, queue: Queue, out: Path, payload: bytes | None
) -> None:
    batches = make_batches(1_000)
    poison = batches[5].payload[:-9] if payload is None else payload
    queue.publish(batches[:5])
    queue.client.xadd(queue.keys.ticks, {"b": poison}, id="0-501")
    queue.publish(batches[6:])

    for _ in range(2):
        engine = start_engine()
        assert engine.wait_exit() == 1
        assert "0-501" in engine.wait_report("stopped")["message"]
        assert queue.announcement()["sequence"] == 500
        assert_exact(out, batches[:5])


@pytest.fixture
def proxy(redis_url: str, tmp_path: Path) -> Iterator[ReplyDropper]:
    proxy = ReplyDropper(redis_url, tmp_path / "p.sock")
    yield proxy
    proxy.close()


@pytest.mark.cases(3)
@pytest.mark.parametrize("nth", [1, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("command", [b"XREADGROUP", b"XACK", b"XGROUP", b"HSET", b"XADD"])
def test_lost_reply_neither_loses_nor_doubles(
    start_engine: StartEngine, queue: Queue, out: Path, proxy: ReplyDropper, command: bytes, nth: int
) -> None:
    nth = 1 if command == b"XGROUP" else nth
    batches = make_batches(3_000)
    queue.publish(batches[:15])
    proxy.drop(command, nth=nth)

    engine = start_engine(redis_url=proxy.url, mids=True, **SMALL_COMMITS)
    queue.publish(batches[15:])
    queue.wait_committed(3_000)
    wait_for(lambda: queue.pending() == 0, what="the last acknowledgement")

    assert proxy.dropped == 1
    assert engine.stop() == 0
    assert_exact(out, batches)
    published = [fields[b"b"] for _, fields in queue.client.xrange(queue.keys.mids)]
    assert len(published) == len(batches)
