"""Headers, lines and fields: what is a row, what is a rejection, and where the next line begins."""

import random
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from fastpath.header import Header, HeaderError, Layout
from tests.reference.decode import Options, decode_file
from tests.unit.fastpath.decode_support import (
    ASSIGNMENT,
    TARDIS,
    comparable,
    decode_with_kernel,
    make_decoder,
    state_of,
)

QUICK = pytest.mark.quick
GOOD = b"7,2025-01-01 00:00:00,A@B,1,201,200,2,120"
AT_NS = 1_735_689_600_120_000_000


def decode(*lines: bytes, header: bytes = ASSIGNMENT, line_end: bytes = b"\n") -> list[tuple[Any, ...]]:
    """Decode a small file, check it against the twin, and give its rows as (line, rest of the row)."""
    content = line_end.join([header, *lines])
    decoded = decode_with_kernel(content, Options())
    assert comparable(decoded) == comparable(decode_file(content, Options()))
    return [(row[0][2], *row[1:]) for row in decoded.rows]  # type: ignore[index]


def reasons(*lines: bytes, header: bytes = ASSIGNMENT) -> list[str]:
    return [row[1] for row in decode(*lines, header=header) if len(row) == 3]


@QUICK
def test_columns_are_found_by_name_wherever_they_stand() -> None:
    header = b"\xef\xbb\xbf,latency,bid_amount,note,ask_amount, ticker ,timestamp,bid_price,,ask_price"

    rows = decode(b"x,120,2,hello,1,A@B,2025-01-01 00:00:00,200,,201", header=header)

    assert rows == [(2, AT_NS - 120_000_000, "A@B", 200.0, 2.0, 201.0, 1.0)]


@QUICK
@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "the file has no header"),
        (b"\r\n", "the file has no header"),
        (b"\xef\xbb\xbf", "the file has no header"),
        (b"2025-01-01,1,2", "lacks `timestamp`, `latency`, `ticker`"),
        (
            b"index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount",
            "lacks `latency`, which the assignment layout",
        ),
        (
            b"exchange,symbol,timestamp,local_timestamp,asks[0].price",
            "lacks `bid_price`.* which the Tardis layout needs",
        ),
        (ASSIGNMENT + b",ticker", "names `ticker` twice"),
        (ASSIGNMENT + b",note,note", "names `note` twice"),
        (ASSIGNMENT.decode().encode("utf-16"), "NUL byte"),
        (b'"index,' + ASSIGNMENT, "quote that is not closed"),
        (ASSIGNMENT + b",\xff", "column 9 is not valid UTF-8"),
        (b"x" * 70_000, "longer than 65536 bytes"),
    ],
)
def test_an_unusable_header_is_refused_in_one_line(header: bytes, message: str) -> None:
    with pytest.raises(HeaderError, match=message) as refused:
        Header(header)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_the_layout_is_recognised_by_the_columns() -> None:
    assert Header(ASSIGNMENT + b"\r\n").layout is Layout.ASSIGNMENT
    assert Header(TARDIS).layout is Layout.TARDIS
    assert Header(TARDIS + b",ticker,latency").layout is Layout.ASSIGNMENT
    assert Header(b'"' + ASSIGNMENT.replace(b",", b'","') + b'",').columns == (*ASSIGNMENT.decode().split(","), "")


@QUICK
def test_a_tardis_ticker_names_symbol_and_exchange() -> None:
    rows = decode(b"deribit,BTC-PERPETUAL,1588291201099000,1588291201234268,5494,8629.3,8629.2,806", header=TARDIS)

    assert rows == [(2, 1_588_291_201_099_000_000, "BTC-PERPETUAL@deribit", 8629.2, 806.0, 8629.3, 5494.0)]


def test_nanosecond_stamps_are_recognised_in_the_tardis_layout() -> None:
    rows = decode(b"deribit,BTC,1585699200245000001,1585699200355684002,1,2,1,3", header=TARDIS)

    assert rows[0][1] == 1_585_699_200_245_000_001


@QUICK
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"end"], ids=["last line ended", "last line not ended"])
def test_line_ends_and_blank_lines_make_no_rows_but_count(line_end: bytes, last: bytes) -> None:
    rows = decode(GOOD, b"", b"   ", GOOD, *([GOOD] if last else [b""]), line_end=line_end)

    assert [row[0] for row in rows] == ([2, 5, 6] if last else [2, 5])
    assert all(len(row) > 3 for row in rows)


@QUICK
def test_quoted_fields_may_hold_commas_and_doubled_quotes() -> None:
    rows = decode(
        b'"7","2025-01-01 00:00:00","A,""B""",1,"201",200,2,"120"',
        b'7,2025-01-01 00:00:00,A"B,1,201,200,2,120',
        b'"" ,2025-01-01 00:00:00,"A" ,1,201,"",2,120',
    )

    assert [row[2] for row in rows] == ['A,"B"', 'A"B', "A"]


@QUICK
def test_an_unclosed_quote_costs_one_line_only() -> None:
    rows = decode(GOOD, b'7,2025-01-01 00:00:00,"A@B,1,201,200,2,120', GOOD, b'7,"2025-01-01"x,A,1,1,1,1,1', GOOD)

    assert [row[0] for row in rows if len(row) > 3] == [2, 4, 6]
    assert [row[1] for row in rows if len(row) == 3] == ["a quote is not closed", "text stands behind a closing quote"]


@QUICK
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"7,2025-01-01 00:00:00,A", "line has 3 fields, the header 8"),
        (b"short", "line has 1 fields, the header 8"),
        (GOOD + b",5", "line has 9 fields, the header 8"),
        (GOOD.replace(b"201", b"1,201"), "line has 9 fields, the header 8"),
        (GOOD.replace(b"A@B", b""), "`ticker` is empty"),
        (GOOD.replace(b"A@B", b"  "), "`ticker` is empty"),
        (GOOD.replace(b"A@B", b"A\0B"), "`ticker` holds a NUL byte: 'A\0B'"),
        (GOOD.replace(b"A@B", b"A" * 257), f"`ticker` is longer than 256 bytes: '{'A' * 40}'"),
        (GOOD.replace(b"A@B", "ä".encode() * 129), f"`ticker` is longer than 256 bytes: '{'ä' * 40}'"),
        (GOOD.replace(b"A@B", b"A" * 900), f"`ticker` is longer than 256 bytes: '{'A' * 40}'"),
        (GOOD.replace(b"A@B", b"A\xff\xfeB"), "`ticker` is not valid UTF-8: 'A\ufffd\ufffdB'"),
        (GOOD.replace(b"200", b"1_000"), "`bid_price` is not a number: '1_000'"),
        (GOOD.replace(b"200", b"1" * 500 + b"x"), f"`bid_price` is not a number: '{'1' * 40}'"),
        (GOOD.replace(b"201", b"inf"), "`ask_price` is not a number: 'inf'"),
        (GOOD.replace(b"201", b"1e999"), "`ask_price` is too large: '1e999'"),
        (GOOD.replace(b",1,", b",-1,"), "`ask_amount` is negative: '-1'"),
        (GOOD.replace(b",2,", b", -0.5,"), "`bid_amount` is negative: '-0.5'"),
        (GOOD.replace(b",120", b","), "`latency` is empty"),
        (GOOD.replace(b",120", b",nan"), "`latency` is not a number: 'nan'"),
        (GOOD.replace(b",120", b",1e300"), "`latency` is too large: '1e300'"),
        (GOOD.replace(b",120", b",9.1e12"), "the arrival time is outside the years 1678 to 2261"),
        (GOOD.replace(b"2025-01-01 00:00:00", b""), "timestamp is empty"),
        (GOOD.replace(b"2025-01", b"2025-13"), "timestamp has an invalid month"),
        (b",,,,,,,", "timestamp is empty"),
    ],
)
def test_an_unusable_line_is_a_rejection_with_reason_and_raw_text(line: bytes, reason: str) -> None:
    rows = decode(GOOD, line, GOOD)

    assert rows[1] == (3, reason, line)
    assert [len(row) > 3 for row in rows] == [True, False, True]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"ex,A,1588291201099000,,1,1,1,1", "local_timestamp is empty"),
        (
            b"ex,A,1588291201099000,15882912010,1,1,1,1",
            "local_timestamp is no epoch time in s, ms, us or ns: '15882912010'",
        ),
        (
            b"x,A,0588291201099000,1588291201099000,1,1,1,1",
            "timestamp is no epoch time in s, ms, us or ns: '0588291201099000'",
        ),
        (b"x,A,9999999999999999,1588291201099000,1,1,1,1", "timestamp is outside the years 1678 to 2261"),
        (b",A,1588291201099000,1588291201099000,1,1,1,1", "`exchange` is empty"),
        (b"a@b,,1588291201099000,1588291201099000,1,1,1,1", "`symbol` is empty"),
        (
            b"%s,%s,1588291201099000,1588291201099000,1,1,1,1" % (b"e" * 100, b"s" * 156),
            f"`symbol` and `exchange` are longer than 256 bytes together: '{'s' * 40}'",
        ),
        (
            b"%s,A,1588291201099000,1588291201099000,1,1,1,1" % (b"e" * 257),
            f"`exchange` is longer than 256 bytes: '{'e' * 40}'",
        ),
        (b"\xff,A,1588291201099000,1588291201099000,1,1,1,1", "`exchange` is not valid UTF-8: '\ufffd'"),
        (b"x,A,1678-01-01 00:00:00,2261-01-01 00:00:00,1,1,1,1", "the latency is too large"),
    ],
)
def test_an_unusable_tardis_line_names_its_column(line: bytes, reason: str) -> None:
    # The first line leaves a name behind that only looks like the empty symbol's.
    good = b"b,@a,1588291201099000,1588291201099000,1,1,1,1"

    assert reasons(good, line, good, good, header=TARDIS) == [reason]


@QUICK
def test_missing_prices_and_amounts_are_no_numbers_but_no_rejections_either() -> None:
    rows = decode(b"7,2025-01-01 00:00:00,A,,NaN, ,nan,120", b"7,2025-01-01 00:00:00,A,0,-0,-1.5,-0.0,120")

    assert [repr(number) for number in rows[0][3:]] == ["nan"] * 4
    assert [repr(number) for number in rows[1][3:]] == ["-1.5", "-0.0", "-0.0", "0.0"]


def test_extra_columns_and_empty_surplus_fields_are_tolerated() -> None:
    assert not reasons(GOOD + b",", GOOD + b",, ,", b'"7"' + GOOD[1:] + b",,")
    assert not reasons(GOOD + b",note", GOOD, header=ASSIGNMENT + b",note")
    assert reasons(b'"7"' + GOOD[1:] + b',,"x"') == ["line has 10 fields, the header 8"]


@QUICK
@pytest.mark.parametrize("chunk_size", [1000, 65_536, 65_537, 70_000, 300_000])
@pytest.mark.parametrize("size", [65_536, 65_537, 200_000])
@pytest.mark.parametrize("filler", [b"x", b",", b'"', b" "], ids=["text", "commas", "quotes", "spaces"])
def test_an_overlong_line_is_one_rejection_and_is_never_held(chunk_size: int, size: int, filler: bytes) -> None:
    long_line = GOOD + filler * (size - len(GOOD))
    content = b"\n".join([ASSIGNMENT, GOOD, long_line, GOOD, long_line])
    tickers, options = Tickers(), Options()
    decoder, block = make_decoder(content, tickers, options), Block(tickers)
    held, at, held_size_max = b"", decoder.offset, 0

    while at < len(content) or held:
        held += content[at : at + chunk_size]
        at = min(at + chunk_size, len(content))
        held = held[decoder.feed(held, block, row_limit=100, final=at == len(content)) :]
        held_size_max = max(held_size_max, len(held))

    expected = decode_file(content, options)
    assert block.to_rows() == expected.rows
    assert (decoder.line, decoder.offset) == (6, len(content))
    assert held_size_max <= 65_536
    if size > 65_536:
        assert [row[1] for row in block.to_rows() if len(row) == 3] == ["line is longer than 65536 bytes"] * 2
        assert all(len(row[2]) == 1024 for row in block.to_rows() if len(row) == 3)


def test_a_decoder_may_be_resumed_while_it_skips_an_overlong_line() -> None:
    content = b"\n".join([ASSIGNMENT, GOOD, b"x" * 100_000, GOOD])
    tickers, options = Tickers(), Options()
    decoder, block = make_decoder(content, tickers, options), Block(tickers)
    body = content[decoder.offset :]

    used = decoder.feed(body[:90_000], block, row_limit=100)

    assert used == 90_000
    assert (decoder.line, len(block)) == (3, 1)

    resumed = make_decoder(content, tickers, options, **state_of(decoder))
    resumed.feed(content[resumed.offset :], block, row_limit=100, final=True)

    assert block.to_rows() == decode_file(content, options).rows


@QUICK
def test_an_incomplete_line_is_left_until_it_is_complete() -> None:
    tickers = Tickers()
    decoder, block = make_decoder(ASSIGNMENT + b"\n", tickers, Options()), Block(tickers)

    assert decoder.feed(b"", block, row_limit=5) == 0
    assert decoder.feed(GOOD, block, row_limit=5) == 0
    assert decoder.feed(GOOD + b"\n" + GOOD[:3], block, row_limit=5) == len(GOOD) + 1
    assert decoder.feed(GOOD, block, row_limit=5, final=True) == len(GOOD)
    assert decoder.feed(b"", block, row_limit=5, final=True) == 0
    assert [key[2] for key in (block.key(0), block.key(1))] == [2, 3]


def test_the_row_limit_counts_skipped_and_rejected_rows_too() -> None:
    tickers = Tickers()
    body = b"\n".join([GOOD, b"short", GOOD.replace(b"A@B", b"C"), GOOD, GOOD, b""])
    decoder, block = make_decoder(ASSIGNMENT + b"\n", tickers, Options(only_tickers=["A@B"])), Block(tickers)

    used = decoder.feed(body, block, row_limit=4)

    assert used == len(body) - len(GOOD) - 1
    assert (len(block), decoder.skipped, decoder.line, decoder.offset) == (3, 1, 6, len(ASSIGNMENT) + 1 + used)


def test_a_memoryview_of_a_part_is_read_within_its_ends_only() -> None:
    buffer = bytearray(b"9" * 100 + GOOD + b"9" * 100)
    tickers = Tickers()
    decoder, block = make_decoder(ASSIGNMENT + b"\n", tickers, Options()), Block(tickers)

    decoder.feed(memoryview(buffer)[100:-100], block, row_limit=5, final=True)

    assert block.to_rows() == [((AT_NS, 0, 2), AT_NS - 120_000_000, "A@B", 200.0, 2.0, 201.0, 1.0)]


@pytest.mark.parametrize("names", [3000, 40_000], ids=["some", "more than the cache holds"])
def test_many_tickers_keep_their_names(names: int) -> None:
    chooser = random.Random(5)
    wanted = [f"{chooser.randrange(names)}{'-USDT-SWAP@BINANCE' * chooser.randrange(4)}" for _ in range(2 * names)]
    body = "\n".join(f"0,2025-01-01 00:00:00,{name},1,1,1,1,0" for name in wanted).encode()

    rows = decode_with_kernel(ASSIGNMENT + b"\n" + body, Options()).rows

    assert [row[2] for row in rows] == wanted


def test_misuse_is_refused() -> None:
    tickers = Tickers()
    decoder = make_decoder(ASSIGNMENT + b"\n", tickers, Options())
    with pytest.raises(ValueError, match="`row_limit`"):
        decoder.feed(b"", Block(tickers), row_limit=0)
    with pytest.raises(ValueError, match="another ticker table"):
        decoder.feed(b"", Block(Tickers()), row_limit=1)
    with pytest.raises(TypeError, match="`only_tickers`"):
        make_decoder(ASSIGNMENT + b"\n", tickers, Options(only_tickers="A@B"))
