"""How far a subscriber is behind."""

from __future__ import annotations

from typing import Final, NamedTuple


class Behind(NamedTuple):
    """What lies in the stream behind the last record that a subscriber got."""

    records: int
    bytes: int
    data_time_ns: int
    """Arrival time of the newest record minus that of the last one it got."""


NOT_BEHIND: Final = Behind(0, 0, 0)
