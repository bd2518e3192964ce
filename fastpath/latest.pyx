# distutils: language = c++
"""The latest record of each ticker in a stream of batches, and what of it is new since a sequence."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport string_view
from fastpath.frame cimport HeldBytes, TickBatch, raise_frame_error
from fastpath.mids cimport MidBatch, fill_mid_batch, size_mid_batch

cdef extern from "tick_reader.hpp" namespace "midstream" nogil:
    void read_tick_batch(const char*, size_t, TickBatch&) except +raise_frame_error

cdef extern from "mid_batch.hpp" namespace "midstream" nogil:
    void read_mid_batch(const char*, size_t, MidBatch&) except +raise_frame_error

cdef extern from "tick_writer.hpp" namespace "midstream" nogil:
    cdef cppclass BatchPlan:
        pass

    size_t size_batch(const BatchPlan&) except +
    void fill_batch(const BatchPlan&, char*)

cdef extern from "latest_rows.hpp" namespace "midstream" nogil:
    cdef cppclass LatestRow:
        uint64_t sequence
        int64_t event, arrival
        int32_t mode
        double* values "values.data()"

    cdef cppclass LatestRows:
        uint32_t intern(string_view) except +
        void put(uint32_t, const LatestRow&) except +
        size_t size()

    cdef cppclass LatestHead:
        string epoch
        int32_t mode
        uint64_t last_sequence
        LatestRows rows
        bint begin(const string&, int32_t, uint64_t) except +

    cdef cppclass LatestPart:
        uint64_t first_sequence, last_sequence

    void take_ticks(const TickBatch&, LatestHead&) except +
    void take_mids(const MidBatch&, LatestHead&) except +
    vector[LatestPart] parts_since(const LatestHead&, uint64_t) except +
    void plan_ticks(const LatestHead&, const LatestPart&, TickBatch&, BatchPlan&) except +
    void fill_mids(const LatestHead&, const LatestPart&, MidBatch&) except +


cdef class _Latest:
    """A table of latest records, and what of it is new; the kind of the records is up to those that go by it."""

    cdef LatestHead head

    def __len__(self):
        return self.head.rows.size()

    @property
    def epoch(self):
        return self.head.epoch.decode()

    @property
    def last_sequence(self):
        return self.head.last_sequence

    def since(self, uint64_t after):
        """What is new since a sequence, as (first sequence, last sequence, encoded batch)."""
        cdef vector[LatestPart] parts = parts_since(self.head, after)
        return [
            (int(parts[i].first_sequence), int(parts[i].last_sequence), self._encoded(parts[i])) for i in range(parts.size())
        ]

    cdef bytes _encoded(self, const LatestPart& part):
        raise NotImplementedError


@cython.final
cdef class LatestTicks(_Latest):
    """The latest tick of each ticker of a stream of TickBatch, and its newest 1,024 markers."""

    def take(self, buffer):
        """Take one more batch; one of another epoch begins anew, and records that were taken are passed over. Raises FrameError."""
        cdef TickBatch batch
        cdef HeldBytes held
        held.hold(buffer)
        with nogil:
            read_tick_batch(held.data(), held.size(), batch)
            take_ticks(batch, self.head)

    cdef bytes _encoded(self, const LatestPart& part):
        cdef TickBatch batch
        cdef BatchPlan plan
        cdef bytes encoded
        plan_ticks(self.head, part, batch, plan)
        encoded = PyBytes_FromStringAndSize(NULL, size_batch(plan))
        fill_batch(plan, PyBytes_AS_STRING(encoded))
        return encoded


@cython.final
cdef class LatestMids(_Latest):
    """The latest mid of each ticker of a stream of MidBatch."""

    def take(self, buffer):
        """Take one more batch, as LatestTicks, and return how many mids it has. Raises FrameError."""
        cdef MidBatch batch
        cdef HeldBytes held
        held.hold(buffer)
        with nogil:
            read_mid_batch(held.data(), held.size(), batch)
            take_mids(batch, self.head)
        return batch.size()

    def begin(self, str epoch not None, mids, *, int32_t mode, uint64_t last_sequence):
        """Begin with what is known from elsewhere: (ticker, sequence, event ns, arrival ns, mid, mode), none beyond `last_sequence`."""
        cdef LatestRow row
        cdef bytes name
        if self.head.last_sequence:
            raise ValueError("it has begun already")
        self.head.begin(epoch.encode(), mode, last_sequence)
        for ticker, sequence, event, arrival, mid, its_mode in sorted(mids, key=lambda each: each[1]):
            name = (<str?>ticker).encode()
            row.sequence, row.event, row.arrival, row.mode = sequence, event, arrival, its_mode
            row.values[0] = mid
            self.head.rows.put(self.head.rows.intern(string_view(name, len(name))), row)
        self.head.last_sequence = last_sequence

    cdef bytes _encoded(self, const LatestPart& part):
        cdef MidBatch batch
        cdef bytes encoded
        fill_mids(self.head, part, batch)
        encoded = PyBytes_FromStringAndSize(NULL, size_mid_batch(batch))
        fill_mid_batch(batch, PyBytes_AS_STRING(encoded))
        return encoded
