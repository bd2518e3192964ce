"""One order of several partitions again: their encoded batches into encoded batches.

Ours is timed from bytes to bytes, on one core. The alternatives get their inputs decoded for nothing: heapq.merge rows as Python tuples,
numpy columns that it concatenates, puts in order with lexsort and gathers; neither of them encodes anything, and numpy begins when all
is there.
"""

from __future__ import annotations

import heapq
import json
import sys
import time
from typing import Any, Final

import numpy as np

from benchmarks.context import Context
from benchmarks.results import Goal, Result
from benchmarks.wire import columns
from fastpath.frame import BATCH_ROWS_MAX, TickFrame
from fastpath.weave import Weaver
from protos.common.v1.market_pb2 import MODE_HISTORICAL, TickBatch

PARTITIONS: Final = 4
MANY: Final = 64
"""So many are read so rarely each that no cache holds what comes next of all of them."""
TICKS: Final = 1_000_000
TICKERS: Final = 200
TURNS: Final = 4
"""The first one warms up."""
SEED: Final = 15
COLUMNS: Final = ("event_time_ns", "arrival_time_ns", "bid_price", "bid_amount", "ask_price", "ask_amount")
AT_LAST: Final = 2**63 - 1


def make(ticks: int, partitions: int = PARTITIONS) -> list[list[bytes]]:
    """The batches of every partition: ticks of tickers at random, about one in a thousand with the time of another."""
    rng = np.random.default_rng(SEED)
    arrival = np.sort(rng.integers(0, ticks * 500, ticks))
    ticker, tie = rng.integers(0, TICKERS, ticks), np.arange(ticks)
    names = [f"EXCHANGE:COIN{number:04}/USDT" for number in range(TICKERS)]
    return [
        [
            _batch(f"e{partition}", begin, chosen[begin : begin + BATCH_ROWS_MAX], arrival, ticker, tie, names)
            for begin in range(0, len(chosen), BATCH_ROWS_MAX)
        ]
        for partition in range(partitions)
        for chosen in [np.nonzero(ticker % partitions == partition)[0]]
    ]


def _batch(epoch: str, begin: int, rows: Any, arrival: Any, ticker: Any, tie: Any, names: list[str]) -> bytes:
    batch = TickBatch(
        epoch=epoch, mode=MODE_HISTORICAL, first_sequence=begin + 1, last_sequence=begin + len(rows), tickers=names
    )
    batch.ticker_index.extend(ticker[rows].tolist())
    batch.tie_order.extend(tie[rows].tolist())
    for name in COLUMNS:
        whole = name.endswith("_ns")
        getattr(batch, name).extend(arrival[rows].tolist() if whole else (tie[rows] + 0.25).tolist())
    return batch.SerializeToString(deterministic=True)


def weave(parts: list[list[bytes]], *, keep: list[bytes] | None = None) -> float:
    """Merge; the CPU time from bytes to bytes."""
    weaver, unread = Weaver(len(parts)), [iter(part) for part in parts]
    before = time.thread_time()
    lagging = list(range(len(parts)))
    while lagging:
        for partition in lagging:
            batch = next(unread[partition], None)
            if batch is not None:
                weaver.feed(partition, batch)
            else:
                weaver.promise(partition, *weaver.positions[partition], AT_LAST)
        while (woven := weaver.take()) is not None:
            if keep is not None:
                keep.append(woven)
        lagging = [partition for partition, _ in weaver.lagging()]
    return time.thread_time() - before


def g16(context: Context) -> list[Result]:
    """Compare with what Python has for it, and with sorting everything; every round in new processes."""
    ticks = TICKS // 5 if context.quick else TICKS
    _check(min(ticks, 200_000), PARTITIONS)
    _check(min(ticks, 200_000), MANY)
    tuples: list[float] = []
    sorted_: list[float] = []
    rates: list[float] = []
    many: list[float] = []
    for _ in context.rounds():
        ours, heap, lexsort = (
            context.answer("benchmarks.weaving", side, str(ticks)) for side in ("ours", "heapq", "numpy")
        )
        many.append(ticks / context.answer("benchmarks.weaving", "ours", str(ticks), str(MANY))["seconds"] / 1e6)
        tuples.append(heap["seconds"] / ours["seconds"])
        sorted_.append(lexsort["seconds"] / ours["seconds"])
        rates.append(ticks / ours["seconds"] / 1e6)
        context.say(f"  ours {rates[-1]:.1f} M ticks/s of one core, {many[-1]:.1f} of {MANY} partitions")
    what = f"one order of {PARTITIONS} partitions, bytes to bytes"
    note = "CPU time; the other side has its input decoded for nothing, and encodes nothing"
    return [
        Result("G16", what, "nothing", tuple(rates), Goal(10, 12), unit="M ticks/s", note="of one core, CPU time"),
        Result("G16b", what, "heapq.merge of tuples", tuple(tuples), Goal(2.5, 3.5), note=note),
        Result("G16c", what, "numpy concatenate, lexsort and gather", tuple(sorted_), Goal(0.7, 1), note=note),
        Result(
            "G16d",
            f"one order of {MANY} partitions, bytes to bytes",
            "nothing",
            tuple(many),
            Goal(8, 10),
            unit="M ticks/s",
            note="of one core, CPU time",
        ),
    ]


def _check(ticks: int, partitions: int) -> None:
    """Raise AssertionError unless all sides bring the same order."""
    parts, woven = make(ticks, partitions), list[bytes]()
    weave(parts, keep=woven)
    ours = [tick[4] for batch in woven for tick in TickFrame(batch).ticks()]
    assert ours == [row[2] for row in heapq.merge(*_tuples(parts))]
    assert ours == _lexsorted(_arrays(parts))["bid_price"].tolist()


def _decoded(part: list[bytes]) -> dict[str, Any]:
    found = [columns(batch) | {"tie_order": np.array(TickBatch.FromString(batch).tie_order)} for batch in part]
    return {name: np.concatenate([each[name] for each in found]) for name in (*COLUMNS, "tie_order")}


def _arrays(parts: list[list[bytes]]) -> list[dict[str, Any]]:
    return [_decoded(part) for part in parts]


def _tuples(parts: list[list[bytes]]) -> list[list[tuple[Any, ...]]]:
    order = ("arrival_time_ns", "tie_order", "bid_price", "bid_amount", "ask_price", "ask_amount", "event_time_ns")
    return [list(zip(*(part[name].tolist() for name in order), strict=True)) for part in _arrays(parts)]


def _lexsorted(parts: list[dict[str, Any]]) -> dict[str, Any]:
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((whole["tie_order"], whole["arrival_time_ns"]))
    return {name: whole[name][order] for name in COLUMNS}


def main() -> None:
    """Run one side once: `python -m benchmarks.weaving ours|heapq|numpy TICKS [PARTITIONS]`."""
    side, parts = sys.argv[1], make(*map(int, sys.argv[2:]))
    if side == "ours":
        seconds = min([weave(parts) for _ in range(TURNS)][1:])
    else:
        prepared: Any = _tuples(parts) if side == "heapq" else _arrays(parts)
        seconds = min([_timed(side, prepared) for _ in range(TURNS)][1:])
    print(json.dumps({"seconds": seconds}))


def _timed(side: str, prepared: Any) -> float:
    before = time.thread_time()
    if side == "heapq":
        for _ in heapq.merge(*prepared):
            pass
    else:
        _lexsorted(prepared)
    return time.thread_time() - before


if __name__ == "__main__":
    main()
