"""The latest mids where replay time was moved to, from the quotes that the marker of the move carries."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from fastpath.frame import MARKER_DISCONTINUITY, TickFrame
from fastpath.mids import compute_mids
from fastpath.quotes import Quote, read_quotes
from fastpath.records import Marker


class Restated(NamedTuple):
    """What are the latest mids at one marker."""

    sequence: int
    """Of the marker."""
    position_arrival_time_ns: int
    continues: bool
    """There are mids of this state in the marker before, too."""
    mids: list[tuple[Quote, float]]


class Restating:
    """Finds the moves in frames; a state in several markers is told from several states."""

    def __init__(self, latency_threshold_ns: int) -> None:
        self._latency_threshold_ns = latency_threshold_ns
        self._last: Marker | None = None

    def of(self, frame: TickFrame, *, after_sequence: int) -> Iterator[Restated]:
        """Yield what the markers with a sequence above `after_sequence` say."""
        for marker in frame.markers:
            if marker.kind != MARKER_DISCONTINUITY or marker.sequence <= after_sequence:
                continue
            last, self._last = self._last, marker
            continues = last is not None and (last.sequence + 1, last.revision, last.time_ns) == (
                marker.sequence,
                marker.revision,
                marker.time_ns,
            )
            yield Restated(
                marker.sequence, marker.position_arrival_time_ns, continues, self._mids_of(read_quotes(marker.state))
            )

    def _mids_of(self, quotes: list[Quote]) -> list[tuple[Quote, float]]:
        """Return the quotes that have a mid: as with ticks, none whose latency is above the threshold."""
        columns = [array("d", values) for values in zip(*((q[3], q[5], q[4], q[6]) for q in quotes), strict=True)]
        mids = array("d", compute_mids(*columns)[0]) if quotes else array("d")
        return [
            (quote, mid)
            for quote, mid in zip(quotes, mids, strict=True)
            if not math.isnan(mid) and quote.arrival_time_ns - quote.event_time_ns <= self._latency_threshold_ns
        ]
