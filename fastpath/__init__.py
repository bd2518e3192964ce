"""Kernels in Cython and C++: text to columns, arrival order, batches, prices. They do no I/O and import nothing else of ours.

Each NAME.pyx has its reference in NAME.pyi; `rules` and `records` are the plain values that they share.
`FASTPATH_SIMD=portable` or `avx2` in the environment keeps them from using what the processor has beyond that.
"""

import os
from typing import Final

SIMD_LEVELS: Final = ("portable", "avx2", "avx512")

if os.environ.get("FASTPATH_SIMD", "") not in ("", *SIMD_LEVELS):
    raise ImportError(f"FASTPATH_SIMD is {os.environ['FASTPATH_SIMD']!r}; use one of {', '.join(SIMD_LEVELS)}")
