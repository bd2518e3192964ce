"""The files of a run, whatever they are: CSVs and recordings of live feeds."""

from __future__ import annotations

from collections.abc import Iterator

from services.verify import reading, recordings
from services.verify.latency import Model
from services.verify.reading import Lines, ReadOptions, Record

HEAD_BYTES_MAX = 64 * 1024


def source_name(name: str) -> str:
    """Return what rejections of a file are called after: the feed, where it is a recording of one. Raises Unreadable."""
    return _feed(name) or name


def records(name: str, rank: int, options: ReadOptions, lines: Lines, model: Model | None) -> Iterator[Record]:
    """Yield the records of one file in its order. Raises Unreadable."""
    shift_ns = 0
    if options.negative_latency == "shift":
        lowest_ns = options.min_latency_ns
        lowest_ns = min(0, min(latencies(name, options), default=0) if lowest_ns is None else lowest_ns)
        shift_ns = max(0, -(lowest_ns if model is None else model.lowest_ns(lowest_ns)))
    read = reading.records if _feed(name) is None else recordings.recorded
    yield from read(name, rank, options, lines, model, shift_ns)


def latencies(name: str, options: ReadOptions = reading.AS_IT_IS) -> Iterator[int]:
    """Yield the latencies that the usable rows of a file say, in its order. Raises Unreadable."""
    return reading.file_latencies(name, options) if _feed(name) is None else recordings.recorded_latencies(name)


def _feed(name: str) -> str | None:
    with reading.opened(name) as file:
        return recordings.source_of(file.readline(HEAD_BYTES_MAX))
