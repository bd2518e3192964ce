"""Files as people bring them, made and real, read with the kernel, with `csv` and with the twin."""

import csv
import io
from pathlib import Path

import orjson
import pytest

from fastpath.columns import Block, Tickers
from fastpath.decode import may_have_negative_field
from fastpath.header import Header, HeaderError
from fastpath.live import decode_live_frame
from fastpath.values import parse_timestamp
from tests.reference.decode import Options, decode_file
from tests.support.tick_files import LIVE_ROWS, OTHER_KINDS, live_file, over_sources, quote_files
from tests.unit.fastpath.decode_support import comparable, decode_with_kernel


@over_sources()
def test_a_live_file_lacks_a_latency_and_says_so(source: str, tmp_path: Path) -> None:
    with pytest.raises(HeaderError, match="lacks `latency`"):
        Header(live_file(source, tmp_path).read_bytes().partition(b"\n")[0])


@over_sources()
def test_every_row_of_a_live_file_reads_exactly_once_a_latency_is_added(source: str, tmp_path: Path) -> None:
    live = live_file(source, tmp_path).read_bytes()
    lines = live.splitlines()
    content = b"\n".join([lines[0] + b",latency", *(b"%s,%d" % (line, i % 40) for i, line in enumerate(lines[1:]))])
    quotes = list(csv.DictReader(io.StringIO(live.decode())))

    decoded = decode_with_kernel(content, Options())

    assert comparable(decoded) == comparable(decode_file(content, Options()))
    assert len(decoded.rows) == len(quotes) == LIVE_ROWS
    assert decoded.order & 1 == 0
    columns = ("ticker", "bid_price", "bid_amount", "ask_price", "ask_amount")
    for i, (row, quote) in enumerate(zip(decoded.rows, quotes, strict=True)):
        event_ns = parse_timestamp(quote["timestamp"])
        values = [quote["ticker"], *(float(quote[name]) for name in columns[1:])]
        assert list(row) == [(event_ns + i % 40 * 10**6, 0, i + 2), event_ns, *values]


@over_sources()
def test_every_quote_of_a_live_file_reads_the_same_as_a_frame(source: str, tmp_path: Path) -> None:
    quotes = list(csv.DictReader(io.StringIO(live_file(source, tmp_path).read_text())))[:5000]
    block = Block(Tickers())
    for number, quote in enumerate(quotes):
        numbers = {name: float(quote[name]) for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")}
        frame = orjson.dumps({**quote, **numbers})
        decode_live_frame(frame, block, receive_time_ns=number, source_rank=0, frame_number=number)

    for number, (row, quote) in enumerate(zip(block.to_rows(), quotes, strict=True)):
        assert row[:3] == ((number, 0, number), parse_timestamp(quote["timestamp"]), quote["ticker"])
        assert list(row[3:4]) == [float(quote["bid_price"])]


@over_sources()
def test_quotes_of_tardis_read_cleanly_and_sorted_by_arrival(source: str, tmp_path: Path) -> None:
    for path in quote_files(source, tmp_path):
        content = path.read_bytes()
        quotes = list(csv.DictReader(io.StringIO(content.decode())))

        decoded = decode_with_kernel(content, Options())

        assert comparable(decoded) == comparable(decode_file(content, Options()))
        prices = ("bid_price", "bid_amount", "ask_price", "ask_amount")
        assert decoded.rows == [
            (
                (int(quote["local_timestamp"]) * 1000, 0, line),
                int(quote["timestamp"]) * 1000,
                f"{quote['symbol']}@{quote['exchange']}",
                *(float(quote[name]) for name in prices),
            )
            for line, quote in enumerate(quotes, start=2)
        ]
        waits = [int(quote["local_timestamp"]) - int(quote["timestamp"]) for quote in quotes]
        assert decoded.latency_ns_min == min(waits) * 1000
        assert not may_have_negative_field(content, 10)


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_tardis_files_of_other_kinds_are_refused_by_name(kind: str) -> None:
    with pytest.raises(HeaderError, match="`bid_price`"):
        Header(OTHER_KINDS[kind].encode())
