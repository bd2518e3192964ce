"""G6: numbers to the text of the log."""

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

LINES: Final = 1_000_000
NEVER_LATE_NS: Final = 1 << 62
FRAMES_PER_TAKE: Final = 16
WRITE_BYTES: Final = 1 << 20


def g6(context: Context) -> list[Result]:
    """Format a million mids; compare with polars' writer and with merely writing the finished text to a file."""
    encoded = _encoded(context)
    times = np.concatenate([columns(batch)["event_time_ns"] for batch in encoded]) // 1000
    mids = np.concatenate([0.5 * (part["bid_price"] + part["ask_price"]) for part in map(columns, encoded)])
    frame = pl.DataFrame({"timestamp": times, "mid": mids}).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
    text = _ours(encoded)[1]
    if text != _polars(frame)[1]:
        raise AssertionError("polars spells the mids in another way")
    against_polars: list[float] = []
    against_write: list[float] = []
    rates: list[float] = []
    started = time.monotonic()
    for number in range(2 * context.pairs + 1):
        if number > context.pairs and time.monotonic() - started > context.seconds_per_row:
            break
        ours, theirs = _ours(encoded)[0], _polars(frame)[0]
        written = _write(text, context.scratch / "text.log")
        against_polars.append(theirs / ours)
        against_write.append(written / ours)
        rates.append(len(times) / ours / 1e6)
        context.say(f"  ours {ours:.4f} s, polars {theirs:.4f} s, write() {written:.4f} s")
    what = f"mids to log text, {len(times) / 1e6:.1f}M lines"
    note = (
        f"{max(rates):.1f} M lines/s at best, on one core; ours also filters and hashes the order. "
        f"polars: {pl.thread_pool_size()} threads"
    )
    return [
        Result("G6", what, "polars write_csv, wall time", tuple(against_polars), Goal(1.5, 2.5), note=note),
        Result("G6b", what, "share of the speed of write()", tuple(against_write), Goal(0.25, 0.4)),
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


def _ours(encoded: list[bytes]) -> tuple[float, bytes]:
    frames = [TickFrame(batch) for batch in encoded]
    kernel = PriceKernel(latency_threshold_ns=NEVER_LATE_NS, with_mids=False)
    texts = []
    before = time.thread_time()
    for number, frame in enumerate(frames, start=1):
        kernel.process(frame)
        if number % FRAMES_PER_TAKE == 0:
            texts.append(kernel.take_mid_text())
    texts.append(kernel.take_mid_text())
    return time.thread_time() - before, b"".join(texts)


def _polars(frame: pl.DataFrame) -> tuple[float, bytes]:
    out: Any = io.BytesIO()
    before = time.perf_counter()
    frame.write_csv(out, include_header=False, separator=" ", quote_style="never", datetime_format=MIDS_TIME)
    return time.perf_counter() - before, out.getvalue()


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
