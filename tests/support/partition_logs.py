"""Directories of partition sinks, written in this process by what sinks write with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fastpath.frame import TickFrame
from services.price.engine.accumulator import Accumulator
from services.price.engine.disk import Disk
from services.price.engine.files import FileSystem
from services.price.engine.options import EngineOptions
from services.price.engine.reader import QueueEntry
from tests.support.price_batches import Batch


def write_partition(
    out: Path,
    batches: Iterable[Batch],
    *,
    partition: int,
    partitions: int,
    after_sequence: int = 0,
    with_csv: bool = True,
) -> None:
    """Write what a sink has written that was given these batches; one that moved begins behind `after_sequence`."""
    (out / ".midstream").mkdir(parents=True, exist_ok=True)
    options = EngineOptions(
        redis_url="redis://none",
        session="partitions",
        out=out,
        with_csv=with_csv,
        with_mids=False,
        partition=partition,
        partitions=partitions,
    )
    disk = Disk(options, files=FileSystem(), wake=lambda: None)
    accumulator = Accumulator(kernel=disk.kernel, position=disk.position, mids=None, latency_threshold_ns=20_000_000)
    for batch in batches:
        if not accumulator.epoch and after_sequence:
            accumulator.epoch, accumulator.sequence = TickFrame(batch.payload).epoch, after_sequence
        assert accumulator.take(QueueEntry(b"0-%d" % batch.first_sequence, batch.payload)) is None
        disk.write_early()
    disk.submit(accumulator.cut(disk.write()))
    disk.collect(wait=True)
    disk.close()
