"""What one directory of a partition's sink has: its records, with the lines that belong to them, a chunk at a time."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Final, NamedTuple

from services.price.engine.files import CSV_HEADER, INDEX_HEADER, INDEX_NAME, unreadable_index
from services.price.engine.position import Position
from services.runtime.errors import StartRefused

ENTRY_BYTES: Final = 16
IN_MIDS: Final = 0
IN_ERRORS: Final = 1
WITHOUT_LINE: Final = 2
_GOES_ON_WITH: Final = 3
"""No record: the sequence of the next one, which is not that of the last one and 1."""
_WHAT_BITS: Final = 2
_WHAT_OF_LOWEST_BYTE: Final = bytes(byte & 3 for byte in range(256))


class Record(NamedTuple):
    """One record of a partition, and the lines that it has in the logs."""

    sequence: int
    arrival_time_ns: int
    tie_order: int
    """As its index has it, which is in the same order. Of a marker its kind."""
    kind: int
    line: bytes
    csv: bytes


class Chunk(NamedTuple):
    """Consecutive records, a column for each of their fields."""

    sequences: Sequence[int]
    arrivals: Sequence[int]
    ties: Sequence[int]
    kinds: bytes | Sequence[int]
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
    if not position.index_bytes:
        return None
    with (path / INDEX_NAME).open("rb") as index:
        if index.read(len(INDEX_HEADER)) != INDEX_HEADER:
            raise unreadable_index(path / INDEX_NAME)
        first = index.read(ENTRY_BYTES)
    if len(first) != ENTRY_BYTES or _whats(first)[0] != _GOES_ON_WITH:
        raise _disagreeing(path / INDEX_NAME)
    chunks = _read(path, position, chunk_records=chunk_records, with_csv=with_csv)
    return Segment(chunks, int.from_bytes(first[:8], "little"), position.sequence)


def _read(path: Path, position: Position, *, chunk_records: int, with_csv: bool) -> Iterator[Chunk]:
    with contextlib.ExitStack() as stack:
        index, mids, errors = (
            stack.enter_context((path / name).open("rb")) for name in (INDEX_NAME, "mid_prices.log", "errors.log")
        )
        csv = stack.enter_context((path / "mid_prices.csv").open("rb")) if with_csv else None
        if csv is not None:
            csv.seek(len(CSV_HEADER))
        for first, entries in _runs(path, index, position, chunk_records):
            yield _chunk(path, first, entries, mids, errors, csv)
        for file, name, length in (
            (mids, "mid_prices.log", position.mid_bytes),
            (errors, "errors.log", position.error_bytes),
        ):
            if file.tell() != length:
                raise _disagreeing(path / name)


def _runs(path: Path, index: IO[bytes], position: Position, chunk_records: int) -> Iterator[tuple[int, bytes]]:
    """Yield the entries of records that follow each other, and the sequence of the first one."""
    index.seek(len(INDEX_HEADER))
    left, rest = divmod((position.index_bytes or 0) - len(INDEX_HEADER), ENTRY_BYTES)
    if rest:
        raise _disagreeing(path / INDEX_NAME)
    following = 0
    while left > 0:
        read = index.read(min(left, chunk_records) * ENTRY_BYTES)
        whats = _whats(read)
        if not read or len(read) % ENTRY_BYTES or not (following or whats[0] == _GOES_ON_WITH):
            raise _disagreeing(path / INDEX_NAME)
        left -= len(whats)
        begin = 0
        while begin < len(whats):
            if whats[begin] == _GOES_ON_WITH:
                sequence = int.from_bytes(read[begin * ENTRY_BYTES :][:8], "little")
                if sequence < max(1, following):
                    raise StartRefused(
                        f"`{path}` goes on with record {sequence} behind record {following - 1}: it holds several epochs, whose "
                        "records have no common order; merge runs of one epoch"
                    )
                following = sequence
                begin += 1
                continue
            end = whats.find(_GOES_ON_WITH, begin)
            end = len(whats) if end < 0 else end
            yield following, read[begin * ENTRY_BYTES : end * ENTRY_BYTES]
            following += end - begin
            begin = end


def _whats(entries: bytes) -> bytes:
    """Return what each of the entries is: where the line of a record is, or that numbers go on elsewhere."""
    return entries[8::ENTRY_BYTES].translate(_WHAT_OF_LOWEST_BYTE)


def _chunk(path: Path, first: int, entries: bytes, mids: IO[bytes], errors: IO[bytes], csv: IO[bytes] | None) -> Chunk:
    kinds = _whats(entries)
    count = len(kinds)
    arrivals = memoryview(entries).cast("q")[::2].tolist()
    ties = memoryview(entries).cast("Q")[1::2].tolist()
    counts = [kinds.count(kind) for kind in (IN_MIDS, IN_ERRORS, WITHOUT_LINE)]
    if counts[WITHOUT_LINE]:
        ties = [tie >> _WHAT_BITS if kind == WITHOUT_LINE else tie for tie, kind in zip(ties, kinds, strict=True)]
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
    return Chunk(range(first, first + count), arrivals, ties, kinds, in_order, rows)


def _disagreeing(path: Path) -> StartRefused:
    return StartRefused(
        f"`{path}` is not what the index and the position beside it say: it was cut or replaced; restore the whole directory"
    )
