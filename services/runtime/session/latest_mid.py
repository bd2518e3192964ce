"""The latest mid of a ticker, as it lies in the hash of latest mids. The sink writes it, the price server reads it."""

from __future__ import annotations

import math
import struct
from typing import Final, NamedTuple

from services.runtime.session.intents import MODE_NAMES
from services.runtime.session.versions import check_version

VERSION: Final = 1
_PACKED: Final = struct.Struct("<QqqdiB")
"""Sequence, event time in ns, arrival time in ns, mid, mode; the version stays where it is in every later one."""
_SEQUENCE_MAX: Final = (1 << 63) - 1
_VERSION_AT: Final = _PACKED.size - 1
"""A value that ends here is from before there were versions; it holds the same."""


class LatestMid(NamedTuple):
    """The latest mid of one ticker. A tuple, because one is made per ticker and batch."""

    sequence: int
    event_time_ns: int
    arrival_time_ns: int
    mid: float
    mode: int

    def encode(self) -> bytes:
        """Return the value as it lies in Redis."""
        return _PACKED.pack(*self, VERSION)

    @classmethod
    def decode(cls, ticker: str, stored: bytes) -> LatestMid:
        """Read the latest mid of `ticker`. Raises NewerVersion, and ValueError on what cannot be read."""
        what = f"the latest mid of `{ticker}`"
        if len(stored) > _VERSION_AT:
            check_version(what, stored[_VERSION_AT], VERSION)
        if len(stored) not in (_VERSION_AT, _PACKED.size):
            raise ValueError(f"{what} cannot be read: it has {len(stored)} bytes, not {_PACKED.size}")
        found = cls(*_PACKED.unpack(stored.ljust(_PACKED.size, b"\0"))[:-1])
        # Values from before there were versions are told from other bytes by what they say alone. One with a sequence that nobody
        # can reach would stand in the way of every later one.
        if found.mode not in MODE_NAMES or not math.isfinite(found.mid) or not 0 < found.sequence <= _SEQUENCE_MAX:
            raise ValueError(f"{what} cannot be read: {found} is none")
        return found
