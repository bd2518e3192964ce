# distutils: language = c++
"""The order digest of a stream as it is made: told behind every so many records, and carried over restarts."""

import struct
import zlib

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string

from fastpath.columns cimport Block, Rows, TickerTable, string_view
from fastpath.order_digest cimport Lanes, Sha256

from fastpath.records import OrderProof

cdef extern from "order_chain.hpp" namespace "midstream" nogil:
    const uint64_t C_BLOCK "midstream::OrderChain::BLOCK"

    cdef cppclass ChainState:
        uint64_t first_sequence, window_first_sequence, records, window_records
        Lanes lanes
        Sha256 whole, window

    cdef cppclass ChainProof:
        uint64_t first_sequence, last_sequence, records
        string digest
        uint64_t window_first_sequence
        string window_digest

    cdef cppclass Chain "midstream::OrderChain":
        uint64_t every
        ChainState kept, tried
        cbool proven
        ChainProof proof
        void try_rows(const Rows&, const TickerTable&, size_t, size_t, uint64_t) except +
        void keep()
        ChainProof now(uint64_t) except +


CHAIN_BLOCK = C_BLOCK

# Magic, version; records between two proofs, first sequences, records, those of the window, lanes; the two SHA-256: words, bytes compressed,
# length of the tail, tail.
cdef object _STATE = struct.Struct("<4sI5Q5Q" + 2 * "8IQB63s")
cdef bytes _MAGIC = b"MSOC"
cdef int _VERSION = 1


@cython.final
cdef class OrderChain:
    """Takes the rows of batches in turn. For one thread."""

    cdef Chain chain

    def __cinit__(self, *, uint64_t every, uint64_t first_sequence=1, bytes state not None=b""):
        if every == 0 or every % C_BLOCK:
            raise ValueError(f"`every` is {every}; it must be a multiple of {C_BLOCK}")
        self.chain.every = every
        self.chain.kept.first_sequence = self.chain.kept.window_first_sequence = first_sequence
        if state:
            self._restore(state)

    def add(self, Block block not None, size_t start, size_t stop, *, uint64_t sequence):
        """Try rows start..stop, the first of which is number `sequence`; return the proof that their batch has to carry, or None."""
        if not start <= stop <= block.rows.size():
            raise IndexError(f"rows {start}..{stop} are not within the {block.rows.size()} rows of the block")
        if stop - start > C_BLOCK:
            raise ValueError(f"{stop - start} rows are more than the {C_BLOCK} of a batch")
        with nogil:
            self.chain.try_rows(block.rows, block.tickers.table, start, stop, sequence)
        return _from(self.chain.proof) if self.chain.proven else None

    def keep(self):
        """What was tried last has left: go on behind it. Without this it counts as never tried."""
        self.chain.keep()

    def proof(self, uint64_t last_sequence):
        """What everything up to here comes to; `last_sequence` is the last number that was given."""
        return _from(self.chain.now(last_sequence))

    def state_of_added(self):
        """All of it behind the rows that were added last, kept or not, as bytes from which another chain goes on. Versioned."""
        cdef ChainState* tried = &self.chain.tried
        cdef list fields = [_MAGIC, _VERSION, self.chain.every, tried.first_sequence, tried.window_first_sequence]
        cdef size_t i
        fields += [tried.records, tried.window_records]
        for i in range(5):
            fields.append(tried.lanes.lane[i])
        _store(&tried.whole, fields)
        _store(&tried.window, fields)
        packed = _STATE.pack(*fields)
        return packed + zlib.crc32(packed).to_bytes(4, "little")

    cdef int _restore(self, bytes state) except -1:
        cdef ChainState* kept = &self.chain.kept
        cdef size_t i
        packed, crc = state[:-4], state[-4:]
        if len(packed) != _STATE.size or zlib.crc32(packed).to_bytes(4, "little") != crc:
            raise ValueError(f"`state` ({len(state)} bytes) is damaged, or of another version; begin anew without it")
        fields = _STATE.unpack(packed)
        if fields[:3] != (_MAGIC, _VERSION, self.chain.every):
            raise ValueError(f"`state` is of version {fields[1]} with a proof every {fields[2]} records; begin anew without it")
        kept.first_sequence, kept.window_first_sequence, kept.records, kept.window_records = fields[3:7]
        for i in range(5):
            kept.lanes.lane[i] = fields[7 + i]
        _load(&kept.whole, fields[12:23])
        _load(&kept.window, fields[23:34])
        return 0


cdef int _store(Sha256* running, list fields) except -1:
    cdef size_t i
    running.flush()
    for i in range(8):
        fields.append(running.word(i))
    tail = <bytes>running.tail()
    fields += [running.compressed(), len(tail), tail]
    return 0


cdef int _load(Sha256* running, tuple fields) except -1:
    cdef uint32_t words[8]
    cdef size_t i
    cdef bytes tail = fields[10][:fields[9]]
    for i in range(8):
        words[i] = fields[i]
    running.restore(words, fields[8], string_view(PyBytes_AS_STRING(tail), len(tail)))
    return 0


cdef object _from(const ChainProof& proof):
    return OrderProof(
        first_sequence=proof.first_sequence,
        last_sequence=proof.last_sequence,
        records=proof.records,
        digest=(<bytes>proof.digest).hex(),
        window_first_sequence=proof.window_first_sequence,
        window_digest=(<bytes>proof.window_digest).hex(),
    )
