# distutils: language = c++
"""From a frame to mids and log text."""

from typing import NamedTuple

from fastpath.price_state import PriceState
from fastpath.values import format_latency

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string

from fastpath.columns cimport string_view
from fastpath.frame cimport HeldBytes, TickBatch, TickFrame
from fastpath.mids cimport MidBatch, fill_mid_batch, size_mid_batch
from fastpath.order_digest cimport OrderDigest, Sha256

cdef extern from "price_stage.hpp" namespace "midstream" nogil:
    cdef cppclass TextBuffer:
        const char* data()
        size_t size()
        void clear()

    cdef struct PriceOptions:
        int64_t threshold
        string threshold_text
        cbool log_arrival, with_csv, with_mids, with_index

    cdef struct CountsRecord "midstream::PriceCounts":
        uint64_t mids, latency_filtered, missing_side, rejected, crossed, locked, markers

    cdef struct PriceTexts:
        TextBuffer* mids
        TextBuffer* errors
        TextBuffer* csv
        TextBuffer* index

    cdef cppclass PriceStage:
        PriceOptions options
        CountsRecord counts
        OrderDigest order
        int64_t first_arrival, last_arrival
        MidBatch mids
        size_t process(const TickBatch&, uint64_t, const PriceTexts&) except +


class PriceCounts(NamedTuple):
    """How many records were accounted for, by what became of them."""

    mids: int
    latency_filtered: int
    missing_side: int
    rejected: int
    crossed: int
    locked: int
    markers: int


@cython.final
cdef class LogText:
    """Lines that wait to be written: a read-only buffer, so that no copy is needed. While it is read, the kernel cannot add to it."""

    cdef TextBuffer text
    cdef int readers
    cdef cbool growing

    def __len__(self):
        return self.text.size()

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if self.growing:
            raise BufferError("another thread is adding to this text")
        # An empty text may have no memory yet.
        PyBuffer_FillInfo(buffer, self, <char*>self.text.data() if self.text.size() else <char*>b"", self.text.size(), True, flags)
        self.readers += 1

    def __releasebuffer__(self, Py_buffer* buffer):
        self.readers -= 1

    def clear(self):
        """Let go of the lines; raises BufferError while they are read."""
        self._check()
        self.text.clear()

    cdef bytes take(self):
        cdef bytes taken = bytes(self)
        self.clear()
        return taken

    cdef int _check(self) except -1:
        if self.readers or self.growing:
            raise BufferError("this text is in use; release every view of it first")
        return 0


@cython.final
cdef class PriceKernel:
    """Filters, computes and formats. Lines collect in texts until these are cleared; counts and digest are cumulative."""

    cdef PriceStage stage
    cdef cbool busy
    cdef readonly LogText mid_text, error_text, csv_text, index_text

    def __cinit__(
        self, *, int64_t latency_threshold_ns, bint log_arrival=False, bint with_csv=False, bint with_mids=True, bint with_index=False,
        bytes state not None=b"",
    ):
        self.stage.options.threshold = latency_threshold_ns
        self.stage.options.threshold_text = format_latency(latency_threshold_ns).encode()
        self.stage.options.log_arrival = log_arrival
        self.stage.options.with_csv = with_csv
        self.stage.options.with_mids = with_mids
        self.stage.options.with_index = with_index
        self.mid_text, self.error_text, self.csv_text, self.index_text = LogText(), LogText(), LogText(), LogText()
        if state:
            self._restore(PriceState.unpack(state))

    @property
    def counts(self):
        cdef CountsRecord* counts = &self.stage.counts
        return PriceCounts(
            counts.mids, counts.latency_filtered, counts.missing_side, counts.rejected, counts.crossed, counts.locked, counts.markers
        )

    @property
    def first_arrival_time_ns(self):
        return self.stage.first_arrival

    @property
    def last_arrival_time_ns(self):
        return self.stage.last_arrival

    @property
    def digest_version(self):
        return self.stage.order.version

    def process(self, TickFrame frame not None, *, uint64_t after_sequence=0):
        """Account for the records of `frame` with a sequence above `after_sequence`; return how many there were."""
        cdef size_t done
        cdef PriceTexts texts
        self._claim()
        texts.mids, texts.errors, texts.csv = &self.mid_text.text, &self.error_text.text, &self.csv_text.text
        texts.index = &self.index_text.text
        try:
            with nogil:
                done = self.stage.process(frame.batch, after_sequence, texts)
        finally:
            self._mark(False)
        return done

    def take_mid_text(self):
        """Hand over a copy of `mid_text`, and clear it."""
        self._check_idle()
        return self.mid_text.take()

    def take_error_text(self):
        """Hand over a copy of `error_text`, and clear it."""
        self._check_idle()
        return self.error_text.take()

    def take_csv_text(self):
        """Hand over a copy of `csv_text`, and clear it."""
        self._check_idle()
        return self.csv_text.take()

    def take_mid_batch(self):
        """The MidBatch of the last processed frame; empty when it had no mid or `with_mids` is off."""
        cdef MidBatch* mids = &self.stage.mids
        cdef bytes encoded
        self._check_idle()
        if mids.size() == 0:
            return b""
        encoded = PyBytes_FromStringAndSize(NULL, size_mid_batch(mids[0]))
        fill_mid_batch(mids[0], PyBytes_AS_STRING(encoded))
        mids.clear()
        return encoded

    def state(self):
        """Counts, arrivals and the digest's inner state, to store beside the logs. Versioned; a damaged state raises ValueError."""
        cdef OrderDigest* order = &self.stage.order
        cdef size_t i
        self._check_idle()
        order.sha256.flush()
        return PriceState(
            order.version, self.counts, self.stage.first_arrival, self.stage.last_arrival,
            tuple([order.sha256.word(i) for i in range(8)]), order.sha256.compressed(), <bytes>order.sha256.tail(),
            tuple([order.lanes.lane[i] for i in range(5)]), order.records,
        ).pack()

    def digest(self):
        """SHA-256 (hex) that tells which ticks and rejections there were so far, in sequence order (docs/order_proof.md)."""
        self._check_idle()
        return (<bytes>self.stage.order.digest()).hex()

    def take_proofs(self):
        """Hand over the digests behind every 65,536 records that came since the last call, as (records, digest), and forget them."""
        cdef OrderDigest* order = &self.stage.order
        self._check_idle()
        taken = [(proof.records, (<bytes>proof.digest).hex()) for proof in order.proofs]
        order.proofs.clear()
        return taken

    # One thread at a time: `process` lets go of the GIL while it writes into the texts.
    cdef int _check_idle(self) except -1:
        if self.busy:
            raise RuntimeError("another thread is using this PriceKernel; give each thread one of its own")
        return 0

    cdef int _claim(self) except -1:
        self._check_idle()
        for text in (self.mid_text, self.error_text, self.csv_text, self.index_text):
            (<LogText>text)._check()
        self._mark(True)
        return 0

    cdef void _mark(self, cbool busy) noexcept:  # sets flags alone
        self.busy = self.mid_text.growing = self.error_text.growing = self.csv_text.growing = self.index_text.growing = busy

    cdef int _restore(self, state) except -1:
        cdef OrderDigest* order = &self.stage.order
        cdef CountsRecord* counts = &self.stage.counts
        cdef uint32_t words[8]
        cdef bytes tail = state.tail
        cdef size_t i
        (counts.mids, counts.latency_filtered, counts.missing_side, counts.rejected,
         counts.crossed, counts.locked, counts.markers) = state.counts
        self.stage.first_arrival = state.first_arrival_time_ns
        self.stage.last_arrival = state.last_arrival_time_ns
        for i in range(8):
            words[i] = state.words[i]
        order.version = state.digest_version
        order.sha256.restore(words, state.compressed, string_view(PyBytes_AS_STRING(tail), len(tail)))
        for i in range(5):
            order.lanes.lane[i] = state.lanes[i]
        order.records = state.records
        return 0


def sha256(payload, *, bint portable=False):
    """Hash (hex) with the kernel's own SHA-256; `portable` keeps it from using the processor's SHA instructions. For tests."""
    cdef HeldBytes held
    cdef Sha256* running = new Sha256(<cbool>portable)
    try:
        held.hold(payload)
        running.update(string_view(held.data(), held.size()))
        return (<bytes>running.digest()).hex()
    finally:
        del running
