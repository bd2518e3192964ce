"""Historical to live and back: nothing is lost, repeated or reordered, and the seams show."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, Marker, TickBatch
from services.runtime.session.keys import SessionKeys
from tests.reference.history import Expected, ExpectedTick, expected_outputs
from tests.support.cli import until
from tests.support.history_files import Quirks, history_text
from tests.support.made_ticks import write_made_ticks
from tests.support.redis_server import RedisForTests
from tests.support.serving import sequences, serving, ticks
from tests.support.switching import assert_logs_hold_history_with_live_inside, switch


def quirky_file(path: Path, seed: int, rows: int) -> Path:
    print(f"seed {seed}")  # noqa: T201  (shown when the test fails)
    path.write_bytes(history_text(random.Random(seed), Quirks(rows=rows, negative=0.05, step_us=1000)))
    return path


@pytest.mark.quick
def test_history_resumes_behind_the_last_published_tick_across_live_and_a_restart(tmp_path: Path) -> None:
    path = quirky_file(tmp_path / "history.csv", 11, 8000)
    expected = expected_outputs([path])
    total = len(expected.sequence)
    settings = {"HISTORICAL": str(path), "SPEED": "0.5"}
    with serving(tmp_path / "out", **settings) as servers:
        servers.wait_committed(total // 10)
        live_from = switch(servers, "live")
        servers.wait_committed(live_from + 100)
        back_from = switch(servers, "historical")
        servers.wait_committed(back_from + total // 10)
    # Everything stopped, and so did Redis; what it held is on disk.
    with serving(tmp_path / "out", **settings) as servers:
        with servers.control() as control:
            control.set_speed(0)
        last = servers.wait_state("COMPLETED")["last_sequence"]
        servers.wait_committed(last)
        batches = servers.stream(after_sequence=0, to=last)

    assert sequences(batches) == list(range(1, last + 1))
    assert_history_is_whole(batches, expected)
    assert len({batch.epoch for batch in batches}) == 1
    assert_seams(batches)
    assert_logs_hold_history_with_live_inside(tmp_path / "out", expected)


def assert_history_is_whole(batches: list[TickBatch], expected: Expected) -> None:
    """Compare every historical record, as text: a missing price is NaN, which equals nothing."""
    found = [repr(tick) for tick in ticks(batches, mode=MODE_HISTORICAL)]
    wanted = [
        repr((record.event_time_ns, record.key[0], record.ticker, record.bid_price, record.ask_price))
        for record in expected.sequence
        if isinstance(record, ExpectedTick)
    ]
    assert found == wanted
    rejected = [rejection.line for batch in batches for rejection in batch.rejections]
    assert rejected == [record.key[2] for record in expected.sequence if not isinstance(record, ExpectedTick)]


def records(batch: TickBatch) -> list[tuple[int, int, int]]:
    """(sequence, arrival time, line of a rejection or 0) of every tick and rejection of a batch, in order."""
    others = {marker.sequence for marker in batch.markers} | {rejection.sequence for rejection in batch.rejections}
    numbers = [number for number in range(batch.first_sequence, batch.last_sequence + 1) if number not in others]
    found = [(number, arrival, 0) for number, arrival in zip(numbers, batch.arrival_time_ns, strict=True)]
    found += [(rejection.sequence, rejection.arrival_time_ns, rejection.line) for rejection in batch.rejections]
    return sorted(found)


def assert_seams(batches: list[TickBatch]) -> None:
    """There and back are marked, each with the keys of its neighbours."""
    flat = [(record, batch.mode) for batch in batches for record in records(batch)]
    seams = [
        marker
        for batch in batches
        for marker in sorted(batch.markers, key=lambda one: one.sequence)
        if marker.kind == Marker.KIND_SEAM
    ]
    assert [(seam.previous_mode, seam.mode) for seam in seams][-2:] == [
        (MODE_HISTORICAL, MODE_LIVE),
        (MODE_LIVE, MODE_HISTORICAL),
    ]
    for seam in seams[-2:]:
        before = [record for record, _ in flat if record[0] < seam.sequence][-1]
        after, mode_after = next((record, mode) for record, mode in flat if record[0] > seam.sequence)
        assert seam.last_key.arrival_time_ns == before[1]
        assert seam.first_key.arrival_time_ns == after[1]
        assert seam.mode == mode_after
        assert seam.revision > 0
        assert seam.time_ns > 0


def test_switching_while_the_producer_waits_for_a_slow_group_loses_nothing(
    tmp_path: Path, new_redis: Callable[..., RedisForTests]
) -> None:
    rows = 90_000
    path = write_made_ticks(tmp_path / "made.csv", rows, step_us=10)
    redis_server = new_redis(append_only=True)
    keys = SessionKeys("default")
    settings = {"REDIS_URL": redis_server.url, "HISTORICAL": str(path), "HIGH_BYTES": str(2**21)}
    with contextlib.closing(redis_server.client()) as client:
        client.xgroup_create(keys.ticks, "slow", id="0", mkstream=True)
        client.xgroup_create(keys.ticks, "steady", id="0")
        with serving(tmp_path / "out", **settings) as servers:
            waiting = servers.wait_state("BACKPRESSURED")
            assert waiting["last_sequence"] < rows
            # The sink is not held back by the group that is.
            servers.wait_committed(waiting["last_sequence"])
            steady = read_group(client, keys, "steady", to=waiting["last_sequence"])
            switch(servers, "live")
            assert servers.state()["last_sequence"] < rows
            slow = read_group(client, keys, "slow", to=waiting["last_sequence"] + 50)
            switch(servers, "historical")
            # One after the other, each at its own speed: the queue waits for the slower one.
            while servers.state()["state"] != "COMPLETED":
                slow += read_group(client, keys, "slow")
                steady += read_group(client, keys, "steady")
            last = int(servers.state()["last_sequence"])
            slow += read_group(client, keys, "slow", to=last, read=slow)
            steady += read_group(client, keys, "steady", to=last, read=steady)
            sink = servers.wait_committed(last)

    assert sequences(slow) == sequences(steady) == list(range(1, last + 1))
    assert [tick[3] for tick in ticks(slow, mode=MODE_HISTORICAL)] == list(range(1, rows + 1))
    assert len(ticks(slow, mode=MODE_LIVE)) >= 50 - 1
    assert_seams(slow)
    assert (
        sink["counts"]["mids"] + sink["counts"]["missing_side"] + sink["counts"]["rejected"]
        == last - sink["counts"]["markers"]
    )


def read_group(
    client: object, keys: SessionKeys, group: str, *, to: int = 0, read: list[TickBatch] | None = None
) -> list[TickBatch]:
    """Read and acknowledge as a consumer of `group`: once, or until the record `to` has come."""
    batches: list[TickBatch] = []
    if read and read[-1].last_sequence >= to:
        return batches

    def step() -> bool:
        answer = client.xreadgroup(group, "one", {keys.ticks: ">"}, count=8, block=200)  # type: ignore[attr-defined]
        entries = (
            next(iter(answer.values()))[0] if isinstance(answer, dict) and answer else answer[0][1] if answer else []
        )
        for entry_id, fields in entries:
            batches.append(TickBatch.FromString(fields[b"b"]))
            client.xack(keys.ticks, group, entry_id)  # type: ignore[attr-defined]
        return not to or bool(batches and batches[-1].last_sequence >= to)

    until(step, what=f"record {to} in group {group}")
    return batches
