from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector


cdef extern from "latency_model.hpp" namespace "midstream" nogil:
    cdef cppclass LatencyModelCore "midstream::LatencyModel":
        LatencyModelCore()
        @staticmethod
        LatencyModelCore scaled(double, int64_t) except +
        @staticmethod
        LatencyModelCore constant(int64_t)
        @staticmethod
        LatencyModelCore drawn(vector[int64_t], uint64_t, uint32_t) except +
        cbool changes()
        cbool follows_file()
        cbool latency(int64_t, uint64_t, int64_t&)
        int64_t lowest(int64_t)
        int64_t quantile(uint64_t)

    const size_t C_QUANTILES "midstream::LatencyModel::QUANTILES"

    cdef cppclass Channel:
        int64_t last_ns
        int64_t arrive(const LatencyModelCore&, int64_t, cbool)


cdef class LatencyModel:
    cdef LatencyModelCore core
