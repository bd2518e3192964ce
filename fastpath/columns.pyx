# distutils: language = c++
"""Rows in memory, and the table of ticker names that they point into."""

cimport cython
from libcpp cimport bool as cbool

BEFORE_EVERYTHING = C_BEFORE_EVERYTHING
AFTER_EVERYTHING = C_AFTER_EVERYTHING

Key = tuple[int, int, int]
TickRow = tuple[Key, int, str, float, float, float, float]
RejectedRow = tuple[Key, str, bytes]


@cython.final
cdef class Tickers:
    """Numbers for names; shared by everything that fills blocks of one session. Grows with the distinct names seen.

    Live feeds add none beyond `live_names_max` in all; 0 is no bound. Recorded files are not held to it: which of their names came first
    would depend on how far they are read ahead, and a replay has to end in the same bytes each time.
    """

    def __cinit__(self, *, size_t live_names_max=0):
        self.live_names_max = live_names_max

    cdef cbool is_full(self) noexcept:
        return self.live_names_max != 0 and self.table.size() >= self.live_names_max

    def intern(self, str name not None):
        """Return the number of a name, a new one when it was not seen yet."""
        cdef bytes encoded = name.encode()
        return self.table.intern(string_view(<const char*>encoded, len(encoded)))

    def name(self, size_t number):
        """Return the name behind a number."""
        if number >= self.table.size():
            raise IndexError(f"ticker number {number} is out of range; the table has {self.table.size()}")
        return self.table.name(<uint32_t>number).decode("utf-8")

    def __len__(self):
        return self.table.size()


@cython.final
cdef class Block:
    """A growable run of rows. It owns its rows; kernels write into them and read from them without copies."""

    def __cinit__(self, Tickers tickers not None):
        self.tickers = tickers

    def __len__(self):
        return self.rows.size()

    @property
    def rejections(self):
        return self.rows.rejected.size()

    def clear(self):
        """Drop all rows and keep the memory."""
        self.rows.clear()

    def drop(self, size_t count):
        """Drop the first `count` rows."""
        if count > self.rows.size():
            raise IndexError(f"`count` {count} is more than the {self.rows.size()} rows")
        self.rows.drop(count)

    def append_tick(
        self, str ticker not None, *, int64_t arrival_time_ns, int64_t event_time_ns,
        double bid_price, double bid_amount, double ask_price, double ask_amount,
        uint32_t source_rank=0, uint64_t row=0,
    ):
        """Append one tick."""
        self.rows.push_tick(
            arrival_time_ns, event_time_ns, bid_price, bid_amount, ask_price, ask_amount,
            self.tickers.intern(ticker), source_rank, row,
        )

    def append_rejection(
        self, *, int64_t arrival_time_ns, uint32_t source_rank=0, uint64_t row=0, str reason not None, bytes raw=b"",
    ):
        """Append what could not be used; of `raw` the first 1,024 bytes are kept."""
        cdef bytes head = raw[:1024]
        self.rows.push_rejection(
            arrival_time_ns, source_rank, row, reason.encode(), string_view(<const char*>head, len(head))
        )

    def key(self, size_t index):
        """Return what row `index` is ordered by."""
        self._check(index)
        return self._key(index)

    def count_due(self, size_t start, int64_t due_ns):
        """Count the rows from `start` on that arrive at or before `due_ns`; the block must be in arrival order."""
        if start > self.rows.size():
            raise IndexError(f"`start` {start} is beyond the {self.rows.size()} rows")
        return self.rows.count_due(start, due_ns)

    def count_due_capped(self, size_t start, int64_t due_ns, int64_t gap_ns):
        """Count the rows from `start` on that would arrive at or before `due_ns` if no gap behind the first were longer than `gap_ns`."""
        if start > self.rows.size():
            raise IndexError(f"`start` {start} is beyond the {self.rows.size()} rows")
        return self.rows.count_due_capped(start, due_ns, gap_ns)

    def beyond_gaps(self, size_t start, size_t stop, int64_t gap_ns):
        """Return by how much the gaps between rows start..stop are longer than `gap_ns`, together."""
        if not start <= stop <= self.rows.size():
            raise IndexError(f"rows {start}..{stop} are not within the {self.rows.size()} rows")
        return self.rows.beyond_gaps(start, stop, gap_ns)

    def behind_ticks(self, size_t start, size_t stop, size_t count, *, str ticker=None):
        """Return the row behind the `count`-th tick of rows start..stop (of one ticker), or `stop`, and how many ticks are before it."""
        cdef size_t i, found = 0
        cdef uint32_t number = 0
        cdef cbool any_ticker = ticker is None
        if not start <= stop <= self.rows.size():
            raise IndexError(f"rows {start}..{stop} are not within the {self.rows.size()} rows")
        if not any_ticker:
            number = self.tickers.intern(ticker)
        for i in range(start, stop):
            if self.rows[i].is_rejected() or not (any_ticker or self.rows[i].ticker() == number):
                continue
            found += 1
            if found >= count:
                return i + 1, found
        return stop, found

    def to_rows(self):
        """Copy the rows out, for tests and reports."""
        cdef size_t i
        cdef Row row
        cdef list out = []
        for i in range(self.rows.size()):
            row = self.rows[i]
            key = self._key(i)
            if row.is_rejected():
                out.append((key, self.rows.rejected[row.rejection()].reason.decode("utf-8", "replace"),
                            <bytes>self.rows.rejected[row.rejection()].raw))
            else:
                out.append((key, row.event, self.tickers.name(row.ticker()),
                            row.bid_price, row.bid_amount, row.ask_price, row.ask_amount))
        return out

    cdef tuple _key(self, size_t index):
        cdef object arrival = self.rows[index].arrival
        cdef object rank = self.rows[index].rank
        cdef object row = self.rows[index].row
        return arrival, rank, row

    cdef int _check(self, size_t index) except -1:
        if index >= self.rows.size():
            raise IndexError(f"row {index} is out of range; the block has {self.rows.size()}")
        return 0
