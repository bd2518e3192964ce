"""A column of TickBatch, on its whole way: every place that a new one has to be added to fails here when it was forgotten.

The checklist stands at the message in protos/common/v1/market.proto.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, MODE_LIVE, TickFrame, encode_batch, select_tickers
from fastpath.merge import Merger, sort_rows
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
OF_THE_BATCH: Final = {"ticker_index", "tick_sequence"}
"""Columns that are numbers of the batch itself: the dictionary's, and the sequence in a filtered one."""


def a_tick() -> Block:
    block = Block(Tickers())
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


def ordered(block: Block) -> Block:
    out = Block(block.tickers)
    sort_rows(block, out)
    return out


def encoded(block: Block, *, mode: int = MODE_HISTORICAL) -> bytes:
    return encode_batch(block, 0, 1, epoch="e", mode=mode, first_sequence=1, sources=("a.csv",))[0]


def columns(batch: bytes) -> dict[str, Any]:
    message = TickBatch.FromString(batch)
    return {name: list(getattr(message, name)) for name in columns_of(TickBatch) if name not in OF_THE_BATCH}


EXPECTED: Final = {name: [value] for name, value in VALUES.items()}


def test_this_test_knows_every_column() -> None:
    assert set(columns_of(TickBatch)) == set(VALUES) | OF_THE_BATCH


@pytest.mark.parametrize(
    "passed", [lambda block: block, merged, spilled, ordered], ids=["block", "merge", "spill", "sort"]
)
@pytest.mark.parametrize("mode", [MODE_HISTORICAL, MODE_LIVE], ids=["historical", "live"])
def test_every_column_comes_out_as_it_went_in(passed: Callable[[Block], Block], mode: int) -> None:
    assert columns(encoded(passed(a_tick()), mode=mode)) == EXPECTED


def test_a_selection_of_tickers_keeps_every_column() -> None:
    block = a_tick()
    block.append_tick("ETH", **{name: value + 1 for name, value in VALUES.items()}, row=2)
    batch = encode_batch(block, 0, 2, epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=("a.csv",))[0]

    selected = select_tickers(batch, {"BTC"})

    assert selected is not None
    assert columns(selected) == EXPECTED


@pytest.mark.parametrize(
    "read",
    [lambda batch: TickFrame(batch).ticks()[0], lambda batch: reference.decode(batch).ticks[0]],
    ids=["kernel", "reference"],
)
def test_a_decoded_tick_tells_every_column(read: Callable[[bytes], tuple[Any, ...]]) -> None:
    sequence, ticker, *values = read(encoded(a_tick()))

    assert (sequence, ticker) == (1, "BTC")
    assert values == list(VALUES.values())


def test_the_reference_writes_every_column() -> None:
    rows = a_tick().to_rows()
    batch, _, _ = reference.encode_batch(
        rows, 0, 1, epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=("a.csv",)
    )

    assert columns(batch) == EXPECTED


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
