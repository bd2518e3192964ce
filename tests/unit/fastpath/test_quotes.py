"""The last quote of every ticker, against the rows one by one."""

from __future__ import annotations

import math
import random

import pytest

from fastpath.columns import Block, Tickers
from fastpath.quotes import LastQuotes, Quote, read_quotes
from fastpath.records import FrameError
from protos.common.v1.market_pb2 import Marker


def random_block(rng: random.Random, tickers: Tickers, rows: int) -> Block:
    block = Block(tickers)
    for row in range(rows):
        if rng.random() < 0.1:
            block.append_rejection(arrival_time_ns=row, row=row, reason="bad")
            continue
        block.append_tick(
            rng.choice(["B", "A", "é", "long ticker name", "Z"]),
            arrival_time_ns=row + 5,
            event_time_ns=row,
            bid_price=rng.choice([rng.random(), math.nan, -0.0]),
            bid_amount=rng.random(),
            ask_price=rng.random(),
            ask_amount=math.nan,
            row=row,
        )
    return block


def last_of(rows: list[object]) -> list[Quote]:
    last: dict[str, Quote] = {}
    for row in rows:
        if len(row) == 7:  # type: ignore[arg-type]
            (arrival_ns, _, _), event_ns, ticker, *prices = row  # type: ignore[misc]
            last[ticker] = Quote(ticker, event_ns, arrival_ns, *prices)
    return [last[ticker] for ticker in sorted(last, key=lambda name: name.encode())]


@pytest.mark.parametrize("seed", range(5))
def test_the_last_quotes_are_those_of_the_rows_noted(seed: int) -> None:
    rng = random.Random(seed)
    tickers = Tickers()
    quotes, noted = LastQuotes(tickers), []
    for _ in range(20):
        block = random_block(rng, tickers, rng.randrange(30))
        start = rng.randrange(len(block) + 1)
        stop = rng.randrange(start, len(block) + 1)
        quotes.note(block, start, stop)
        noted += block.to_rows()[start:stop]

        (state,) = quotes.encode(1 << 20)
        assert repr(read_quotes(state)) == repr(last_of(noted))


def test_a_copy_stays_as_it_is() -> None:
    rng = random.Random(1)
    tickers = Tickers()
    quotes = LastQuotes(tickers)
    quotes.note(random_block(rng, tickers, 50), 0, 50)
    before = quotes.copy()
    state = before.encode(1 << 20)

    quotes.note(random_block(rng, tickers, 50), 0, 50)

    assert before.encode(1 << 20) == state != quotes.encode(1 << 20)


def test_a_large_state_comes_in_parts_that_make_the_whole() -> None:
    tickers = Tickers()
    quotes = LastQuotes(tickers)
    quotes.note(random_block(random.Random(2), tickers, 200), 0, 200)

    parts = quotes.encode(100)

    assert len(parts) > 1
    assert b"".join(parts) == quotes.encode(1 << 20)[0]


def test_nothing_noted_is_one_empty_part() -> None:
    assert LastQuotes(Tickers()).encode(100) == [b""]


def test_the_wire_is_that_of_the_marker() -> None:
    tickers = Tickers()
    quotes = LastQuotes(tickers)
    block = random_block(random.Random(3), tickers, 20)
    quotes.note(block, 0, 20)
    (state,) = quotes.encode(1 << 20)

    marker = Marker.FromString(state)

    assert [quote.ticker for quote in marker.state] == [quote.ticker for quote in last_of(block.to_rows())]
    assert marker.SerializeToString() == state


@pytest.mark.parametrize(
    "damage", [b"\x72\x05\x0a", b"\x72\x02\x09\x01", b"\x72\x03\x0a\x01\xff"], ids=["cut", "type", "utf"]
)
def test_a_damaged_state_is_told(damage: bytes) -> None:
    with pytest.raises(FrameError):
        read_quotes(damage)


def test_rows_beyond_the_block_and_other_tables_are_refused() -> None:
    tickers = Tickers()
    quotes = LastQuotes(tickers)

    with pytest.raises(IndexError, match=r"0\.\.2"):
        quotes.note(Block(tickers), 0, 2)
    with pytest.raises(ValueError, match="ticker table"):
        quotes.note(Block(Tickers()), 0, 0)
