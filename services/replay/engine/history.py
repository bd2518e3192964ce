"""What has been read of the recorded files: the quotes as they arrived, and places from which any position is found again."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastpath.columns import Block, Tickers
from fastpath.quotes import LastQuotes

if TYPE_CHECKING:
    from fastpath.columns import Key

ANCHOR_ROWS: Final = 1 << 18
"""Rows between two anchors at first: what is read again to find a position, some 20 ms of work."""
ANCHORS_MAX: Final = 64
"""With more, every second one goes, and the next ones come half as often."""
ANCHORS_BYTES_MAX: Final = 64 << 20
"""The same, for sessions with very many tickers."""


@dataclass(frozen=True)
class Anchor:
    """A position, where to read from it, and the last quote of every ticker before it."""

    key: Key | None
    """Of the last record before the position; None is the beginning."""
    places: bytes
    """Encoded cursor without a last key; empty is the beginning."""
    quotes: LastQuotes


class History:
    """Follows one reading of the files, and remembers sparse anchors of all of them.

    A reading that begins in the middle, as after a restart, knows nothing of the quotes before it: nothing is remembered until a position
    is looked for, which reads from the beginning then.
    """

    def __init__(self, tickers: Tickers) -> None:
        self._quotes: LastQuotes | None = None
        self.beginning = Anchor(None, b"", LastQuotes(tickers))
        self._anchors: list[Anchor] = []
        """In the order of their keys."""
        self._every = ANCHOR_ROWS
        self._rows = 0
        """Noted since the last anchor, behind it."""

    @property
    def quotes(self) -> LastQuotes | None:
        """The last quote of every ticker where the reading stands; None when that is not known."""
        return self._quotes

    def forget(self) -> None:
        """The reading goes on at a place of which nothing but the place is known."""
        self._quotes = None

    def before(self, key: Key) -> Anchor:
        """Return the last anchor that is not behind the record `key`."""
        place = bisect.bisect_right(self._anchors, key, key=_key_of)
        return self._anchors[place - 1] if place else self.beginning

    def begin(self, anchor: Anchor) -> None:
        """The reading goes on at `anchor`."""
        self._quotes = anchor.quotes.copy()

    def note(self, block: Block, start: int, stop: int, places: bytes) -> None:
        """Rows start..stop come next in the reading; from `places` on, what is behind them can be read again."""
        if self._quotes is None or stop == start:
            return
        self._quotes.note(block, start, stop)
        key = block.key(stop - 1)
        if self._anchors and key <= _key_of(self._anchors[-1]):
            return
        self._rows += stop - start
        if self._rows >= self._every:
            self._rows = 0
            self._anchors.append(Anchor(key, places, self._quotes.copy()))
            if len(self._anchors) > ANCHORS_MAX or len(self._anchors) * self._quotes.size > ANCHORS_BYTES_MAX:
                self._anchors = self._anchors[1::2]
                self._every *= 2


def _key_of(anchor: Anchor) -> Key:
    assert anchor.key is not None
    return anchor.key
