"""Records of all files in the total order, in memory of a fixed size: sorted runs on disk, merged."""

from __future__ import annotations

import heapq
import marshal
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from services.verify.reading import Record

RUN_RECORDS = 200_000
"""Sorted in memory at a time, some 100 MB."""
PIECE_RECORDS = 2_000
"""Of each run in memory while all are merged."""


def ordered(
    records: Iterable[Record], *, temp_dir: Path | None = None, run_records: int = RUN_RECORDS
) -> Iterator[Record]:
    """Yield records by arrival, rank and line."""
    source = iter(records)
    run = sorted(islice(source, run_records))
    files: list[IO[bytes]] = []
    try:
        while following := list(islice(source, run_records)):
            files.append(_store(run, temp_dir))
            run = sorted(following)
        yield from heapq.merge(*map(_load, files), run)
    finally:
        for file in files:
            file.close()


def _store(run: list[Record], temp_dir: Path | None) -> IO[bytes]:
    file = tempfile.TemporaryFile(dir=temp_dir, prefix="midstream-verify-")  # noqa: SIM115  closed by who asked for it
    for start in range(0, len(run), PIECE_RECORDS):
        marshal.dump([tuple(record) for record in run[start : start + PIECE_RECORDS]], file)
    marshal.dump(None, file)
    file.seek(0)
    return file


def _load(file: IO[bytes]) -> Iterator[Record]:
    while (piece := marshal.load(file)) is not None:
        yield from map(Record._make, piece)
