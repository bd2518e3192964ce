"""A file format that the product does not know, as somebody would add it: one JSON array a line, `[event, latency, ticker, quote]`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from fastpath.columns import AFTER_EVERYTHING, BEFORE_EVERYTHING, Block
from fastpath.records import SourceCursor
from fastpath.rules import LatencyBoundBroken, UnsortedSource
from services.replay.sources.formats import FileFormat
from services.replay.sources.row_reader import RawFile, Reading, Skim
from services.runtime.session.line_counts import LineCounts

EVENT_BROKEN, ARRIVAL_BROKEN = 1, 2
Quote = tuple[float, float, float, float]
Values = tuple[int, int, str, Quote]


def write_json_lines(path: Path, rows: Iterable[Values]) -> str:
    """Write rows in the order given."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


class JsonLinesFile:
    """The file as a whole."""

    layout = "json-lines"
    source = ""
    compressed = False
    by_arrival = False
    # Rows count from 2, as in a CSV file with a header, so that both can be compared.
    beginning = SourceCursor(0, 2, BEFORE_EVERYTHING, 0, BEFORE_EVERYTHING, 0)

    def __init__(self, raw: RawFile) -> None:
        """Keep the descriptor."""
        self.raw = raw

    def read(self, reading: Reading) -> JsonLinesRows:
        """Return a reader."""
        return JsonLinesRows(self.raw, reading)

    def skim(self, *, negatives: bool, tickers: bool = False) -> Skim:
        """Nothing is known without reading."""
        return Skim(False)


class JsonLinesRows:
    """Its rows from a place on."""

    damage = ""
    unusable = None
    remark = ""

    def __init__(self, raw: RawFile, reading: Reading) -> None:
        """Start at the place."""
        self._raw, self._reading = raw, reading
        self._offset, self.line = reading.place.offset, reading.place.line
        self._arrival_ns, self._event_ns = reading.place.previous_arrival_time_ns, reading.place.previous_event_time_ns
        self.skipped, self._order = reading.place.skipped, reading.place.order
        nothing_before = self._event_ns == BEFORE_EVERYTHING
        self._channel_ns = BEFORE_EVERYTHING if nothing_before else reading.place.channel_arrival_time_ns
        self.latency_ns_min, self.negative_latencies = AFTER_EVERYTHING, 0
        self.finished = False
        self._ticks = 0

    @property
    def bound_ns(self) -> int:
        """Return the arrival of the last row, or what the order by event time allows."""
        if not self._reading.check_order or self._arrival_ns == BEFORE_EVERYTHING:
            return BEFORE_EVERYTHING
        if self._reading.latency.changes and self._order & EVENT_BROKEN:
            return self._channel_ns
        return self._arrival_ns if self._order & EVENT_BROKEN else self._event_ns + self._reading.latency_bound_ns

    @property
    def counts(self) -> LineCounts:
        """Return how many lines were read; none of them is unusable or blank."""
        place = self._reading.place
        return LineCounts(
            first_line=place.line,
            lines_read=self.line - place.line,
            ticks=self._ticks,
            rejected=0,
            skipped=self.skipped - place.skipped,
            blank=0,
            reported=0,
        )

    def place(self) -> SourceCursor:
        """Return the offset of the next line and what came before it."""
        channel_ns = self._channel_ns if self._reading.latency.changes else 0
        return SourceCursor(
            self._offset, self.line, self._arrival_ns, self.skipped, self._event_ns, self._order, channel_ns
        )

    def feed(self, into: Block, rows: int) -> None:
        """Decode some lines."""
        with open(os.dup(self._raw.descriptor), "rb") as file:
            for _ in range(rows):
                file.seek(self._offset)
                text = file.readline()
                if not text:
                    self.finished = True
                    return
                self._add(into, json.loads(text))
                self._offset += len(text)
                self.line += 1

    def _add(self, into: Block, row: Values) -> None:
        event_ns, latency_ns, ticker, quote = row
        reading, options = self._reading, self._reading.options
        model = reading.latency
        shift_ns = reading.shift_ns if options.negative_latency == "shift" else 0
        unclamped_ns = event_ns + latency_ns + (0 if model.changes else shift_ns)
        modelled_ns = model.latency_ns(latency_ns, row=self.line) if model.changes else latency_ns
        clamped = options.negative_latency == "clamp" and modelled_ns < 0
        arrival_ns = event_ns if clamped else event_ns + modelled_ns + shift_ns
        overtakes = unclamped_ns < self._arrival_ns
        self._order |= EVENT_BROKEN * (event_ns < self._event_ns) | ARRIVAL_BROKEN * (unclamped_ns < self._arrival_ns)
        if reading.check_order and self._order == EVENT_BROKEN | ARRIVAL_BROKEN:
            raise UnsortedSource(self.line, "event", event_ns, self._event_ns, by_arrival=False)
        if reading.check_order and arrival_ns - event_ns < reading.latency_bound_ns:
            raise LatencyBoundBroken(self.line, arrival_ns - event_ns, reading.latency_bound_ns)
        self.latency_ns_min = min(self.latency_ns_min, latency_ns)
        self.negative_latencies += latency_ns < 0
        self._event_ns, self._arrival_ns = event_ns, unclamped_ns
        if model.changes and not (overtakes and model.follows_file):
            arrival_ns = max(arrival_ns, self._channel_ns)
        self._channel_ns = arrival_ns
        if (options.tickers and ticker not in options.tickers) or not options.start_ns <= arrival_ns < options.end_ns:
            self.skipped += 1
            return
        self._ticks += 1
        bid_price, bid_amount, ask_price, ask_amount = quote
        into.append_tick(
            ticker,
            arrival_time_ns=arrival_ns,
            event_time_ns=event_ns,
            bid_price=bid_price,
            bid_amount=bid_amount,
            ask_price=ask_price,
            ask_amount=ask_amount,
            source_rank=reading.rank,
            row=self.line,
        )


JSON_LINES = FileFormat(JsonLinesFile, suffixes=(".jsonl",))
