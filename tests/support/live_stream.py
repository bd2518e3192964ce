"""What live data left in the queue: every row of the feed in its order, or a marker in its place, and the same in the logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastpath.frame import TickFrame
from fastpath.midprice import PriceKernel
from protos.common.v1.market_pb2 import MODE_LIVE, Marker, TickBatch
from services.runtime.connection import connect
from services.runtime.session.keys import SessionKeys

LIVE_ROWS: Final = 30_000


def write_feed(path: Path, rows: int = LIVE_ROWS, *, tickers: int = 1, step_ms: int = 1) -> Path:
    """Row i has the bid i and comes i steps after the first; rows take turns with the tickers."""
    with path.open("w") as out:
        out.write("index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount\n")
        for row in range(1, rows + 1):
            seconds, ms = divmod(row * step_ms, 1000)
            clock = f"{seconds // 60:02d}:{seconds % 60:02d}.{ms:03d}"
            out.write(f"{row},2025-10-02 12:{clock},{feed_ticker(row, tickers)},1,{row + 1},{row},1\n")
    return path


def feed_ticker(row: int, tickers: int = 1) -> str:
    """Return the ticker of a row that `write_feed` writes."""
    return "LIVE" if tickers == 1 else f"LIVE{row % tickers}"


@dataclass
class Stream:
    """What lies in the queue at the end."""

    batches: list[TickBatch] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)

    @property
    def markers(self) -> list[Marker]:
        """All of them, in the order of their numbers."""
        return [
            marker for batch in self.batches for marker in sorted(batch.markers, key=lambda marker: marker.sequence)
        ]


def read_stream(url: str, keys: SessionKeys) -> Stream:
    """Read all that is retained of a partition."""
    with connect(url, client_name="test") as client:
        payloads = [fields[b"b"] for _, fields in client.xrange(keys.ticks)]
    return Stream([TickBatch.FromString(payload) for payload in payloads], payloads)


def assert_no_unexplained_hole(stream: Stream) -> list[tuple[int, int]]:
    """Every number appears once, in order; one that is skipped was announced by a gap marker. Returns the jumps."""
    due, jumps = 1, []
    announced = 0
    for batch in stream.batches:
        if batch.first_sequence != due:
            assert batch.first_sequence == announced, f"{due} is missing, {batch.first_sequence} comes unannounced"
            jumps.append((due, announced))
        due = batch.last_sequence + 1
        announced = next((m.next_sequence for m in batch.markers if m.kind == Marker.KIND_GAP and m.next_sequence), 0)
    return jumps


def assert_live_gaps_are_explained(stream: Stream, following: Callable[[int], int] = lambda row: row + 1) -> int:
    """Live rows follow each other one by one unless a marker stands between them; returns how many there were.

    `following` is the row that the feed sends behind one, of those that belong here.
    """
    last, rows = 0, 0
    for batch in stream.batches:
        if batch.mode != MODE_LIVE:
            last = 0
            continue
        markers = {marker.sequence for marker in batch.markers}
        index = 0
        for sequence in range(batch.first_sequence, batch.last_sequence + 1):
            if sequence in markers:
                last = 0
                continue
            row = int(batch.bid_price[index])
            assert not last or row == following(last), (
                f"live row {row} after {last} at {sequence}, and no marker says why"
            )
            last, index, rows = row, index + 1, rows + 1
    return rows


def assert_logs_follow_the_stream(out: Path, stream: Stream) -> None:
    """Hold both logs against what the kernel makes of the stream."""
    kernel = PriceKernel(latency_threshold_ns=20_000_000, log_arrival=False)
    mids, errors = bytearray(), bytearray()
    for payload in stream.payloads:
        kernel.process(TickFrame(payload))
        mids += kernel.take_mid_text()
        errors += kernel.take_error_text()
    assert (out / "mid_prices.log").read_bytes() == mids
    assert (out / "errors.log").read_bytes() == errors
