"""The two sources of a session, opened and placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fastpath.columns import Tickers
from fastpath.frame import MODE_HISTORICAL, MODE_LIVE, decode_cursor, encode_cursor
from fastpath.records import Cursor
from services.replay.engine.figures import EngineFigures
from services.replay.engine.history import Anchor, History
from services.replay.engine.lane import HistoricalLane, LiveLane
from services.replay.engine.ports import FeedSource, OpenRecorded, RecordedSource


class Lanes:
    """The historical lane, which is made again wherever the session stands, and the live lane, which is only filled again."""

    def __init__(
        self,
        *,
        open_historical: OpenRecorded | None,
        live: FeedSource | None,
        tickers: Tickers,
        report: EngineFigures,
        wake: Callable[[], None],
    ) -> None:
        self._open_historical = open_historical
        self._report = report
        self._wake = wake
        self._tickers = tickers
        self.historical: HistoricalLane | None = None
        self.live = None if live is None else LiveLane(live, self._tickers)
        self.history = History(tickers)
        """Of the recorded files."""
        self.inputs = ""
        """Fingerprint of the recorded files."""
        self.growing = False
        """Files may be read on when they have grown, so of each only whole lines are read."""

    def configured(self, mode: int) -> bool:
        """Tell whether there is a source for `mode`."""
        return (mode == MODE_HISTORICAL and self._open_historical is not None) or (
            mode == MODE_LIVE and self.live is not None
        )

    def open(self, cursor: Cursor | None) -> RecordedSource | None:
        """Open the recorded files at `cursor`; None when there are none. Raises UnusableInput."""
        if self._open_historical is None:
            return None
        source = self._open_historical(cursor, growing=self.growing)
        self._show(source)
        return source

    def _show(self, source: RecordedSource) -> None:
        report = self._report
        report.sources = tuple(source.files)
        report.first_read_monotonic_ns = report.first_read_monotonic_ns or source.first_read_monotonic_ns
        report.historical = source
        self.inputs = source.fingerprint

    def place(self, source: RecordedSource, encoded_cursor: bytes) -> None:
        """Read on from `source`, which was opened at this cursor; empty is the beginning."""
        cursor = decode_cursor(encoded_cursor)
        places = encode_cursor(replace(cursor, last_key=None)) if encoded_cursor else b""
        if places:
            self.history.forget()
        else:
            self.history.begin(self.history.beginning)
        self.historical = HistoricalLane(
            source, self._tickers, cursor=places, last_key=cursor.last_key, history=self.history
        )

    def reopen(self, encoded_cursor: bytes) -> None:
        """Read on from another place, where recorded files are read at all."""
        if self.historical is None:
            return
        self.historical.source.stop()
        source = self.open(decode_cursor(encoded_cursor) if encoded_cursor else None)
        if source is not None:
            self.place(source, encoded_cursor)

    def follow_growth(self) -> None:
        """Read files as ones that are still written, from where the session stands."""
        if self.growing or self.historical is None:
            return
        self.growing = True
        self.reopen(self.historical.cursor())

    def search(self, anchor: Anchor) -> HistoricalLane:
        """Return a lane that reads on from `anchor`, beside the one in use; `settle` or `give_up` comes next. Raises UnusableInput."""
        assert self._open_historical is not None
        source = self._open_historical(Cursor(anchor.key, decode_cursor(anchor.places).sources), growing=self.growing)
        self.history.begin(anchor)
        return HistoricalLane(source, self._tickers, cursor=anchor.places, last_key=anchor.key, history=self.history)

    def count_from(self, anchor: Anchor) -> HistoricalLane:
        """Return a lane that reads on from `anchor` and of which nothing is remembered; whoever asked stops its source."""
        assert self._open_historical is not None
        source = self._open_historical(Cursor(anchor.key, decode_cursor(anchor.places).sources), growing=self.growing)
        return HistoricalLane(
            source, self._tickers, cursor=anchor.places, last_key=anchor.key, history=History(self._tickers)
        )

    def settle(self, lane: HistoricalLane) -> None:
        """Read on from a lane that `search` returned."""
        if self.historical is not None:
            self.historical.source.stop()
        self.historical = lane
        self._show(lane.source)

    def give_up(self, lane: HistoricalLane) -> None:
        """Keep the lane in use, and close one that `search` returned."""
        lane.source.stop()
        self.history.forget()

    def start_live(self) -> None:
        """Connect to the feed, if there is one; nothing happens while connected."""
        if self.live is not None:
            self.live.source.start(self._wake)

    def stop(self) -> None:
        """End both sources."""
        for lane in (self.live, self.historical):
            if lane is not None:
                lane.source.stop()
