"""The logs of the sinks of partitions, as whoever merges them reads them: every record once, in its partition's order, without a hole."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from fastpath.frame import MARKER_DISCONTINUITY, MARKER_GAP, MARKER_SEAM
from services.price.engine.disk import PRIVATE_DIRECTORY
from services.price.engine.files import FileSystem
from services.price.engine.position import Position, PositionFile
from services.price.logged_records import WITHOUT_LINE, Chunk, Record, Segment, open_segment_of
from services.runtime.errors import StartRefused


@dataclass(frozen=True)
class PartitionDirectory:
    """Where a sink of one partition wrote, and what it committed there."""

    path: Path
    position: Position

    @property
    def partition(self) -> int:
        assert self.position.partition is not None
        return self.position.partition

    @property
    def partitions(self) -> int:
        return self.position.partitions or 1

    @property
    def with_csv(self) -> bool:
        return self.position.csv_bytes is not None


class _ReadOnly(FileSystem):
    def open(self, path: Path, mode: int = 0) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def find(paths: Iterable[Path]) -> list[PartitionDirectory]:
    """Find the directories of partitions that are named, or lie in those that are. Raises StartRefused, and OSError."""
    found: dict[Path, PartitionDirectory] = {}
    for path in paths:
        if not path.is_dir():
            raise StartRefused(f"there is no directory `{path}`; name those of partitions, or one that holds them")
        candidates = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
        here = [directory for directory in map(_read, candidates) if directory is not None]
        if not here:
            raise StartRefused(
                f"`{path}` holds no logs of a partition, and no directory that does; name those that a price server wrote "
                "for a session of several partitions"
            )
        found |= {directory.path.resolve(): directory for directory in here}
    return list(found.values())


def _read(path: Path) -> PartitionDirectory | None:
    file = path / PRIVATE_DIRECTORY / "position"
    if not file.exists():
        return None
    opened = PositionFile(file, _ReadOnly())
    position = opened.position
    opened.close()
    if position is None or position.partition is None or position.index_bytes is None:
        return None
    if opened.doubtful:
        raise StartRefused(
            f"`{file}` is damaged in one of its copies, so nobody knows how far the logs beside it count; start the sink "
            "once, which mends it, and stop it"
        )
    return PartitionDirectory(path, position)


@contextlib.contextmanager
def kept_still(directories: Iterable[PartitionDirectory]) -> Iterator[None]:
    """Keep sinks from starting in these for the block. Raises StartRefused where one runs."""
    with contextlib.ExitStack() as stack:
        for directory in directories:
            lock = directory.path / PRIVATE_DIRECTORY / "lock"
            if not lock.exists():
                # A copy.
                continue
            descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise StartRefused(
                    f"a sink is writing to `{directory.path}`; stop it first, or merge a copy of the directory"
                ) from exc
        yield


class PartitionLog:
    """All records of one partition, whichever of its directories they are in. Records that several have are taken once."""

    def __init__(
        self, partition: int, directories: Sequence[PartitionDirectory], *, chunk_records: int, with_csv: bool
    ) -> None:
        """`chunk_records` is how many records are held at a time."""
        self.partition = partition
        self._chunk_records = chunk_records
        self._with_csv = with_csv
        self._directories = directories
        self.sequence = 0
        """The last record given."""
        self.gaps = 0
        """Times a live feed lost something, and said so."""
        self._gap_open = False
        self._key = (0, 0)
        self._chunks = self._checked()

    def __iter__(self) -> Iterator[Chunk]:
        return self._chunks

    def _checked(self) -> Iterator[Chunk]:
        for chunk in self._joined():
            first, last = chunk.sequences[0], chunk.sequences[-1]
            is_plain = first == self.sequence + 1 and last - first + 1 == len(chunk.sequences)
            if not is_plain or WITHOUT_LINE in chunk.kinds:
                for record in chunk.records():
                    self._check(record)
            self.sequence = last
            yield chunk

    def _check(self, record: Record) -> None:
        if record.sequence != self.sequence + 1 and not (self._gap_open and record.sequence > self.sequence):
            raise StartRefused(
                f"partition {self.partition} has a hole: records {self.sequence + 1} to {record.sequence - 1} are in none of "
                f"{_names(self._directories)}; name the directory that holds them as well"
            )
        self.sequence = record.sequence
        self._gap_open = False
        if record.kind != WITHOUT_LINE:
            return
        if record.tie_order == MARKER_DISCONTINUITY:
            raise StartRefused(
                f"replay time was moved at record {record.sequence} of partition {self.partition}: what was logged before and "
                "behind it has no common order any more, so nothing is merged. The logs of each partition are complete"
            )
        if record.tie_order != MARKER_SEAM:
            self.gaps += 1
            self._gap_open = record.tie_order == MARKER_GAP

    def _joined(self) -> Iterator[Chunk]:
        """Yield what is in any segment, once. A segment is opened when its turn comes: there may be many."""
        waiting = deque(sorted((found for found in map(self._opened, self._directories) if found), key=_next_sequence))
        under_way: list[Segment] = []
        while waiting or under_way:
            if not under_way:
                under_way.append(waiting.popleft())
            here = min(map(_next_sequence, under_way))
            while waiting and waiting[0].next_sequence <= here:
                under_way.append(waiting.popleft())
            end = waiting[0].next_sequence if waiting else None
            if len(under_way) == 1:
                yield from under_way[0].before(end)
            else:
                yield from self._overlap(under_way, end)
            under_way = [segment for segment in under_way if segment.go_on()]

    def _overlap(self, segments: Sequence[Segment], end: int | None) -> Iterator[Chunk]:
        """Yield what several segments have, until one of them ends or another one begins."""
        until = min(segment.last_sequence for segment in segments)
        until = until if end is None else min(until, end - 1)
        # Whatever an index says of its end, something is read.
        until = max(until, *(segment.next_sequence for segment in segments))
        parts = [chain.from_iterable(map(Chunk.records, segment.before(until + 1))) for segment in segments]
        once = self._once(heapq.merge(*parts, key=lambda record: record.sequence))
        while records := list(islice(once, self._chunk_records)):
            yield Chunk(*zip(*records, strict=True))

    def _opened(self, directory: PartitionDirectory) -> Segment | None:
        return open_segment_of(
            directory.path, directory.position, chunk_records=self._chunk_records, with_csv=self._with_csv
        )

    def _once(self, records: Iterable[Record]) -> Iterator[Record]:
        last: Record | None = None
        for record in records:
            if last is not None and last.sequence == record.sequence:
                if last != record:
                    raise StartRefused(
                        f"record {record.sequence} of partition {self.partition} is not the same in all of "
                        f"{_names(self._directories)}: {_shown(last)} and {_shown(record)}; they are of different runs, or their "
                        "servers had other settings"
                    )
                continue
            last = record
            yield record


def _names(directories: Iterable[PartitionDirectory]) -> str:
    return ", ".join(f"`{directory.path}`" for directory in directories)


def _shown(record: Record) -> str:
    return repr(record.line.decode("utf-8", "replace").rstrip("\n")) if record.line else "no line"


def _next_sequence(segment: Segment) -> int:
    return segment.next_sequence
