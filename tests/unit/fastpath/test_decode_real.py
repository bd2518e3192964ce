"""Recorded files, read with the kernel, with `csv` and with the twin."""

import csv
import io

import orjson
import pytest

from fastpath.columns import Block, Tickers
from fastpath.decode import may_have_negative_field
from fastpath.header import Header, HeaderError
from fastpath.live import decode_live_frame
from fastpath.values import parse_timestamp
from tests.reference.decode import Options, decode_file
from tests.unit.fastpath.decode_support import comparable, decode_with_kernel, shared_file


def live_content() -> bytes:
    return shared_file("data/real/assignment/live_data.csv").read_bytes()


def test_the_live_file_lacks_a_latency_and_says_so() -> None:
    with pytest.raises(HeaderError, match="lacks `latency`"):
        Header(live_content().partition(b"\n")[0])


def test_every_row_of_the_live_file_reads_exactly_once_a_latency_is_added() -> None:
    lines = live_content().splitlines()
    content = b"\n".join([lines[0] + b",latency", *(b"%s,%d" % (line, i % 40) for i, line in enumerate(lines[1:]))])
    quotes = list(csv.DictReader(io.StringIO(live_content().decode())))

    decoded = decode_with_kernel(content, Options())

    assert comparable(decoded) == comparable(decode_file(content, Options()))
    assert len(decoded.rows) == len(quotes) == 30_000
    assert decoded.order & 1 == 0
    columns = ("ticker", "bid_price", "bid_amount", "ask_price", "ask_amount")
    for i, (row, quote) in enumerate(zip(decoded.rows, quotes, strict=True)):
        event_ns = parse_timestamp(quote["timestamp"])
        values = [quote["ticker"], *(float(quote[name]) for name in columns[1:])]
        assert list(row) == [(event_ns + i % 40 * 10**6, 0, i + 2), event_ns, *values]


def test_every_quote_of_the_live_file_reads_the_same_as_a_frame() -> None:
    quotes = list(csv.DictReader(io.StringIO(live_content().decode())))[:5000]
    block = Block(Tickers())
    for number, quote in enumerate(quotes):
        numbers = {name: float(quote[name]) for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")}
        frame = orjson.dumps({**quote, **numbers})
        decode_live_frame(frame, block, receive_time_ns=number, source_rank=0, frame_number=number)

    for number, (row, quote) in enumerate(zip(block.to_rows(), quotes, strict=True)):
        assert row[:3] == ((number, 0, number), parse_timestamp(quote["timestamp"]), quote["ticker"])
        assert list(row[3:4]) == [float(quote["bid_price"])]


def test_the_tardis_quotes_read_cleanly_and_sorted_by_arrival() -> None:
    content = shared_file("data/real/tardis/huobi-dm-swap_quotes_BTC-USD.csv").read_bytes()

    decoded = decode_with_kernel(content, Options())

    assert comparable(decoded) == comparable(decode_file(content, Options()))
    assert len(decoded.rows) == 10
    assert all(len(row) > 3 for row in decoded.rows)
    assert decoded.rows[0] == (
        (1_588_291_201_234_268_000, 0, 2), 1_588_291_201_099_000_000, "BTC-USD@huobi-dm-swap", 8629.2, 806.0, 8629.3, 5494.0,
    )  # fmt: skip
    assert decoded.latency_ns_min == 112_868_000
    assert not may_have_negative_field(content, 10)


@pytest.mark.parametrize(
    "name", ["binance-futures_book_snapshot_5_BTCUSDT", "bitmex_trades_XBTUSD", "deltas_1_nanoseconds"]
)
def test_tardis_files_of_other_kinds_are_refused_by_name(name: str) -> None:
    with pytest.raises(HeaderError, match="`bid_price`"):
        Header(shared_file(f"data/real/tardis/{name}.csv").read_bytes().partition(b"\n")[0])
