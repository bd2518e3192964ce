"""Recorded files as one source: every row in the order in which it would have arrived."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fastpath.columns import AFTER_EVERYTHING, BEFORE_EVERYTHING, Block, Tickers
from fastpath.frame import MODE_HISTORICAL, encode_cursor
from fastpath.merge import Merger
from fastpath.records import Cursor, SourceCursor
from fastpath.rules import LatencyBoundBroken, UnsortedSource
from services.replay.sources.advice import advice
from services.replay.sources.errors import UnusableInput
from services.replay.sources.external_sort import SortedRun, sort_file
from services.replay.sources.file_source import FileSource, SourceNote
from services.replay.sources.inputs import InputFile, fingerprint, open_inputs
from services.replay.sources.latency_kernels import SourceLatency, source_latencies
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.prescan import plan_latencies
from services.replay.sources.row_reader import BUFFER_BYTES, PASSING_BYTES, new_buffer
from services.replay.sources.scan_cache import forget_scan, keep_usable
from services.replay.sources.source import Complaints, Poll
from services.replay.sources.source_numbers import KnownNumbers, recorded_numbers
from services.replay.sources.spill import RUN_BLOCK_BYTES, SpilledRun, SpillFile
from services.runtime.session.line_counts import LineCounts

READ_ROWS = 16_384
"""Rows read before the next look at what is settled, at least: merging then costs little beside decoding."""
SHARE_MAX = 4
"""With several partitions so many times as many lines are read at once at most: a block has about the rows that one partition's has, and
what is paced waits a fraction of a millisecond."""
FEED_ROWS_MIN = 64
"""Rows that one read of a file brings, about, when there are very many files."""
FEED_ROWS_MAX = 4096
"""Rows that one read of a file brings at most, however short they are."""
POLL_ROWS_READ_MAX = 65_536
"""Rows that one poll may read without finding any to hand over (a filter leaves them out), some 5 ms of work."""
IN_FLIGHT_ROWS_MAX = 2_000_000
"""Rows in memory before they go to disk, some 150 MB. Only wild latencies get there."""
SPILLED_ROW_BYTES = 72
CURSOR_ROWS_MIN = 16_384
CURSOR_ROWS_PER_SOURCE = 256
"""A cursor costs time per source. It may be older than it could be: then a resume reads a few more rows again."""


class HistoricalSource:
    """Reads files and hands out their rows in the total order (arrival time, source rank, row).

    `open` finds everything that can be wrong with a file by its name, header or latencies; nothing was handed out then.
    Later errors: UnusableInput when a row breaks the order or the latency that its file promised (what was handed out
    before is a valid prefix), SourceFailed when reading or spilling fails. One thread uses it.
    """

    mode = MODE_HISTORICAL

    def __init__(
        self,
        paths: Sequence[str],
        options: HistoricalOptions,
        *,
        resume: Cursor | None = None,
        growing: bool = False,
        cache_dir: Path | None = None,
        temp_dir: Path | None = None,
        in_flight_rows_max: int = IN_FLIGHT_ROWS_MAX,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._paths = tuple(paths)
        self._share = min(options.partition.of.count, SHARE_MAX)
        """Of so many lines about one is a row of this partition."""
        self._options = options
        self._resume = resume
        self._growing = growing
        self._cache_dir = cache_dir
        self._spill = SpillFile(temp_dir)
        self._in_flight_rows_max = in_flight_rows_max
        self._monotonic_ns = monotonic_ns
        self._files: list[FileSource] = []
        self._merger: Merger | None = None
        self._runs: dict[int, SpilledRun] = {}
        self._opened = self._interrupted = self._stopped = self._ended = False
        self._rows_since_places = 0
        self._rows_since_spill = 0
        self._places: tuple[SourceCursor, ...] = ()
        self._cursor: bytes | None = None
        self._unmatched_tickers: tuple[str, ...] = ()
        self.names: tuple[str, ...] = ()
        self.files: tuple[str, ...] = ()
        self.latencies: tuple[SourceLatency, ...] = ()
        self.fingerprint = ""
        self.first_read_monotonic_ns = 0
        self.spilled_rows = 0

    def open(self) -> None:
        """Open every file, check its header and find the lower bound of its latencies; again does nothing."""
        if self._opened:
            return
        self.first_read_monotonic_ns = self._monotonic_ns()
        inputs = open_inputs(self._paths, growing=self._growing)
        try:
            self._places = self._first_places(inputs)
            names = [opened.name for opened in inputs]
            self.latencies = source_latencies(self._options, names)
            models = [latency.kernel for latency in self.latencies]
            # Whoever goes on in the middle is waited for: others have read so far, and look at what has come.
            plans = plan_latencies(
                inputs,
                self._options,
                self._cache_dir,
                models,
                growing=self._growing,
                in_hurry=not self._is_beginning,
            )
            for name, plan, model in zip(names, plans, models, strict=True):
                if plan.scanned.unsorted_line and model.changes:
                    raise UnusableInput(_not_a_channel(name, plan.scanned.unsorted_line))
        except BaseException:
            for opened in inputs:
                opened.close()
            raise
        self._files = [FileSource(*parts) for parts in zip(inputs, plans, self._places, models, strict=True)]
        self.files = tuple(names)
        self.names = tuple(opened.content.source or opened.name for opened in inputs)
        self.fingerprint = fingerprint(
            inputs, self._options, [latency.digest for latency in self.latencies], growing=self._growing
        )
        self._opened = True

    def start(self, wake: Callable[[], None]) -> None:
        """Open the files if that was not done yet. Files never wake anybody: there is always more, or the end."""
        self.open()

    def poll(self, into: Block, limit: int) -> Poll:
        """Append at most about `limit` rows to `into`; blocks of every call must share one ticker table.

        The first call sorts the files that need it. No rows without `ended` only means: call again.
        """
        if self._ended or self._interrupted or self._stopped:
            return Poll(ended=self._ended)
        merger = self._merger
        if merger is None:
            merger = self._merger = self._begin(into.tickers)
        self._note_places(merger)
        before = len(into)
        may_read = POLL_ROWS_READ_MAX
        while len(into) == before and may_read > 0 and not self._interrupted:
            if merger.take(into, limit):
                continue
            # Runs that are read back count as in flight, too. Spilling those again and again would lead nowhere, so new
            # rows must have been read in between.
            if min(self._rows_since_spill, merger.in_flight) > self._in_flight_rows_max:
                self._spill_rows(merger)
            read = self._read_some(merger, limit)
            may_read -= read
            if read == 0:
                self._ended = True
                self._unmatched_tickers = self._find_unmatched(into.tickers)
                break
        rows = len(into) - before
        self._rows_since_places += rows
        return Poll(rows=rows, ended=self._ended)

    def cursor_sources(self) -> bytes:
        """Return the encoded places to read from again, valid once every row before the last poll was emitted."""
        if self._cursor is None:
            self._cursor = encode_cursor(Cursor(last_key=None, sources=self._places))
        return self._cursor

    @property
    def lowest_ns(self) -> int:
        """Return the arrival time below which no row is still to be handed out, by what was read so far."""
        return BEFORE_EVERYTHING if self._merger is None else self._merger.lowest_ns

    def has_grown(self) -> bool:
        """Tell whether a file has more whole lines than when it was opened."""
        return any(file.opened.has_grown() for file in self._files)

    def numbers(self) -> KnownNumbers:
        """Return what the source itself numbered, of the newest records of recordings; nothing where not all of these are replayed."""
        if self.damaged or self._options.end_time_ns is not None:
            return KnownNumbers()
        found = (recorded_numbers(file.opened.descriptor, file.opened.size) for file in self._files)
        return KnownNumbers(itertools.chain.from_iterable(found))

    def interrupt(self) -> None:
        """Make a poll that still sorts or searches return soon. The only method for other threads."""
        self._interrupted = True

    def stop(self) -> None:
        """Close every file and give memory and disk back; nothing can be polled any more."""
        if self._stopped:
            return
        self._stopped = True
        for file in self._files:
            file.close()
        self._merger = None
        self._spill.close()

    @property
    def skipped(self) -> int:
        """Return how many rows the filters left out, resumed runs included."""
        return sum(file.skipped for file in self._files)

    @property
    def damaged(self) -> tuple[str, ...]:
        """Return the files whose compressed data ended too early or went wrong, as far as they were read."""
        return tuple(file.opened.name for file in self._files if file.damage)

    @property
    def complaints(self) -> Complaints:
        """Return what is wrong with the files, as far as they were read."""
        return Complaints(
            damage=tuple(
                f"{file.opened.name}:{file.damage_line}: {file.damage}" for file in self._files if file.damage
            ),
            unusable=tuple(_unusable(file.opened.name, *file.unusable) for file in self._files if file.unusable),
            remarks=tuple(f"{file.opened.name}: {file.remark}" for file in self._files if file.remark),
            unmatched_tickers=self._unmatched_tickers,
        )

    @property
    def line_counts(self) -> tuple[LineCounts, ...]:
        """Return what was read of each file; empty until all of them came to their end."""
        counts = [file.counts for file in self._files if file.counts is not None]
        return tuple(counts) if len(counts) == len(self._files) else ()

    @property
    def notes(self) -> tuple[SourceNote, ...]:
        """Return what was found out and done about each file."""
        return tuple(file.note(self._options) for file in self._files)

    @property
    def in_flight(self) -> int:
        """Return how many rows are held in memory."""
        return self._merger.in_flight if self._merger is not None else 0

    def _find_unmatched(self, tickers: Tickers) -> tuple[str, ...]:
        if self._resume is not None and self._resume.sources:
            return ()  # earlier runs may have seen them
        # Names are noted as they are met, before the window of time is looked at.
        met = {tickers.name(number) for number in range(len(tickers))}
        expected = (name for name in self._options.tickers if self._options.partition.has_ticker(name))
        return tuple(name for name in expected if name not in met)

    @property
    def _is_beginning(self) -> bool:
        return self._resume is None or (self._resume.last_key is None and not self._resume.sources)

    def _first_places(self, inputs: Sequence[InputFile]) -> tuple[SourceCursor, ...]:
        resume = self._resume
        if resume is None or self._is_beginning:
            return tuple(opened.content.beginning for opened in inputs)
        if len(resume.sources) != len(inputs):
            raise UnusableInput(
                f"the position to resume from has {len(resume.sources)} files and {len(inputs)} were named; "
                "name the same files, or start over with --overwrite"
            )
        # Line 0: the header was not read when the place was noted.
        return tuple(
            place if place.line else opened.content.beginning
            for opened, place in zip(inputs, resume.sources, strict=True)
        )

    def _begin(self, tickers: Tickers) -> Merger:
        last_key = None if self._resume is None else self._resume.last_key
        merger = Merger(tickers, len(self._files), resume_after=last_key)
        buffer = new_buffer(BUFFER_BYTES if self._options.partition.is_all else PASSING_BYTES)
        for rank, file in enumerate(self._files):
            if not self._growing and file.is_elsewhere(self._options.partition, rank):
                file.pass_over()
                merger.advance(rank, AFTER_EVERYTHING, finished=True)
                continue
            if not file.needs_sorting:
                file.begin(tickers, self._options, rank=rank, file_count=len(self._files), buffer=buffer)
                continue
            runs = sort_file(
                file, tickers, self._options, rank=rank, spill=self._spill, interrupted=lambda: self._interrupted
            )
            merger.advance(rank, AFTER_EVERYTHING, finished=True)
            for run in runs:
                self._add_run(merger, run)
        return merger

    def _read_some(self, merger: Merger, limit: int) -> int:
        """Read some rows of whoever holds the others back, about `limit` where few are wanted; 0: there are none left."""
        files = self._files
        # Looking at every source costs time per source, so each is read twice in between.
        enough = max(self._share * min(READ_ROWS, limit), 2 * FEED_ROWS_MIN * len(files))
        read = 0
        while read < enough:
            number = merger.laggard()
            if number < 0:
                break
            if number >= len(files):
                read += self._read_run(merger, number)
                continue
            try:
                count = files[number].read(merger, number, FEED_ROWS_MAX)
            except (UnsortedSource, LatencyBoundBroken) as problem:
                forget_scan(files[number].opened, self._cache_dir)
                raise UnusableInput(f"{files[number].opened.name}: {problem}") from problem
            read += count
            self._rows_since_spill += count
            if files[number].counts is not None:
                self._note_end(number)
        return read

    def _note_end(self, rank: int) -> None:
        # With several partitions the one that has what cannot be used of a file reads all of it, and finds mostly that there is nothing.
        file, options = self._files[rank], self._options
        if not options.partition.is_all and not self._growing and file.found_all_usable(options, rank):
            keep_usable(file.opened, options, self._cache_dir)

    def _read_run(self, merger: Merger, number: int) -> int:
        run = self._runs[number]
        block = self._spill.read(run, RUN_BLOCK_BYTES)
        final = run.position + len(block) == run.end
        used = merger.feed_run(number, block, final=final)
        run.position += used
        if final:
            del self._runs[number]
        return 1 + used // SPILLED_ROW_BYTES

    def _spill_rows(self, merger: Merger) -> None:
        row_count = merger.in_flight
        oldest_rows = {rank: merger.oldest_row(rank) for rank in range(len(self._files))}
        stored = self._spill.append(merger.spill())
        self._add_run(merger, SortedRun(stored, row_count, oldest_rows))
        self._rows_since_spill = 0
        self.spilled_rows += row_count

    def _add_run(self, merger: Merger, run: SortedRun) -> None:
        oldest_rows = {rank: row for rank, row in run.oldest_rows.items() if row >= 0}
        self._runs[merger.add_run(run.row_count, oldest_rows=oldest_rows)] = run.stored

    def _note_places(self, merger: Merger) -> None:
        # Now, because every row that was handed out before this poll has been emitted, and none of the next ones.
        if self._rows_since_places < max(CURSOR_ROWS_MIN, CURSOR_ROWS_PER_SOURCE * len(self._files)):
            return
        self._rows_since_places = 0
        self._places = tuple(file.place_before(merger.oldest_row(rank)) for rank, file in enumerate(self._files))
        self._cursor = None


def _not_a_channel(name: str, line: int) -> str:
    return (
        f"{name}: line {line} is sorted neither by event time nor by arrival time, so which row was sent before which is not known, and "
        "a latency model needs that; sort the file by its timestamps first, or give it the model `file`"
    )


def _unusable(name: str, line: int, reason: str) -> str:
    fix = advice(reason)
    return f"{name}: no row can be used; line {line}: {reason}" + (f"; {fix}" if fix else "")
