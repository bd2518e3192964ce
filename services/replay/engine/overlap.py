"""Which live records were published already: told by the number that both sides know, or by what they say and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from fastpath.columns import Block, Key, RejectedRow, TickRow
from fastpath.frame import MARKER_DISCONTINUITY, MARKER_GAP, MARKER_SEAM, TickFrame
from fastpath.records import Marker
from services.replay.engine.rows import append_row
from services.replay.sources.source_numbers import KnownNumbers, Numbered

SLACK_NS: Final = 60_000_000_000
"""How far out of order event times may be: so much further back than the first live record is looked."""
BACK_BYTES_MAX: Final = 64 << 20
"""Of the queue's entries that are looked at; what a slow session publishes in a minute is far less."""
ENTRIES: Final = 16
"""Read at a time."""

Identity: TypeAlias = tuple[int, str, float | None, float | None, float | None, float | None]
"""(event time, ticker, bid price, bid amount, ask price, ask amount): what both sides have of a record, wherever it was received."""
ReadBack: TypeAlias = Callable[[int, int], list[bytes]]
"""(sequence, count): up to so many acknowledged entries that begin at or before a sequence, newest first."""


class Overlap:
    """Counts the records that the queue has acknowledged since the last break, and takes live records off.

    A record that was published n times is left out n times; where it has a number that recordings have, too, that tells, and it is left
    out as often as it comes. What is older than everything that was counted lies behind
    the stream and is left out, too, but proves nothing.
    """

    def __init__(self, read_back: ReadBack, *, epoch: str, removed: int = 0) -> None:
        self._read_back = read_back
        self._epoch = epoch
        self._left: Counter[Identity] = Counter()
        self._floor_ns: int | None = None
        self._counted_to = 0
        self._oldest_ns: int | None = None
        """Event time of the oldest record that was counted; None while older ones would have been, too."""
        self._newest_ns: int | None = None
        self._last: Identity | None = None
        """The newest record that was counted."""
        self.known = KnownNumbers()
        """Of records that were published from recordings, what their source numbers them with."""
        self.removed = removed

    @property
    def counts(self) -> bool:
        """Whether there is anything left that a live record could be."""
        return bool(self._left) or len(self.known) > 0

    def is_behind(self, event_time_ns: int) -> bool:
        """Tell whether a live record comes so much later than all that was counted that it, and what follows, is none of it."""
        return self._newest_ns is not None and event_time_ns > self._newest_ns + SLACK_NS

    def count(self, last_sequence: int, first_event_time_ns: int) -> None:
        """Count what was published up to `last_sequence`; `first_event_time_ns` is that of the first live record."""
        if self._floor_ns is None:
            self._floor_ns = first_event_time_ns - SLACK_NS
        sequence, size = last_sequence, 0
        whole, oldest_ns = False, self._oldest_ns
        last: Identity | None = None
        while sequence > self._counted_to and size < BACK_BYTES_MAX:
            entries = self._read_back(sequence, ENTRIES)
            if not entries:
                break
            for entry in entries:
                frame = TickFrame(entry)
                if frame.epoch != self._epoch or frame.first_sequence <= self._counted_to:
                    whole = frame.epoch == self._epoch
                    sequence = self._counted_to
                    break
                size += len(entry)
                ticks = frame.ticks()
                ages = [tick[2] for tick in ticks]
                self._left.update(map(_of_tick, ticks))
                last = last or (_of_tick(ticks[-1]) if ticks else None)
                if ages:
                    oldest_ns = min(ages) if oldest_ns is None else min(oldest_ns, *ages)
                    self._newest_ns = max(ages) if self._newest_ns is None else max(self._newest_ns, *ages)
                sequence = frame.first_sequence - 1
                if sequence == 0 or any(map(_breaks, frame.markers)) or (ages and max(ages) < self._floor_ns):
                    whole = sequence == 0
                    sequence = self._counted_to
                    break
        if self._counted_to == 0:
            self._oldest_ns = None if whole else oldest_ns
        self._counted_to = last_sequence
        self._last = last or self._last

    @property
    def last_event_time_ns(self) -> int | None:
        """Of the newest record that was counted."""
        return None if self._last is None else self._last[0]

    def behind_last(self, blocks: Iterable[Block]) -> Key | None:
        """Return the key of the last row that was published; None when the newest published record is not among the rows."""
        left, key, has_last = Counter(self._left), None, False
        for block in blocks:
            for row in block.to_rows():
                identity = None if len(row) == 3 else _of_row(row)
                if identity is not None and left[identity] > 0:
                    left[identity] -= 1
                    key, has_last = row[0], has_last or identity == self._last
        return key if has_last else None

    def screen(
        self, block: Block, start: int, number_of: Callable[[TickRow], Numbered | None] = lambda _: None
    ) -> tuple[int, bool]:
        """Take rows that were published already out of a block, from `start` on; return how many are left, and whether one was found.

        A rejection before the last record that was found goes with it: the other side has
        decided about that line by itself.
        """
        rows = block.to_rows()
        kept: list[TickRow | RejectedRow] = []
        rejected: list[RejectedRow] = []
        found = False
        for row in rows[start:]:
            if len(row) == 3:
                kept.append(row)
                rejected.append(row)
                continue
            number = number_of(row)
            told = None if number is None or not self.known.tells(number) else number in self.known
            is_counted = self._left.get(_of_row(row), 0) > 0
            if is_counted if told is None else told:
                if is_counted:
                    self._take_off(_of_row(row))
                found = True
                self.removed += 1 + len(rejected)
                if rejected:
                    kept = [one for one in kept if len(one) != 3]
                    rejected.clear()
            elif told is None and self._oldest_ns is not None and row[1] < self._oldest_ns:
                self.removed += 1
            else:
                kept.append(row)
        if len(kept) < len(rows) - start:
            block.clear()
            for row in (*rows[:start], *kept):
                append_row(block, row)
        return len(kept), found

    def _take_off(self, identity: Identity) -> None:
        self._left[identity] -= 1
        if not self._left[identity]:
            del self._left[identity]


def _breaks(marker: Marker) -> bool:
    """Tell whether the records before a marker and those behind it may not be neighbours."""
    if marker.kind == MARKER_SEAM:
        return marker.gap_ns != 0 or marker.overlap_removed == 0
    return marker.kind in (MARKER_GAP, MARKER_DISCONTINUITY)


def _of_tick(tick: tuple[int, str, int, int, float, float, float, float]) -> Identity:
    _, ticker, event_time_ns, _, *prices = tick
    return _identity(event_time_ns, ticker, *prices)


def _of_row(row: TickRow) -> Identity:
    _, event_time_ns, ticker, *prices = row
    return _identity(event_time_ns, ticker, *prices)


def _identity(event_time_ns: int, ticker: str, *prices: float) -> Identity:
    # NaN is not equal to itself, and missing here is missing there.
    bid_price, bid_amount, ask_price, ask_amount = (None if price != price else price for price in prices)
    return event_time_ns, ticker, bid_price, bid_amount, ask_price, ask_amount
