"""What a source numbers its own records with, for telling which record of a recording is which of a feed.

An object of the live layout may carry `id`: an integer that rises from record to record of its ticker for as long as its source runs,
with gaps or without. It proves nothing by itself, since a source that was restarted may begin again: two records are the same when
number, ticker, prices, amounts and event time are.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import orjson

from fastpath.columns import Block, Tickers, TickRow
from fastpath.live import decode_live_frame
from services.replay.recording.records import MAGIC, frame_of

FIELD: Final = b'"id"'
SPAN_NS: Final = 60_000_000_000
"""Of a recording, the frames of its last minute are looked at."""
TAIL_BYTES_MAX: Final = 16 << 20
FRAMES_MAX: Final = 65_536
"""Each takes some microseconds to decode, and nothing is published meanwhile."""


class Numbered(NamedTuple):
    """A record as both sides know it, wherever it was received."""

    ticker: str
    number: int
    event_time_ns: int | None
    """None: the source gives none, so the time of receipt stands for it, and that is another one on each side."""
    bid_price: float | None
    bid_amount: float | None
    ask_price: float | None
    ask_amount: float | None


class KnownNumbers:
    """The newest records of history that are numbered."""

    def __init__(self, records: Iterable[Numbered] = ()) -> None:
        self._records = frozenset(records)
        self._lowest: dict[str, int] = {}
        for record in self._records:
            lowest = self._lowest.get(record.ticker, record.number)
            self._lowest[record.ticker] = min(lowest, record.number)

    def __contains__(self, record: Numbered) -> bool:
        return record in self._records

    def __len__(self) -> int:
        return len(self._records)

    def tells(self, record: Numbered) -> bool:
        """Tell whether the record would be among these if history had it: numbers below them lie further back than was looked."""
        return record.number >= self._lowest.get(record.ticker, record.number + 1)


def numbered_row(row: TickRow, number: int) -> Numbered:
    """Return a decoded row with its number."""
    (arrival_time_ns, _, _), event_time_ns, ticker, *prices = row
    # NaN is not equal to itself, and missing here is missing there.
    bid_price, bid_amount, ask_price, ask_amount = (None if price != price else price for price in prices)
    event = None if event_time_ns == arrival_time_ns else event_time_ns
    return Numbered(ticker, number, event, bid_price, bid_amount, ask_price, ask_amount)


def numbered_in(payload: bytes, receive_time_ns: int, scratch: Block) -> Iterator[Numbered]:
    """Yield the numbered records of a frame; `scratch` is emptied."""
    if FIELD not in payload:
        return
    try:
        frame = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return
    for item in frame if isinstance(frame, list) else [frame]:
        number = item.get("id") if isinstance(item, dict) else None
        if type(number) is not int:
            continue
        scratch.clear()
        decode_live_frame(
            payload if item is frame else orjson.dumps(item),
            scratch,
            receive_time_ns=receive_time_ns,
            source_rank=0,
            frame_number=0,
        )
        for row in scratch.to_rows():
            if len(row) != 3:
                yield numbered_row(row, number)
    scratch.clear()


def recorded_numbers(descriptor: int, size: int) -> Iterator[Numbered]:
    """Yield the numbered records in the end of an open file, of which `size` bytes count; none when it is no plain recording."""
    if os.pread(descriptor, len(MAGIC), 0) != MAGIC:
        return
    start = max(0, size - TAIL_BYTES_MAX)
    lines = os.pread(descriptor, size - start, start).split(b"\n")
    # The first one may be half a record, and the last one is what is behind the last line end.
    frames = deque(((frame, line) for line in lines[1:-1] if (frame := frame_of(line)) is not None), maxlen=FRAMES_MAX)
    if not frames:
        return
    since_ns = frames[-1][0].receive_time_ns - SPAN_NS
    scratch = Block(Tickers(live_names_max=FRAMES_MAX))
    for frame, line in frames:
        if frame.receive_time_ns < since_ns:
            continue
        kind, _, _, payload = line.split(b" ", 3)
        try:
            payload = payload if kind == b"F" else base64.b64decode(payload, validate=True)
        except binascii.Error:
            continue
        yield from numbered_in(payload, frame.receive_time_ns, scratch)
