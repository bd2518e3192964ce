# distutils: language = c++
"""One order again: the streams of a session's partitions, merged by (arrival time, tie order) and what each promises."""

from hashlib import sha256

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.utility cimport move
from libcpp.vector cimport vector

from fastpath.frame cimport HeldBytes, TickBatch, raise_frame_error

cdef extern from "tick_reader.hpp" namespace "midstream" nogil:
    void read_tick_batch(const char*, size_t, TickBatch&) except +raise_frame_error

cdef extern from "tick_writer.hpp" namespace "midstream" nogil:
    cdef cppclass BatchPlan:
        string epoch

    size_t size_batch(const BatchPlan&) except +
    void fill_batch(const BatchPlan&, char*)

cdef extern from "strand.hpp" namespace "midstream" nogil:
    cdef cppclass HeldBatch:
        TickBatch batch
        size_t size

    cdef cppclass Strand:
        string epoch
        uint64_t sequence
        cbool excused
        size_t held_bytes, batches "held.size()"
        void stand(string, uint64_t) except +
        void promise(const string&, uint64_t, int64_t) except +

    size_t size_positions(const vector[Strand]&) except +
    void fill_positions(const vector[Strand]&, char*)

cdef extern from "weaver.hpp" namespace "midstream" nogil:
    cdef cppclass Laggard:
        uint32_t partition
        cbool excusable

    cdef cppclass Woven:
        BatchPlan plan

    cdef cppclass WeaverCore "midstream::Weaver":
        WeaverCore(size_t) except +
        size_t size()
        Strand& operator[](size_t)
        const vector[Strand]& strands()
        void feed(size_t, unique_ptr[HeldBatch]) except +raise_frame_error
        cbool take(Woven&) except +
        vector[Laggard] laggards() except +


@cython.final
cdef class Weaver:
    """Merges the partitions of one session."""

    cdef unique_ptr[WeaverCore] core
    cdef Woven woven
    cdef list epochs
    cdef string epoch_text

    def __cinit__(self, size_t partitions, *, after=()):
        if partitions == 0:
            raise ValueError("`partitions` is 0; a session has at least 1")
        self.core.reset(new WeaverCore(partitions))
        for partition, epoch, sequence in after:
            self._strand(partition).stand((<str?>epoch).encode(), sequence)

    cdef Strand* _strand(self, size_t partition) except NULL:
        if partition >= self.core.get().size():
            raise IndexError(f"partition {partition} is out of range; there are {self.core.get().size()}")
        return &self.core.get()[0][partition]

    def feed(self, size_t partition, buffer):
        """Take what follows in a partition's stream: one encoded TickBatch."""
        cdef HeldBytes held
        cdef unique_ptr[HeldBatch] batch
        self._strand(partition)
        held.hold(buffer)
        batch.reset(new HeldBatch())
        with nogil:
            batch.get().size = held.size()
            read_tick_batch(held.data(), held.size(), batch.get().batch)
            self.core.get().feed(partition, move(batch))

    def promise(self, size_t partition, str epoch not None, uint64_t sequence, int64_t arrival_time_ns):
        """Take a partition's low watermark."""
        self._strand(partition).promise(epoch.encode(), sequence, arrival_time_ns)

    def excuse(self, size_t partition):
        """Do not wait for a partition until it is fed again."""
        self._strand(partition).excused = True

    def take(self):
        """Return what is settled, as one encoded TickBatch; None when nothing is."""
        cdef cbool some
        cdef size_t size, more
        cdef bytes encoded
        cdef char* into
        with nogil:
            some = self.core.get().take(self.woven)
        if not some:
            return None
        self._name_epoch()
        with nogil:
            size = size_batch(self.woven.plan)
            more = size_positions(self.core.get().strands())
        encoded = PyBytes_FromStringAndSize(NULL, size + more)
        into = PyBytes_AS_STRING(encoded)
        with nogil:
            fill_batch(self.woven.plan, into)
            fill_positions(self.core.get().strands(), into + size)
        return encoded

    cdef int _name_epoch(self) except -1:
        cdef list epochs = self._epochs()
        if epochs != self.epochs:
            self.epochs = epochs
            self.epoch_text = joint_epoch(epochs).encode()
        self.woven.plan.epoch = self.epoch_text
        return 0

    cdef list _epochs(self):
        cdef size_t i
        cdef list epochs = []
        for i in range(self.core.get().size()):
            epochs.append(<bytes>self.core.get()[0][i].epoch)
        return epochs

    def lagging(self):
        """The partitions that hold up what waits, each with whether it may be excused; empty when nothing waits for anybody."""
        cdef vector[Laggard] found = self.core.get().laggards()
        cdef size_t i
        cdef list lagging = []
        for i in range(found.size()):
            lagging.append((int(found[i].partition), bool(found[i].excusable)))
        return lagging

    def waiting(self, size_t partition):
        """How many of a partition's batches wait here."""
        return self._strand(partition).batches

    @property
    def held_bytes(self):
        cdef size_t i, total = 0
        for i in range(self.core.get().size()):
            total += self.core.get()[0][i].held_bytes
        return total

    @property
    def positions(self):
        cdef size_t i
        cdef list positions = []
        for i in range(self.core.get().size()):
            positions.append((self.core.get()[0][i].epoch.decode(), int(self.core.get()[0][i].sequence)))
        return positions


cpdef str joint_epoch(list epochs):
    """Name the epochs of all partitions together: the first 32 hexadecimal digits of the SHA-256 of them, joined by line feeds."""
    return sha256(b"\n".join(epochs)).hexdigest()[:32]
