# distutils: language = c++
"""What decoders of lines and of recorded frames have in common: where they stand, and the rules by which rows become those of a Block."""

from fastpath.rules import NegativeLatency

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastpath.columns cimport C_AFTER_EVERYTHING as AFTER, C_BEFORE_EVERYTHING as BEFORE, Block, Tickers, string_view
from fastpath.latency cimport LatencyModel
from fastpath.text cimport RowWriter


cdef class RowDecoder:
    """Decodes one source, from `offset` on, into a Block. What it reads is up to those that go by it."""

    def __init__(
        self, Tickers tickers not None, *, uint32_t source_rank, uint64_t offset, uint64_t line,
        int64_t previous_arrival_time_ns=BEFORE, int64_t previous_event_time_ns=BEFORE, uint64_t skipped=0, int order=0,
        int64_t start_time_ns=BEFORE, int64_t end_time_ns=AFTER, only_tickers=(),
        negative_latency=NegativeLatency.KEEP, int64_t shift_ns=0, bint check_order=True,
        LatencyModel latency=None, int64_t channel_arrival_time_ns=BEFORE, in_partition=None, bint rejections_elsewhere=False,
    ):
        if isinstance(only_tickers, (str, bytes)):
            raise TypeError("`only_tickers` takes a sequence of names, not one name")
        policy = NegativeLatency(negative_latency)
        self.tickers = tickers
        self.only_tickers = frozenset(name.encode() for name in only_tickers)
        self.in_partition = in_partition
        self.source_rank = source_rank
        self.offset = offset
        self.rules.policy.rejections_elsewhere = rejections_elsewhere
        self.rules.state.line = line
        self.rules.state.previous_arrival_ns = previous_arrival_time_ns
        self.rules.state.previous_event_ns = previous_event_time_ns
        self.rules.state.skipped = skipped
        self.rules.state.order = order
        self.rules.state.channel.last_ns = channel_arrival_time_ns
        self.rules.policy.start_time_ns = start_time_ns
        self.rules.policy.end_time_ns = end_time_ns
        self.rules.policy.clamp = policy is NegativeLatency.CLAMP
        self.rules.policy.shift_ns = shift_ns if policy is NegativeLatency.SHIFT else 0
        self.rules.policy.check_order = check_order
        if latency is not None:
            self.rules.policy.model = latency.core

    @property
    def line(self):
        return self.rules.state.line

    @property
    def skipped(self):
        return self.rules.state.skipped

    @property
    def elsewhere(self):
        return self.rules.state.elsewhere

    @property
    def previous_arrival_time_ns(self):
        return self.rules.state.previous_arrival_ns

    @property
    def previous_event_time_ns(self):
        return self.rules.state.previous_event_ns

    @property
    def channel_arrival_time_ns(self):
        return self.rules.state.channel.last_ns

    @property
    def order(self):
        return self.rules.state.order

    @property
    def bound_ns(self):
        return self.rules.bound()

    @property
    def latency_ns_min(self):
        return self.rules.state.latency_ns_min

    @property
    def negative_latencies(self):
        return self.rules.state.negative_latencies

    @property
    def rejected(self):
        return self.rules.rejected

    @property
    def first_rejection(self):
        if self.rules.rejected == 0:
            return None
        return self.rules.first_rejected_line, self.rules.first_rejected_reason.decode("utf-8", "replace")

    def reject(self, Block into not None, str reason not None, bytes raw=b""):
        """Append a rejection at the current place and count a row (a truncated compressed file, for example)."""
        cdef RowWriter* writer = self._writer(into)
        try:
            self._end_held(writer)
            self._reject_row(writer, reason, raw)
        finally:
            writer.trim()
            del writer

    cdef RowWriter* _writer(self, Block into) except NULL:
        """Return a writer of rows of `into`; whoever has it trims and deletes it."""
        if into.tickers is not self.tickers:
            raise ValueError("`into` uses another ticker table than the decoder")
        return new RowWriter(&into.rows, self.source_rank)

    cdef int _reject_row(self, RowWriter* writer, str reason, bytes raw) except -1:
        self.rules.reject(writer[0], reason.encode("utf-8", "replace"), string_view(<const char*>raw, len(raw)))
        self.rules.state.line += 1
        return 0

    cdef int _end_held(self, RowWriter* writer) except -1:
        """Reject what is held of a row whose end was not seen, where it counts as one."""
        return 0
