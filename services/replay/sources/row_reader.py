"""The seam between a replay and the formats of its files: what a format has to do, and what it is given.

A new format is one module with a RowFile and a RowReader, and one line in `formats.py`. Replaying, resuming, sorting on disk,
scanning for latencies and inspecting then work, because they know nothing else of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fastpath.columns import Block, Tickers
from fastpath.latency import LatencyModel
from fastpath.records import SourceCursor
from services.replay.sources.options import HistoricalOptions
from services.runtime.session.line_counts import LineCounts

BUFFER_BYTES = 128 * 1024
"""Of a buffer that readers share: more than the longest line, and less than leaves a processor's second cache."""
PASSING_BYTES = 512 * 1024
"""The same where lines of other partitions are passed over: these leave nothing, and a read of more of them costs no more calls."""
LATENCY_BOUND_MIN = -(2**62)
"""As good as none, for who only looks: no row breaks it."""


def new_buffer(size: int = BUFFER_BYTES) -> memoryview:
    """Return memory to read into."""
    return memoryview(bytearray(size))


@dataclass(frozen=True)
class RawFile:
    """One open regular file that is not empty. Readers share the descriptor at offsets of their own, and never close it."""

    name: str
    descriptor: int
    size: int
    head: bytes
    """Its first bytes, some 64 KiB."""


@dataclass(frozen=True)
class FileTickers:
    """Which tickers the usable rows of a file have, among others maybe, where every line behind its header is one row, usable or not."""

    names: tuple[str, ...] = ()
    """None: that is not certain, or they are too many."""
    rows: int = 0
    are_usable: bool = False
    """Every row can be used and is in order, as somebody found who read all of them. False: that is not known."""


@dataclass(frozen=True)
class Skim:
    """What reading the bytes of a file through told, without a look at its rows."""

    surely_not_negative: bool
    """No latency is below zero. False: that was not proved."""
    damage: str = ""
    """Why the rows end before the file's end; empty when they do not."""
    doubted_from: int = -1
    """With `damage`: rows whose `offset` is this or more may be wrong although they can be read; -1: none are."""
    tickers: FileTickers | None = None
    """None: not looked for, or not certain."""


@dataclass(frozen=True)
class Damage:
    """Where the rows of a damaged file stop being believable, which is before they stop being readable."""

    reason: str
    offset: int
    """A reader that stands here is at its end."""


@dataclass(frozen=True)
class Reading:
    """How the rows of a file are wanted."""

    tickers: Tickers
    options: HistoricalOptions
    """`min_latency_ms` and `unsorted` are not for readers: what follows from them stands below."""
    place: SourceCursor
    """Where to start: the file's `beginning`, or the `place` of an earlier reader."""
    rank: int = 0
    shift_ns: int = 0
    """What is added to every latency with the policy `shift`."""
    latency_bound_ns: int = 0
    """No latency is below it, after the policy. A row that is raises LatencyBoundBroken, unless the file is sorted by arrival."""
    latency: LatencyModel = field(default_factory=LatencyModel)
    """When rows arrive in place of the file. The file's own order is checked as without it; policy, bound and filters go by the model."""
    check_order: bool = True
    """Off: rows come as they stand, nothing is raised, and `bound_ns` means nothing."""
    read_bytes: int = BUFFER_BYTES
    """How much to read at a time: the rows of it wait in memory, and many files may be read at once."""
    buffer: memoryview = field(default_factory=new_buffer)
    """Where to read it. Readers of one thread may share it: what one of them needs of it, it needs only until it returns."""
    end: Damage | None = None
    """Where to stop before the file's end, with a last rejection that says why."""

    @property
    def in_partition(self) -> Callable[[str], bool] | None:
        """Return what tells whether a ticker's rows are handed out; None: all are."""
        partition = self.options.partition
        return None if partition.is_all else partition.has_ticker

    @property
    def rejections_elsewhere(self) -> bool:
        """Tell whether another partition has the rows of this file that cannot be used."""
        return not self.options.partition.has_source(self.rank)


class RowReader(Protocol):
    """The rows of one file from a place on. One thread uses it.

    Rows are numbered upwards in the order of the file, from 1 or more, and carry that number and the rank into the block. Latency
    model, policy and filters of the options are the reader's to apply. A row that cannot be used becomes a rejection at the arrival of the
    row before.
    """

    @property
    def finished(self) -> bool:
        """Tell whether the last row was read."""

    @property
    def damage(self) -> str:
        """Return why the rows end before the file's end; empty while all is well."""

    @property
    def line(self) -> int:
        """Return the number of the next row."""

    @property
    def skipped(self) -> int:
        """Return how many rows the filters left out, those before the place included."""

    @property
    def bound_ns(self) -> int:
        """Return the lowest arrival time that a row still to come can have; BEFORE_EVERYTHING when nothing is known."""

    @property
    def latency_ns_min(self) -> int:
        """Return the lowest latency seen by this reader, before any policy; AFTER_EVERYTHING when there was no row."""

    @property
    def negative_latencies(self) -> int:
        """Return how many latencies below zero this reader saw."""

    @property
    def unusable(self) -> tuple[int, str] | None:
        """Return number and reason of the first row that could not be used, as long as none could; None: one could, or there was none."""

    @property
    def remark(self) -> str:
        """Return what is worth a word about the file's end, once it was read to it; empty when nothing is."""

    @property
    def counts(self) -> LineCounts:
        """Return how many lines this reader read, and what became of them. True once it is finished."""

    def place(self) -> SourceCursor:
        """Return where reading stands: a reader from there on begins with the row `line`."""

    def feed(self, into: Block, rows: int) -> None:
        """Append up to about `rows` rows, at least one unless the file ends or all were left out.

        Raises UnsortedSource and LatencyBoundBroken of `fastpath.rules`, with the rows before in the block, and SourceFailed.
        """


class RowFile(Protocol):
    """One file as its format understands it. What is wrong with it as a whole was UnusableInput when it was made."""

    @property
    def layout(self) -> str:
        """Return what reports call the format, and what was found of it."""

    @property
    def source(self) -> str:
        """Return what the rows came from, which rejections are called after; empty: the file itself."""

    @property
    def compressed(self) -> bool:
        """Tell whether the file as a whole is compressed."""

    @property
    def by_arrival(self) -> bool:
        """Tell whether the file promises the order of arrival: then no row needs a bound of the latencies."""

    @property
    def beginning(self) -> SourceCursor:
        """Return the place of the first row."""

    def read(self, reading: Reading) -> RowReader:
        """Return a reader of the rows from `reading.place` on."""

    def skim(self, *, negatives: bool, tickers: bool = False) -> Skim:
        """Read the bytes through: whether they are whole, with `negatives` whether no latency is below zero, and which `tickers` there are.

        A format that can tell any of it for less than reading the rows does so; all others answer `Skim(False)`.
        """
