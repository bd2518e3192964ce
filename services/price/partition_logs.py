"""The logs of the sinks of partitions, as whoever merges them reads them: every record once, in its partition's order, without a hole."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import IO, Final, NamedTuple

from fastpath.frame import MARKER_DISCONTINUITY, MARKER_GAP, MARKER_SEAM
from services.price.engine.disk import PRIVATE_DIRECTORY
from services.price.engine.files import CSV_HEADER, INDEX_NAME, FileSystem
from services.price.engine.position import Position, PositionFile
from services.runtime.errors import StartRefused

ENTRY_BYTES: Final = 32
IN_MIDS: Final = 0
IN_ERRORS: Final = 1
WITHOUT_LINE: Final = 2
_WORDS: Final = ENTRY_BYTES // 8


class Record(NamedTuple):
    """One record of a partition, and the lines that it has in the logs."""

    sequence: int
    arrival_time_ns: int
    tie_order: int
    """Of a marker its kind."""
    kind: int
    line: bytes
    csv: bytes


class Chunk(NamedTuple):
    """Consecutive records, a column for each of their fields."""

    sequences: Sequence[int]
    arrivals: Sequence[int]
    ties: Sequence[int]
    kinds: Sequence[int]
    lines: Sequence[bytes]
    rows: Sequence[bytes]

    def records(self) -> Iterator[Record]:
        """Yield them one by one."""
        return map(Record._make, zip(*self, strict=True))


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
        if len(self._directories) == 1:
            yield from self._read(self._directories[0])
            return
        every = [chain.from_iterable(map(Chunk.records, self._read(directory))) for directory in self._directories]
        once = self._once(heapq.merge(*every, key=lambda record: record.sequence))
        while records := list(islice(once, self._chunk_records)):
            yield Chunk(*zip(*records, strict=True))

    def _once(self, records: Iterable[Record]) -> Iterator[Record]:
        last: Record | None = None
        for record in records:
            if last is not None and last.sequence == record.sequence:
                if last != record:
                    raise StartRefused(
                        f"record {record.sequence} of partition {self.partition} is not the same in all of "
                        f"{_names(self._directories)}: {_shown(last)} and {_shown(record)}; they are of different runs"
                    )
                continue
            last = record
            yield record

    def _read(self, directory: PartitionDirectory) -> Iterator[Chunk]:
        path, position = directory.path, directory.position
        with contextlib.ExitStack() as stack:
            index, mids, errors = (
                stack.enter_context((path / name).open("rb")) for name in (INDEX_NAME, "mid_prices.log", "errors.log")
            )
            csv = stack.enter_context((path / "mid_prices.csv").open("rb")) if self._with_csv else None
            if csv is not None:
                csv.seek(len(CSV_HEADER))
            last, left = 0, (position.index_bytes or 0) // ENTRY_BYTES
            while left:
                chunk = _chunk(path, index, mids, errors, csv, min(left, self._chunk_records))
                left -= len(chunk.sequences)
                first, end = chunk.sequences[0], chunk.sequences[-1]
                if first <= last or chunk.sequences != list(range(first, end + 1)):
                    for before, after in pairwise(chain((last,), chunk.sequences)):
                        if after > before:
                            continue
                        raise StartRefused(
                            f"`{path}` goes on with record {after} behind record {before}: it holds several epochs, whose "
                            "records have no common order; merge runs of one epoch"
                        )
                last = chunk.sequences[-1]
                yield chunk
            for file, name, length in (
                (mids, "mid_prices.log", position.mid_bytes),
                (errors, "errors.log", position.error_bytes),
            ):
                if file.tell() != length:
                    raise _disagreeing(path / name)


def _chunk(
    path: Path, index: IO[bytes], mids: IO[bytes], errors: IO[bytes], csv: IO[bytes] | None, count: int
) -> Chunk:
    entries = index.read(count * ENTRY_BYTES)
    if len(entries) != count * ENTRY_BYTES:
        raise _disagreeing(path / INDEX_NAME)
    words = memoryview(entries).cast("Q")
    sequences, ties, kinds = (words[place::_WORDS].tolist() for place in (0, 2, 3))
    arrivals = memoryview(entries).cast("q")[1::_WORDS].tolist()
    counts = [kinds.count(kind) for kind in (IN_MIDS, IN_ERRORS, WITHOUT_LINE)]
    if sum(counts) != count:
        raise _disagreeing(path / INDEX_NAME)
    lines = list(islice(mids, counts[IN_MIDS])), list(islice(errors, counts[IN_ERRORS])), [b""] * counts[WITHOUT_LINE]
    for log, found, wanted in zip(("mid_prices.log", "errors.log"), lines, counts, strict=False):
        if len(found) != wanted:
            raise _disagreeing(path / log)
    following = [iter(of_kind) for of_kind in lines]
    in_order = [next(following[kind]) for kind in kinds]
    if csv is None:
        rows = [b""] * count
    else:
        of_mids = iter(list(islice(csv, counts[IN_MIDS])))
        rows = [next(of_mids, b"") if kind == IN_MIDS else b"" for kind in kinds]
    return Chunk(sequences, arrivals, ties, kinds, in_order, rows)


def _disagreeing(path: Path) -> StartRefused:
    return StartRefused(
        f"`{path}` is not what the index and the position beside it say: it was cut or replaced; restore the whole directory"
    )


def _names(directories: Iterable[PartitionDirectory]) -> str:
    return ", ".join(f"`{directory.path}`" for directory in directories)


def _shown(record: Record) -> str:
    return repr(record.line.decode("utf-8", "replace").rstrip("\n")) if record.line else "no line"
