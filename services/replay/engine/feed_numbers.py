"""What a feed numbers its own records with, for the rows of it that wait."""

from __future__ import annotations

from fastpath.columns import Block, Tickers, TickRow
from services.replay.sources.source_numbers import FRAMES_MAX, Numbered, numbered_in, numbered_row


class FeedNumbers:
    """The numbers of the newest frames. A row knows of which frame it is, and which record of it is told by what it says."""

    def __init__(self) -> None:
        self._scratch = Block(Tickers(live_names_max=FRAMES_MAX))
        self._by_frame: dict[int, list[Numbered]] = {}

    def note(self, frame: int, receive_time_ns: int, payload: bytes) -> None:
        """Note what the records of a frame are numbered with; of too many frames the oldest are forgotten."""
        found = list(numbered_in(payload, receive_time_ns, self._scratch))
        if not found:
            return
        self._by_frame[frame] = found
        if len(self._by_frame) > FRAMES_MAX:
            del self._by_frame[next(iter(self._by_frame))]

    def of(self, row: TickRow) -> Numbered | None:
        """Return the numbered record that a row is; None when it has no number, or when that is not certain."""
        (_, _, frame), *_ = row
        alike = {one for one in self._by_frame.get(frame, ()) if one == numbered_row(row, one.number)}
        return alike.pop() if len(alike) == 1 else None

    def clear(self) -> None:
        """Forget all of them."""
        self._by_frame.clear()
