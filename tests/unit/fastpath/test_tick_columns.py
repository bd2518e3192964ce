"""A column of TickBatch, on its whole way: every place that a new one has to be added to fails here when it was forgotten.

The checklist stands at the message in protos/common/v1/market.proto.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder
from fastpath.frame import MODE_HISTORICAL, MODE_LIVE, TickFrame, encode_batch, select_tickers
from fastpath.header import Header
from fastpath.live import decode_live_frame
from fastpath.merge import Merger, sort_rows
from fastpath.records import FrameError
from protos.common.v1.market_pb2 import TickBatch
from services.runtime.session.columns import columns_of
from tests.reference import frame as reference

ROOT: Final = Path(__file__).parents[3]

VALUES: Final[dict[str, Any]] = {
    "event_time_ns": 11,
    "arrival_time_ns": 13,
    "bid_price": 17.0,
    "bid_amount": 19.0,
    "ask_price": 23.0,
    "ask_amount": 29.0,
}
"""One tick, with another value in every column."""
QUOTE: Final = {name: value for name, value in VALUES.items() if isinstance(value, float)}
OF_THE_BATCH: Final = {"ticker_index", "tick_sequence"}
"""Columns that are numbers of the batch itself: the dictionary's, and the sequence in a filtered one."""
OF_THE_KEY: Final = {"tie_order"}
"""What a row is ordered by beside its arrival, as one number: made of its rank and row, and only where it is asked for."""


def a_tick() -> Block:
    block = Block(Tickers())
    block.append_tick("BTC", **VALUES, row=1)
    return block


def reused(block: Block) -> Block:
    block.append_tick("ETH", **{name: value + 1 for name, value in VALUES.items()}, row=2)
    block.clear()
    block.append_tick("BTC", **VALUES, row=1)
    return block


def merged(block: Block) -> Block:
    merger, out = Merger(block.tickers, 2), Block(block.tickers)
    merger.pending(0).append_tick("BTC", **VALUES, row=1)
    merger.advance(0, VALUES["arrival_time_ns"], finished=True)
    merger.advance(1, 0, finished=True)
    assert merger.take(out, 10) == 1
    return out


def spilled(block: Block) -> Block:
    merger, out = Merger(block.tickers, 1), Block(block.tickers)
    merger.pending(0).append_tick("BTC", **VALUES, row=1)
    merger.advance(0, 0)
    oldest = merger.oldest_row(0)
    run = merger.spill()
    number = merger.add_run(1, oldest_rows={0: oldest})
    merger.feed_run(number, run, final=True)
    merger.advance(0, VALUES["arrival_time_ns"] + 1, finished=True)
    assert merger.take(out, 10) == 1
    return out


def waited(block: Block) -> Block:
    """Let so many rows leave before the tick that it moves out of the block in which it was decoded."""
    merger, out = Merger(block.tickers, 1), Block(block.tickers)
    # Other values: what a column forgets would else still stand in the block's memory.
    early = {name: value + 1 for name, value in VALUES.items() if name != "arrival_time_ns"}
    merger.pending(0).append_tick("BTC", **VALUES, row=1)
    for row in range(2, 4000):
        merger.pending(0).append_tick("BTC", **early, arrival_time_ns=row - 5000, row=row)
        if row % 100 == 0:
            merger.advance(0, row - 5000)
            while merger.take(out, 1000):
                pass
    merger.advance(0, VALUES["arrival_time_ns"], finished=True)
    while merger.in_flight > 1:
        merger.take(out, merger.in_flight - 1)
    out.clear()
    assert merger.take(out, 1) == 1
    return out


def ordered(block: Block) -> Block:
    out = Block(block.tickers)
    sort_rows(block, out)
    return out


def encoded(block: Block, *, mode: int = MODE_HISTORICAL, tie_order: bool = False) -> bytes:
    return encode_batch(block, 0, 1, epoch="e", mode=mode, first_sequence=1, sources=("a.csv",), tie_order=tie_order)[0]


def columns(batch: bytes) -> dict[str, Any]:
    message = TickBatch.FromString(batch)
    left_out = OF_THE_BATCH | (set() if message.tie_order else OF_THE_KEY)
    return {name: list(getattr(message, name)) for name in columns_of(TickBatch) if name not in left_out}


EXPECTED: Final = {name: [value] for name, value in VALUES.items()}


def test_this_test_knows_every_column() -> None:
    assert set(columns_of(TickBatch)) == set(VALUES) | OF_THE_BATCH | OF_THE_KEY


@pytest.mark.parametrize(
    "passed",
    [lambda block: block, reused, merged, waited, spilled, ordered],
    ids=["block", "reused", "merge", "wait", "spill", "sort"],
)
@pytest.mark.parametrize("mode", [MODE_HISTORICAL, MODE_LIVE], ids=["historical", "live"])
def test_every_column_comes_out_as_it_went_in(passed: Callable[[Block], Block], mode: int) -> None:
    assert columns(encoded(passed(a_tick()), mode=mode)) == EXPECTED
    # Its key goes with it through all of these: nobody has to carry a column of it.
    assert columns(encoded(passed(a_tick()), mode=mode, tie_order=True)) == EXPECTED | {"tie_order": [1]}


@pytest.mark.parametrize("ticker", ["BTC", "ETH"])
def test_a_selection_of_tickers_keeps_every_column(ticker: str) -> None:
    block = a_tick()
    others = {name: value + 1 for name, value in VALUES.items()}
    block.append_tick("ETH", **others, row=2, source_rank=3)
    batch, _, _ = encode_batch(
        block, 0, 2, epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=("a.csv",), tie_order=True
    )

    selected = select_tickers(batch, {ticker})

    assert selected is not None
    expected = VALUES | {"tie_order": 1} if ticker == "BTC" else others | {"tie_order": 3 << 48 | 2}
    assert columns(selected) == {name: [value] for name, value in expected.items()}


@pytest.mark.parametrize(
    "read",
    [lambda batch: TickFrame(batch).ticks()[0], lambda batch: reference.decode(batch).ticks[0]],
    ids=["kernel", "reference"],
)
def test_a_decoded_tick_tells_every_column(read: Callable[[bytes], tuple[Any, ...]]) -> None:
    sequence, ticker, *values = read(encoded(a_tick()))

    assert (sequence, ticker) == (1, "BTC")
    assert values == list(VALUES.values())


@pytest.mark.parametrize("name", [*VALUES, *OF_THE_KEY])
def test_a_batch_whose_column_is_too_short_is_refused(name: str) -> None:
    block = a_tick()
    block.append_tick("ETH", **VALUES, row=2)
    batch = encode_batch(block, 0, 2, epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=(), tie_order=True)[0]
    message = TickBatch.FromString(batch)
    del getattr(message, name)[1:]

    with pytest.raises(FrameError, match=name):
        TickFrame(message.SerializeToString())


def test_a_line_of_a_file_fills_every_column_of_the_quote() -> None:
    header = Header(",".join(["timestamp", "latency", "ticker", *QUOTE]).encode())
    line = ",".join(["2025-01-01 00:00:00", "0", "BTC", *map(repr, QUOTE.values())]).encode() + b"\n"
    block = Block(Tickers())

    Decoder(header, block.tickers, source_rank=0, offset=0, line=2).feed(line, block, row_limit=1)

    assert columns(encoded(block)).items() >= {name: [value] for name, value in QUOTE.items()}.items()


def test_a_live_frame_fills_every_column_of_the_quote() -> None:
    block = Block(Tickers())
    payload = json.dumps({"timestamp": "2025-01-01 00:00:00", "ticker": "BTC"} | QUOTE)

    decode_live_frame(payload, block, receive_time_ns=1, source_rank=0, frame_number=1)

    assert columns(encoded(block)).items() >= {name: [value] for name, value in QUOTE.items()}.items()


def test_the_reference_writes_every_column() -> None:
    rows = a_tick().to_rows()
    batch, _, _ = reference.encode_batch(
        rows, 0, 1, epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=("a.csv",), tie_order=True
    )

    assert columns(batch) == EXPECTED | {"tie_order": [1]}


def test_the_benchmarks_read_every_column() -> None:
    # Parsed, because it needs packages that only benchmarks have.
    tree = ast.parse((ROOT / "benchmarks/wire.py").read_text())
    assigned = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    assert set(ast.literal_eval(assigned["DTYPES"])) == set(VALUES) | {"ticker_index"}
