"""Merge the logs of partitions into the pair that a session of one partition would have written, byte for byte.

The order is that of the full key, (arrival time, tie order); where history went over to live, all that came before it in any partition
comes before all that followed. Memory is bounded: a few thousand records of each partition are held, and written as soon as no other
partition can have an earlier one.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import gt, itemgetter
from pathlib import Path
from typing import IO, Final

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.frame import MARKER_SEAM
from services.price.engine.files import CSV_HEADER
from services.price.logged_records import IN_ERRORS, IN_MIDS, WITHOUT_LINE, Chunk
from services.price.partition_logs import PartitionDirectory, PartitionLog, find, kept_still
from services.runtime.errors import StartRefused

HELD_RECORDS: Final = 1 << 17
"""Of all partitions together: with their lines some 60 MB."""
CHUNK_RECORDS_MIN: Final = 64
_UNFINISHED: Final = ".merging"


_Place = tuple[int, int, int]
"""How often history had gone over to live before it, arrival time, tie order."""


_Placed = tuple[_Place, int, bytes, bytes]
"""A record and its place among all: its kind, its line, and its line in the CSV. Plain, because one is made for each."""


@dataclass
class Merged:
    """What was written."""

    mids: int = 0
    errors: int = 0
    records: int = 0
    partitions: int = 0
    last_sequences: tuple[int, ...] = ()
    """Of each partition. A sink that was stopped before the others leaves out what follows, and only its reader can know."""
    with_csv: bool = False


def merge_logs(paths: Sequence[Path], out: Path) -> Merged:
    """Merge the logs in `paths` into `out`. Raises StartRefused before anything is there, or what went wrong with nothing left."""
    directories = find(paths)
    with kept_still(directories):
        # What they committed until now: none of them runs any more.
        directories = find(paths)
        of_partition = _by_partition(directories)
        with_csv = all(directory.with_csv for directory in directories)
        names = ("mid_prices.log", "errors.log", *(["mid_prices.csv"] if with_csv else []))
        _refuse_existing(out, ("mid_prices.log", "errors.log", "mid_prices.csv"))
        chunk = max(CHUNK_RECORDS_MIN, HELD_RECORDS // len(of_partition))
        logs = [
            PartitionLog(partition, found, chunk_records=chunk, with_csv=with_csv)
            for partition, found in sorted(of_partition.items())
        ]
        out.mkdir(parents=True, exist_ok=True)
        unfinished = [out / (name + _UNFINISHED) for name in names]
        try:
            with contextlib.ExitStack() as stack:
                files = [stack.enter_context(path.open("wb")) for path in unfinished]
                merged = _write(logs, files[0], files[1], files[2] if with_csv else None)
                for file in files:
                    file.flush()
                    os.fsync(file.fileno())
            for path, name in zip(unfinished, names, strict=True):
                path.replace(out / name)
        finally:
            for path in unfinished:
                path.unlink(missing_ok=True)
    return merged


def _by_partition(directories: Sequence[PartitionDirectory]) -> dict[int, list[PartitionDirectory]]:
    counts = {directory.partitions for directory in directories}
    if len(counts) > 1:
        raise StartRefused(
            f"these are logs of sessions with {' and '.join(map(str, sorted(counts)))} partitions; merge one session at a time"
        )
    found: dict[int, list[PartitionDirectory]] = defaultdict(list)
    for directory in directories:
        found[directory.partition].append(directory)
    [count] = counts
    missing = [str(partition) for partition in range(count) if partition not in found]
    if missing:
        raise StartRefused(
            f"partition {', '.join(missing)} of {count} is missing; name its directory as well (one without records has one, too)"
        )
    for partition, of_it in found.items():
        epochs = {directory.position.epoch for directory in of_it} - {""}
        if len(epochs) > 1:
            raise StartRefused(
                f"partition {partition} has logs of several epochs ({', '.join(sorted(epochs))}), whose records have no common "
                "order; merge runs of one epoch"
            )
    return found


def _refuse_existing(out: Path, names: Sequence[str]) -> None:
    for name in names:
        path = out / name
        if path.exists() and path.stat().st_size:
            raise StartRefused(f"`{path}` exists; move it away, or choose another directory with --out")


def _write(logs: Sequence[PartitionLog], mids: IO[bytes], errors: IO[bytes], csv: IO[bytes] | None) -> Merged:
    merged = Merged(partitions=len(logs), with_csv=csv is not None)
    section = 0
    if csv is not None:
        csv.write(CSV_HEADER)
    for placed in _in_order([_Placing(log) for log in logs]):
        of_mids = [line for _, kind, line, _ in placed if kind == IN_MIDS]
        of_errors = [line for _, kind, line, _ in placed if kind == IN_ERRORS]
        mids.write(b"".join(of_mids))
        errors.write(b"".join(of_errors))
        merged.mids += len(of_mids)
        merged.errors += len(of_errors)
        if csv is not None:
            section = _write_csv(csv, placed, merged.records, section)
        merged.records += len(placed)
    merged.last_sequences = tuple(log.sequence for log in logs)
    if csv is not None and any(log.gaps for log in logs):
        raise StartRefused(
            "a live feed lost records here, and a session of one partition would have numbered them in another way: "
            "mid_prices.csv cannot be merged exactly. Move one of these files away to merge the two logs alone"
        )
    return merged


def _write_csv(csv: IO[bytes], placed: Sequence[_Placed], before: int, section: int) -> int:
    """Number the mids as one partition would: by their rank among all records, the change to live being one of them."""
    rows = []
    for rank, (place, _, _, row) in enumerate(placed, before + 1):
        section = place[0]
        if row:
            head, _, mid = row.rsplit(b",", 2)
            rows.append(b"%b,%d,%b" % (head, rank + section, mid))
    csv.write(b"".join(rows))
    return section


class _Placing:
    """Finds the places of one partition's records, and holds those that were not written yet."""

    def __init__(self, log: PartitionLog) -> None:
        self._log = log
        self._chunks = iter(log)
        self._section = 0
        self.places: list[_Place] = []
        """Of the records that wait."""
        self._waiting: list[_Placed] = []
        self._last: _Place = (0, BEFORE_EVERYTHING, 0)

    def fill(self) -> None:
        """Read on when nothing waits and there is more."""
        while not self.places and (chunk := next(self._chunks, None)) is not None:
            self._place(chunk)

    def _place(self, chunk: Chunk) -> None:
        sections = self._sections(chunk)
        places = list(zip(sections, chunk.arrivals, chunk.ties, strict=True))
        placed = list(zip(places, chunk.kinds, chunk.lines, chunk.rows, strict=True))
        if WITHOUT_LINE in chunk.kinds:
            placed = [record for record in placed if record[1] != WITHOUT_LINE]
            places = [record[0] for record in placed]
        if any(map(gt, chain((self._last,), places), places)):
            raise StartRefused(
                f"records {chunk.sequences[0]} to {chunk.sequences[-1]} of partition {self._log.partition} are not in the order of "
                "their arrival, so nobody knows which order one partition would have given them; nothing is merged"
            )
        self.places, self._waiting = places, placed
        self._last = places[-1] if places else self._last

    def _sections(self, chunk: Chunk) -> Iterable[int]:
        if WITHOUT_LINE not in chunk.kinds:
            return [self._section] * len(chunk.kinds)
        seams = [kind == WITHOUT_LINE and tie == MARKER_SEAM for kind, tie in zip(chunk.kinds, chunk.ties, strict=True)]
        sections = list(accumulate(seams, initial=self._section))[1:]
        self._section = sections[-1]
        return sections

    def take(self, until: _Place) -> list[_Placed]:
        """Hand over what is not behind a place."""
        end = bisect_right(self.places, until)
        taken = self._waiting[:end]
        self.places, self._waiting = self.places[end:], self._waiting[end:]
        return taken


def _in_order(partitions: Sequence[_Placing]) -> Iterator[list[_Placed]]:
    while True:
        for partition in partitions:
            partition.fill()
        unfinished = [partition for partition in partitions if partition.places]
        if not unfinished:
            return
        # Behind the last place that a partition has read, it may still have something.
        until = min(partition.places[-1] for partition in unfinished)
        placed = [record for partition in unfinished for record in partition.take(until)]
        # Stable: what has one place is of one partition, in its order.
        placed.sort(key=itemgetter(0))
        yield placed
