from libc.stdint cimport uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport string_view


cdef extern from "sha256.hpp" namespace "midstream" nogil:
    cdef cppclass Sha256:
        Sha256()
        Sha256(cbool portable)
        void update(string_view)
        void flush()
        string digest() except +
        uint32_t word(size_t)
        uint64_t compressed()
        string tail() except +
        void restore(const uint32_t*, uint64_t, string_view)


cdef extern from "order_digest.hpp" namespace "midstream" nogil:
    cdef cppclass Lanes:
        uint64_t* lane "lane.data()"

    cdef struct OrderProof:
        uint64_t records
        string digest

    cdef cppclass OrderDigest:
        int version
        uint64_t records
        Lanes lanes
        Sha256 sha256
        vector[OrderProof] proofs
        string digest() except +
