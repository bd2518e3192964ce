"""G6: numbers to the text of the log.

Everything that the price kernel does is counted, the order digest too, which polars has not.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.competitors.polars_replay import MIDS_TIME
from benchmarks.context import Context
from benchmarks.ordering import Feeder
from benchmarks.results import Goal, Result
from benchmarks.wire import columns
from fastpath.columns import Block, Tickers
from fastpath.frame import BATCH_ROWS_MAX, MODE_HISTORICAL, TickFrame, encode_batch
from fastpath.midprice import PriceKernel
from services.price.engine.disk import EARLY_BYTES

LINES: Final = 1_000_000
NEVER_LATE_NS: Final = 1 << 62
WRITE_BYTES: Final = 1 << 20
STYLE: Final[dict[str, Any]] = {
    "include_header": False,
    "separator": " ",
    "quote_style": "never",
    "datetime_format": MIDS_TIME,
}


def g6(context: Context) -> list[Result]:
    """Format a million mids; compare with polars' writer and with merely writing the finished text to a file."""
    encoded = _encoded(context)
    times = np.concatenate([columns(batch)["event_time_ns"] for batch in encoded]) // 1000
    mids = np.concatenate([0.5 * (part["bid_price"] + part["ask_price"]) for part in map(columns, encoded)])
    frame = pl.DataFrame({"timestamp": times, "mid": mids}).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
    frames = [TickFrame(batch) for batch in encoded]
    text = _text(frames, frame)
    against_polars: list[float] = []
    against_write: list[float] = []
    rates: list[float] = []
    for _ in context.rounds(2 * context.pairs + 1):
        kernel_s, polars_s = _ours(frames), _polars(frame)
        write_s = _write(text, context.scratch / "text.log")
        against_polars.append(polars_s / kernel_s)
        against_write.append(write_s / kernel_s)
        rates.append(len(times) / kernel_s / 1e6)
        context.say(f"  ours {kernel_s:.4f} s, polars {polars_s:.4f} s, write() {write_s:.4f} s")
    what = f"mids to log text, {len(times) / 1e6:.1f}M lines"
    polars_name = f"polars write_csv, {pl.thread_pool_size()} threads"
    note = f"{max(rates):.1f} M lines/s at best on one core (CPU time; polars: wall time); same bytes"
    return [
        Result("G6", what, polars_name, tuple(against_polars), Goal(1.5, 2.5), note=note),
        Result("G6b", what, "share of the speed of write()", tuple(against_write), Goal(0.35, 0.5)),
    ]


def _encoded(context: Context) -> list[bytes]:
    tickers, batches, sequence = Tickers(), [], 1
    for rank, path in enumerate(context.data.paths):
        source, block, rows_max = Feeder(path, rank, tickers), Block(tickers), LINES // len(context.data.paths)
        rows = 0
        while rows < rows_max and not source.finished:
            source.feed(block, BATCH_ROWS_MAX)
            done = 0
            while done < len(block):
                batch, count, last = encode_batch(
                    block,
                    done,
                    len(block),
                    epoch="e",
                    mode=MODE_HISTORICAL,
                    first_sequence=sequence,
                    sources=[path] * (rank + 1),
                )
                batches.append(batch)
                done, sequence = done + count, last + 1
            rows += len(block)
            block.clear()
    return batches


def _ours(frames: list[TickFrame]) -> float:
    """Format everything and let go of the text, as the sink does once it is written."""
    kernel = PriceKernel(latency_threshold_ns=NEVER_LATE_NS, with_mids=False)
    before = time.thread_time()
    for frame in frames:
        kernel.process(frame)
        if len(kernel.mid_text) >= EARLY_BYTES:
            kernel.mid_text.clear()
    return time.thread_time() - before


def _polars(frame: pl.DataFrame) -> float:
    """Format everything to where it costs nothing to write."""
    before = time.perf_counter()
    frame.write_csv("/dev/null", **STYLE)
    return time.perf_counter() - before


def _text(frames: list[TickFrame], frame: pl.DataFrame) -> bytes:
    """The text of both; raises AssertionError when they differ."""
    kernel = PriceKernel(latency_threshold_ns=NEVER_LATE_NS, with_mids=False)
    for tick_frame in frames:
        kernel.process(tick_frame)
    text = kernel.take_mid_text()
    out: Any = io.BytesIO()
    frame.write_csv(out, **STYLE)
    if text != out.getvalue():
        raise AssertionError("polars spells the mids in another way")
    return text


def _write(text: bytes, path: Path) -> float:
    """Write the text to a new file, a mebibyte at a time, without syncing."""
    view = memoryview(text)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        before = time.thread_time()
        for start in range(0, len(view), WRITE_BYTES):
            os.write(descriptor, view[start : start + WRITE_BYTES])
        return time.thread_time() - before
    finally:
        os.close(descriptor)
        path.unlink()
