# distutils: language = c++
"""Latency models: when rows arrive in place of what their file says."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

QUANTILES = C_QUANTILES


@cython.final
cdef class LatencyModel:
    """How the latencies of one source are changed or replaced."""

    @staticmethod
    def scaled(*, double factor, int64_t offset_ns):
        """Those of the file times `factor` plus `offset_ns`."""
        cdef LatencyModel model = LatencyModel()
        model.core = LatencyModelCore.scaled(factor, offset_ns)
        return model

    @staticmethod
    def constant(int64_t latency_ns):
        """The same for every row."""
        cdef LatencyModel model = LatencyModel()
        model.core = LatencyModelCore.constant(latency_ns)
        return model

    @staticmethod
    def drawn(quantiles_ns, *, uint64_t seed, uint32_t source_rank):
        """Drawn anew for every row, from QUANTILES quantiles that do not fall."""
        cdef LatencyModel model = LatencyModel()
        cdef vector[int64_t] quantiles = quantiles_ns
        model.core = LatencyModelCore.drawn(quantiles, seed, source_rank)
        return model

    @property
    def changes(self):
        return self.core.changes()

    @property
    def follows_file(self):
        return self.core.follows_file()

    def latency_ns(self, int64_t of_file_ns, *, uint64_t row):
        """The latency of one row, before any policy and alone in its channel."""
        cdef int64_t latency = 0
        if not self.core.latency(of_file_ns, row, latency):
            raise OverflowError(f"a latency of {of_file_ns} ns becomes larger than 64 bits hold")
        return latency

    def lowest_ns(self, int64_t of_file_ns):
        """A lower bound of every latency when none of the file is below `of_file_ns`."""
        return self.core.lowest(of_file_ns)
