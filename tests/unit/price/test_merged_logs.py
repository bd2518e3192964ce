"""Merged logs of partitions are those of one partition, byte for byte, or nothing is merged and the reason is told."""

from __future__ import annotations

import fcntl
import os
import resource
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from fastpath.frame import MARKER_DISCONTINUITY, MARKER_SEAM, MODE_LIVE
from fastpath.records import Marker
from services.price import merged_logs
from services.price.engine.stopped import SinkStopped
from services.price.merged_logs import merge_logs
from services.runtime.errors import StartRefused
from services.runtime.session.partitions import Partitioning
from tests.support.partition_logs import write_partition
from tests.support.partitioned import batches_of, made_rows, split
from tests.support.price_batches import Batch, Logs, expected_logs, marker_batch

N = 4
CSV_HEADER = b"timestamp,arrival,ticker,sequence,mid\n"


def read(out: Path) -> Logs:
    return Logs(*((out / name).read_bytes() for name in ("mid_prices.log", "errors.log", "mid_prices.csv")))


def assert_is_one_partition(out: Path, one: Sequence[Batch]) -> None:
    expected, merged = expected_logs(one), read(out)
    assert merged.mids == expected.mids
    assert merged.errors == expected.errors
    assert merged.csv == CSV_HEADER + expected.csv


@dataclass
class Made:
    """One run as one partition has it, and as several do."""

    one: list[Batch]
    parts: list[list[Batch]]


def made(rows: int = 3_000, *, seed: int = 1, partitioning: Partitioning | None = None) -> Made:
    whole = made_rows(rows, seed=seed)
    parts = split(whole, partitioning or Partitioning(N))
    return Made(
        batches_of(whole, tied=False),
        [batches_of(part, tied=True, epoch=f"e{k}", rows_per_batch=20) for k, part in enumerate(parts)],
    )


def write_all(out: Path, parts: Sequence[Sequence[Batch]]) -> list[Path]:
    folders = [out / f"p{partition}" for partition in range(len(parts))]
    for partition, folder in enumerate(folders):
        write_partition(folder, parts[partition], partition=partition, partitions=len(parts))
    return folders


@pytest.mark.quick
@pytest.mark.parametrize("held", [pytest.param(1 << 17, id="at once"), pytest.param(1, id="64 at a time")])
def test_the_merged_logs_are_those_of_one_partition(tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_logs, "HELD_RECORDS", held)
    seed = Random().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - so that a failure can be repeated
    run = made(seed=seed)
    write_all(tmp_path, run.parts)

    merged = merge_logs([tmp_path], tmp_path / "merged")

    assert_is_one_partition(tmp_path / "merged", run.one)
    assert merged.records == 3_000
    assert merged.last_sequences == tuple(part[-1].last_sequence for part in run.parts)


def test_a_partition_without_records_is_none_that_is_missing(tmp_path: Path) -> None:
    everything_elsewhere = Partitioning(N, {f"T{number}-USDT@X": 1 for number in range(13)})
    run = made(500, partitioning=everything_elsewhere)
    folders = write_all(tmp_path, run.parts)
    assert not run.parts[3]

    merge_logs(folders, tmp_path / "merged")
    assert_is_one_partition(tmp_path / "merged", run.one)

    with pytest.raises(StartRefused, match="partition 3 of 4 is missing"):
        merge_logs(folders[:3], tmp_path / "others")


def test_a_partition_that_moved_is_read_from_all_its_directories(tmp_path: Path) -> None:
    run = made()
    folders = write_all(tmp_path / "a", [part[:-3] for part in run.parts])
    for partition, part in enumerate(run.parts):
        # It begins where the first one had announced that it was, which is before where that ended.
        folder = tmp_path / "b" / f"p{partition}"
        after = part[-6].last_sequence + 7
        write_partition(folder, part, partition=partition, partitions=N, after_sequence=after)

    merge_logs([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")

    assert_is_one_partition(tmp_path / "merged", run.one)
    with pytest.raises(StartRefused, match=r"partition 0 has a hole: records 1 to \d+ are in none of"):
        merge_logs([tmp_path / "b"], tmp_path / "others")
    assert not list((tmp_path / "others").glob("*"))
    (folders[2] / "errors.log").write_bytes((folders[2] / "errors.log").read_bytes().replace(b"ms is", b"MS is"))
    with pytest.raises(StartRefused, match="partition 2 is not the same in all of"):
        merge_logs([tmp_path / "a", tmp_path / "b"], tmp_path / "others")


@pytest.mark.parametrize("held", [pytest.param(1 << 17, id="at once"), pytest.param(1, id="64 at a time")])
def test_segments_that_follow_overlap_and_hold_each_other_are_one_log(
    tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_logs, "HELD_RECORDS", held)
    seed = Random().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - so that a failure can be repeated
    random = Random(seed)
    run = made(seed=seed)
    for partition, part in enumerate(run.parts):
        ends = [*sorted(random.sample(range(2, len(part)), 6)), len(part)]
        begins = [0, *(max(0, end - random.choice((0, 0, 1, 3, end))) for end in ends[:-1])]
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            # What was announced lies within a batch as well.
            after = part[begin - 1].last_sequence + random.choice((0, 0, -7)) if begin else 0
            folder = tmp_path / random.choice("abc") / (f"p{partition}.{number}" if number else f"p{partition}")
            written = part[max(0, begin - 1) : end]
            write_partition(folder, written, partition=partition, partitions=N, after_sequence=after)

    merge_logs([path for path in tmp_path.iterdir() if path.name in "abc"], tmp_path / "merged")

    assert_is_one_partition(tmp_path / "merged", run.one)


def test_files_of_segments_are_opened_when_their_turn_comes(tmp_path: Path) -> None:
    run = made(400)
    for partition, part in enumerate(run.parts):
        for number, batch in enumerate(part):
            folder = tmp_path / f"p{partition}.{number + 1}"
            write_partition(folder, [batch], partition=partition, partitions=N, after_sequence=batch.first_sequence - 1)
    segments = sum(map(len, run.parts))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + segments + 8 * N, limits[1]))
    try:
        merge_logs([tmp_path], tmp_path / "merged")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert_is_one_partition(tmp_path / "merged", run.one)


def test_logs_of_a_sink_that_was_started_again_go_on_where_they_were(tmp_path: Path) -> None:
    run = made()
    for partition, part in enumerate(run.parts):
        for batches in (part[:4], part[2:9], part):
            write_partition(tmp_path / f"p{partition}", batches, partition=partition, partitions=N)

    merge_logs([tmp_path], tmp_path / "merged")

    assert_is_one_partition(tmp_path / "merged", run.one)


def test_an_index_of_another_form_is_neither_continued_nor_merged(tmp_path: Path) -> None:
    run = made(300)
    folders = write_all(tmp_path, run.parts)
    # As the form was that was never released: 32 bytes for each record, and nothing before them.
    size = (folders[2] / "order.idx").stat().st_size
    (folders[2] / "order.idx").write_bytes(struct.pack("<QqQQ", 1, 1_700_000_000_000_000_000, 7, 0) * (size // 32 + 1))

    with pytest.raises(StartRefused, match=r"p2/order\.idx` is no index in the form of this version"):
        merge_logs([tmp_path], tmp_path / "merged")
    with pytest.raises(StartRefused, match=r"p2/order\.idx` is no index in the form of this version"):
        write_partition(folders[2], run.parts[2], partition=2, partitions=N)


def test_a_row_that_the_index_cannot_hold_stops_the_sink_before_it(tmp_path: Path) -> None:
    from protos.common.v1.market_pb2 import TickBatch

    first, second, *_ = made(300).parts[1]
    message = TickBatch.FromString(second.payload)
    message.tie_order[-1] |= 2**46
    second = Batch(second.first_sequence, second.last_sequence, message.SerializeToString())

    with pytest.raises(
        SinkStopped, match=rf"queue entry 0-{second.first_sequence} cannot be logged \(a row from 2\^46 on"
    ):
        write_partition(tmp_path, [first, second], partition=1, partitions=N)


def test_a_hole_between_directories_is_named(tmp_path: Path) -> None:
    run = made()
    write_all(tmp_path / "a", [part[:2] if number == 1 else part for number, part in enumerate(run.parts)])
    end = run.parts[1][1].last_sequence
    write_partition(tmp_path / "b" / "p1", run.parts[1], partition=1, partitions=N, after_sequence=end + 10)

    with pytest.raises(StartRefused, match=f"partition 1 has a hole: records {end + 1} to {end + 10} are in none of"):
        merge_logs([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")


def test_what_has_gone_over_to_live_comes_behind_all_history(tmp_path: Path) -> None:
    rows = made_rows(2_000, seed=5)
    history, live = rows[:1_200], rows[1_200:]
    seam = Marker(sequence=0, kind=MARKER_SEAM, mode=MODE_LIVE)

    def run_of(history_rows: Sequence, live_rows: Sequence, *, tied: bool) -> list[Batch]:  # type: ignore[type-arg]
        batches = batches_of(history_rows, tied=tied)
        following = batches[-1].last_sequence + 1
        batches.append(marker_batch(seam, sequence=following))
        return batches + [_moved(batch, following) for batch in batches_of(live_rows, tied=tied, mode=MODE_LIVE)]

    parts = zip(split(history, Partitioning(N)), split(live, Partitioning(N)), strict=True)
    write_all(tmp_path, [run_of(before, after, tied=True) for before, after in parts])

    merge_logs([tmp_path], tmp_path / "merged")

    assert_is_one_partition(tmp_path / "merged", run_of(history, live, tied=False))


def _moved(batch: Batch, by: int) -> Batch:
    from protos.common.v1.market_pb2 import TickBatch

    message = TickBatch.FromString(batch.payload)
    message.first_sequence += by
    message.last_sequence += by
    for rejection in message.rejections:
        rejection.sequence += by
    return Batch(batch.first_sequence + by, batch.last_sequence + by, message.SerializeToString(deterministic=True))


def moved_in_time(run: Made) -> None:
    run.parts[2].append(
        marker_batch(
            Marker(sequence=0, kind=MARKER_DISCONTINUITY), sequence=run.parts[2][-1].last_sequence + 1, epoch="e2"
        )
    )


def of_two_epochs(run: Made) -> None:
    run.parts[2] += batches_of(made_rows(10, seed=9), tied=True, epoch="another")


def out_of_order(run: Made) -> None:
    rows = made_rows(100, seed=9)
    run.parts[2] = batches_of(rows[50:] + rows[:50], tied=True, epoch="e2")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (moved_in_time, r"replay time was moved at record \d+ of partition 2"),
        (of_two_epochs, r"p2` goes on with record 1 behind record \d+: it holds several epochs"),
        (out_of_order, "of partition 2 are not in the order of their arrival"),
    ],
    ids=["moved", "epochs", "order"],
)
def test_what_cannot_be_exact_is_refused_and_leaves_nothing(
    tmp_path: Path, change: Callable[[Made], None], reason: str
) -> None:
    run = made(600)
    change(run)
    write_all(tmp_path, run.parts)

    with pytest.raises(StartRefused, match=reason):
        merge_logs([tmp_path], tmp_path / "merged")

    assert not list((tmp_path / "merged").glob("*"))


def test_a_running_sink_is_not_read(tmp_path: Path) -> None:
    folders = write_all(tmp_path, made(100).parts)
    lock = os.open(folders[1] / ".midstream" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with pytest.raises(StartRefused, match=r"a sink is writing to `.*p1`; stop it first"):
            merge_logs([tmp_path], tmp_path / "merged")
    finally:
        os.close(lock)
    merge_logs([tmp_path], tmp_path / "merged")

    with pytest.raises(StartRefused, match="exists; move it away"):
        merge_logs([tmp_path], tmp_path / "merged")


def test_what_a_crash_left_behind_is_not_merged_and_a_cut_log_is_refused(tmp_path: Path) -> None:
    run = made(500)
    folders = write_all(tmp_path, run.parts)
    for name in ("mid_prices.log", "errors.log", "mid_prices.csv", "order.idx"):
        with (folders[0] / name).open("ab") as file:
            file.write(b"never committed\n" * 8)

    merge_logs([tmp_path], tmp_path / "merged")

    assert_is_one_partition(tmp_path / "merged", run.one)
    os.truncate(folders[1] / "errors.log", 10)
    with pytest.raises(StartRefused, match=r"errors\.log` is not what the index and the position beside it say"):
        merge_logs([tmp_path], tmp_path / "others")
