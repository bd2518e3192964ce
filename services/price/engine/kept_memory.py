"""Memory that malloc keeps for the next batch, rather than give it back to the system each time."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

KEPT_BYTES: Final = 16 << 20
"""More than the mids and messages of one read, which are freed together."""
MAPPED_BYTES_MIN: Final = 4 << 20
"""What is larger has a mapping of its own, as ever."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> bool:
    """Have malloc keep what is freed, up to KEPT_BYTES; False where it cannot be told.

    By itself it adapts to what was freed first, and settles in some processes at less than one read has: these get the same pages from
    the system again with every batch, cleared.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN))
