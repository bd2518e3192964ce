"""G3: text to columns on one core, with every field checked, against the readers that people use."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from benchmarks.context import Context
from benchmarks.results import Goal, Result
from benchmarks.wire import columns
from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder
from fastpath.frame import MODE_HISTORICAL, encode_batch
from fastpath.header import Header

COLUMNS: Final = ("timestamp", "ticker", "ask_amount", "ask_price", "bid_price", "bid_amount", "latency")
BUFFER_BYTES: Final = 256 * 1024
FEED_ROWS: Final = 4096
ROWS_IN_BLOCK_MAX: Final = 4096
"""A block is emptied at this length: on their way to the queue no more rows of one file are together."""
EXPECTED: Final = ("event_time_ns", "arrival_time_ns", "ticker", "bid_price", "bid_amount", "ask_price", "ask_amount")


def g3(context: Context) -> list[Result]:
    """Decode every file with each; file by file in turn, so that a noisy minute hits all of them."""
    ticks = context.data
    # CPU time: it does not count what others on the machine take away. pyarrow reads ahead in a thread of its own.
    sides: dict[str, tuple[Callable[[str], Any], Callable[[], float]]] = {
        "ours": (decode, time.thread_time),
        "pyarrow": (read_pyarrow, time.process_time),
        "pandas": (read_pandas, time.thread_time),
    }
    _compare(ticks.paths[0])
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in context.rounds():
        spent = dict.fromkeys(sides, 0.0)
        for turn, path in enumerate(ticks.paths, start=number):
            # Whoever comes first finds the file in memory, the others in the cache: everybody is first in turn.
            for name in np.roll(list(sides), turn):
                read, clock = sides[name]
                gc.collect()
                before = clock()
                kept = read(path)
                spent[name] += clock() - before
                del kept
        for name, total in spent.items():
            seconds[name].append(total)
        context.say("  " + ", ".join(f"{name} {total:.3f} s" for name, total in spent.items()))
    rate = ticks.count / min(seconds["ours"]) / 1e6
    note = (
        f"CPU time; ours {rate:.1f} M rows/s at best, {ticks.size / min(seconds['ours']) / 1e9:.2f} GB/s; columns equal"
    )
    return [
        _result("G3", "pyarrow.csv, one thread", seconds["ours"], seconds["pyarrow"], Goal(6, 8), note),
        _result("G3b", "pandas read_csv", seconds["ours"], seconds["pandas"], Goal(6, 8), ""),
    ]


def _result(name: str, against: str, ours: list[float], theirs: list[float], goal: Goal, note: str) -> Result:
    ratios = tuple(other / mine for mine, other in zip(ours, theirs, strict=True))
    return Result(name, "decode with full validation, 1 core", against, ratios, goal, note=note)


def decode(path: str, keep: list[Block] | None = None) -> int:
    """Decode a file into blocks; returns the number of rows."""
    tickers = Tickers()
    buffer = memoryview(bytearray(BUFFER_BYTES))
    block, rows = Block(tickers), 0
    with open(path, "rb", buffering=0) as file:
        header = file.readline()
        decoder = Decoder(Header(header), tickers, source_rank=0, offset=len(header), line=2)
        held = 0
        while True:
            count = file.readinto(buffer[held:])
            end, start = held + count, 0
            while True:
                used = decoder.feed(buffer[start:end], block, row_limit=FEED_ROWS, final=count == 0)
                start += used
                if used == 0:
                    break
                if len(block) >= ROWS_IN_BLOCK_MAX:
                    rows, block = rows + len(block), _emptied(block, keep)
            held = end - start
            buffer[:held] = bytes(buffer[start:end])
            if count == 0:
                break
    rows += len(block)
    _emptied(block, keep)
    return rows


def _emptied(block: Block, keep: list[Block] | None) -> Block:
    if keep is None:
        block.clear()
        return block
    keep.append(block)
    return Block(block.tickers)


def read_pyarrow(path: str) -> pa.Table:
    """Read a file with pyarrow, types given, in one thread."""
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(COLUMNS),
            column_types={
                "timestamp": pa.timestamp("us"),
                "ticker": pa.dictionary(pa.int32(), pa.string()),
                **dict.fromkeys(("ask_amount", "ask_price", "bid_price", "bid_amount", "latency"), pa.float64()),
            },
        ),
    )


def read_pandas(path: str) -> pd.DataFrame:
    """Read a file with pandas' C parser, types given."""
    return pd.read_csv(
        path,
        usecols=list(COLUMNS),
        dtype={"ticker": "category"},
        parse_dates=["timestamp"],
        date_format="ISO8601",
    )


def _compare(path: str) -> None:
    """Raise AssertionError unless all three read the same."""
    blocks: list[Block] = []
    decode(path, blocks)
    parts = []
    for block in blocks:
        done = 0
        while done < len(block):
            encoded, rows, _ = encode_batch(
                block, done, len(block), epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=[path]
            )
            parts.append(columns(encoded))
            done += rows
    ours = {name: np.concatenate([part[name] for part in parts]) for name in EXPECTED}
    table = read_pyarrow(path).to_pandas()
    for reader, frame in (("pyarrow", table), ("pandas", read_pandas(path))):
        theirs = {name: frame[name].to_numpy() for name in COLUMNS if name not in ("timestamp", "latency", "ticker")}
        theirs["ticker"] = frame["ticker"].astype(object).to_numpy()
        theirs["event_time_ns"] = frame["timestamp"].astype("datetime64[ns]").astype("int64").to_numpy()
        theirs["arrival_time_ns"] = theirs["event_time_ns"] + np.rint(frame["latency"].to_numpy() * 1e6).astype(
            np.int64
        )
        for name in EXPECTED:
            if not np.array_equal(ours[name], theirs[name]):
                raise AssertionError(f"{reader} reads another `{name}` from {path}")
