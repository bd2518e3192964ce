"""How far the subscribers of a server are behind: three figures of all of them, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from services.runtime.figures import Figure, Values
from services.runtime.session.batch_format import Batch
from services.runtime.session.behind import Behind
from services.runtime.session.delivery import Begin
from services.runtime.session.stream_tail import StreamTail

QUANTILES: Final = (0.5, 0.99, 1.0)
_OF: Final = "of the subscriber that is further behind than this part of them"
LAG_FIGURES: Final = (
    Figure("midstream_subscriber_lag_records", "gauge", f"Records behind the newest one, {_OF}", ("quantile",), born=False),
    Figure("midstream_subscriber_lag_bytes", "gauge", f"Bytes behind the newest record, {_OF}", ("quantile",), born=False),
    Figure("midstream_subscriber_lag_data_seconds", "gauge", f"Arrival time behind the newest record's, {_OF}", ("quantile",), born=False),
)  # fmt: skip
"""In the order of Behind's fields."""


class Lagging(Protocol):
    """Where one subscriber is."""

    @property
    def behind(self) -> Behind | None:
        """How far it is behind by now; None when it got nothing yet and began nowhere in particular."""


class Progress:
    """Where one subscriber is. Read from any thread."""

    def __init__(self, tail: StreamTail, begin: Begin) -> None:
        self._ring = tail.ring
        self._at = begin.position
        self._bytes_at = self._ring.read_bytes
        self._arrival_time_ns = self._ring.last_arrival_time_ns

    def got(self, batch: Batch) -> Behind:
        """It gets this batch now; say how far behind it is with it."""
        behind = self._ring.behind(batch)
        self._at = batch.last_sequence
        self._bytes_at = self._ring.read_bytes - behind.bytes
        self._arrival_time_ns = self._ring.last_arrival_time_ns - behind.data_time_ns
        return behind

    @property
    def behind(self) -> Behind | None:
        """How far it is behind by now; None when it got nothing yet and began nowhere in particular."""
        last_sequence = self._ring.end[1]
        if self._at is None:
            return None
        if self._at >= last_sequence:
            return Behind(0, 0, 0)
        return Behind(
            last_sequence - self._at,
            self._ring.read_bytes - self._bytes_at,
            self._ring.last_arrival_time_ns - self._arrival_time_ns,
        )


def lags(progress: Sequence[Lagging], place: int) -> Values:
    """The quantiles of one field of Behind."""
    found = sorted(behind[place] for each in progress if (behind := each.behind) is not None)
    if not found:
        return {}
    unit = 1e9 if place == 2 else 1
    return {(f"{part:g}",): found[min(int(part * len(found)), len(found) - 1)] / unit for part in QUANTILES}
