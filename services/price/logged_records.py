"""What one directory of a partition's sink has: its records, with the lines that belong to them, a chunk at a time."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import IO, Final, NamedTuple

from services.price.engine.files import CSV_HEADER, INDEX_NAME
from services.price.engine.position import Position
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


class Segment:
    """What one directory has, read as far as it was asked for."""

    def __init__(self, chunks: Iterator[Chunk], first_sequence: int, last_sequence: int) -> None:
        self._chunks = chunks
        self._chunk: Chunk | None = None
        self.next_sequence = first_sequence
        """Of the first record that was not given yet."""
        self.last_sequence = last_sequence

    def before(self, end: int | None) -> Iterator[Chunk]:
        """Yield its records, all of them or those below a sequence."""
        while self.go_on():
            assert self._chunk is not None
            chunk, self._chunk = self._chunk, None
            if end is not None and chunk.sequences[-1] >= end:
                at = bisect_left(chunk.sequences, end)
                taken = Chunk._make(column[:at] for column in chunk)
                self._chunk = Chunk._make(column[at:] for column in chunk)
                if at:
                    yield taken
                return
            yield chunk

    def go_on(self) -> bool:
        """Have the next records at hand; False behind the last one."""
        if self._chunk is None:
            self._chunk = next(self._chunks, None)
        if self._chunk is not None:
            self.next_sequence = self._chunk.sequences[0]
        return self._chunk is not None


def open_segment_of(path: Path, position: Position, *, chunk_records: int, with_csv: bool) -> Segment | None:
    """Return what a directory has up to a position, with none of its files open yet; None where it has no records."""
    count = (position.index_bytes or 0) // ENTRY_BYTES
    if not count:
        return None
    with (path / INDEX_NAME).open("rb") as index:
        first, last = (_sequence_at(index, at) for at in (0, count - 1))
    if first is None or last is None:
        raise _disagreeing(path / INDEX_NAME)
    return Segment(_read(path, position, chunk_records=chunk_records, with_csv=with_csv), first, last)


def _read(path: Path, position: Position, *, chunk_records: int, with_csv: bool) -> Iterator[Chunk]:
    with contextlib.ExitStack() as stack:
        index, mids, errors = (
            stack.enter_context((path / name).open("rb")) for name in (INDEX_NAME, "mid_prices.log", "errors.log")
        )
        csv = stack.enter_context((path / "mid_prices.csv").open("rb")) if with_csv else None
        if csv is not None:
            csv.seek(len(CSV_HEADER))
        last, left = 0, (position.index_bytes or 0) // ENTRY_BYTES
        while left:
            chunk = _chunk(path, index, mids, errors, csv, min(left, chunk_records))
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


def _sequence_at(index: IO[bytes], record: int) -> int | None:
    index.seek(record * ENTRY_BYTES)
    entry = index.read(8)
    return int.from_bytes(entry, "little") if len(entry) == 8 else None


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
