"""What the bytes of a file tell of its tickers: what the plain spelling says, and never more than the decoder finds."""

from __future__ import annotations

import random

import pytest

from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder
from fastpath.header import Header
from fastpath.skim import TickerSkim
from tests.reference.skim import file_tickers
from tests.support.history_files import BAD_LINES
from tests.unit.fastpath.frame_support import seed_of_this_run

LAYOUTS = {
    "assignment": (b"index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency", (2,)),
    "ticker last": (b"timestamp,ask_amount,ask_price,bid_price,bid_amount,latency,ticker", (6,)),
    "tardis": (b"exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount", (1, 0)),
    "tardis apart": (b"symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount,exchange", (0, 7)),
}
NAMES = (b"BTC-USDT-SWAP@BINANCE", b"A", b"A@B", b"BTC-USDT-SWAP@BINANC", b"x" * 70)
ODD = (
    *(line.encode() for line in BAD_LINES),
    b"",
    b" ",
    b"\r",
    b",",
    b",,,\r",
    b'1,2025-01-01 00:00:00,"A",1,2,1,1,5',
    b'1,2025-01-01 00:00:00,A"B,1,2,1,1,5',
    b"1,2025-01-01 00:00:00, A ,1,2,1,1,5",
    b"1,2025-01-01 00:00:00,A\x00,1,2,1,1,5",
    b"1,2025-01-01 00:00:00,\xc3\xa9,1,2,1,1,5",
    b"1,2025-01-01 00:00:00," + b"y" * 300 + b",1,2,1,1,5",
    b"8" * 5_000 + b",2025-01-01 00:00:00,A,1,2,1,1,5",
    b"z" * 70_000,
)


def skim(content: bytes, header: bytes, *, pieces: list[int] | None = None, names_max: int = 64):
    found = TickerSkim(Header(header), names_max=names_max)
    start = 0
    for end in [*(pieces or []), len(content)]:
        found.add(content[start:end])
        start = end
    return found.finish()


def row(columns: tuple[int, ...], header: bytes, chooser: random.Random, names: tuple[bytes, ...]) -> bytes:
    values = {
        b"timestamp": b"2025-01-01 00:00:00.%03d" % chooser.randrange(1000),
        b"local_timestamp": b"2025-01-01 00:00:01",
        b"ticker": chooser.choice(names),
        b"symbol": chooser.choice(names),
        b"exchange": names[0],
        b"index": b"9" * chooser.choice([0, 1, 5, 61, 130]),
    }
    return b",".join(values.get(name, b"1.5") for name in header.split(b","))


def random_content(chooser: random.Random, header: bytes, columns: tuple[int, ...]) -> bytes:
    names = NAMES[: chooser.choice([1, 1, 2, len(NAMES)])]
    lines = [row(columns, header, chooser, names) for _ in range(chooser.randrange(120))]
    for _ in range(chooser.choice([0, 0, 0, 1, 3])):
        lines.insert(chooser.randrange(len(lines) + 1), chooser.choice(ODD))
    end = chooser.choice([b"\n", b"\n", b"\n", b"\r\n"])
    return end.join(lines) + (end if chooser.random() < 0.8 else b"")


def decoded(content: bytes, header: bytes) -> tuple[set[str], int, int]:
    """Return the tickers of the usable rows, how many rows there are, and how many of them are elsewhere where everything is."""
    tickers = Tickers()
    block, scratch = Block(tickers), Block(Tickers())
    whole = Decoder(Header(header), tickers, source_rank=0, offset=0, line=2, check_order=False)
    whole.feed(content, block, row_limit=1 << 20, final=True)
    none = Decoder(
        Header(header),
        scratch.tickers,
        source_rank=0,
        offset=0,
        line=2,
        in_partition=lambda _: False,
        rejections_elsewhere=True,
        check_order=False,
    )
    none.feed(content, scratch, row_limit=1 << 20, final=True)
    assert len(scratch) == 0
    return {each[2] for each in block.to_rows() if len(each) > 3}, len(block), none.elsewhere


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_says_what_the_plain_spelling_says_and_what_the_decoder_finds(layout: str) -> None:
    header, columns = LAYOUTS[layout]
    chooser = random.Random(seed_of_this_run())
    certain = 0
    for _ in range(150):
        content = random_content(chooser, header, columns)
        expected = file_tickers(content, columns, 64)
        assert skim(content, header) == expected
        cuts = sorted(chooser.randrange(len(content) + 1) for _ in range(chooser.randrange(9)))
        if not any(len(line) > 60_000 for line in content.split(b"\n")):
            assert skim(content, header, pieces=cuts) == expected, cuts
        if expected is not None:
            names, rows = expected
            met, row_count, elsewhere = decoded(content, header)
            assert met <= set(names)
            assert row_count == elsewhere == rows
            certain += rows > 0
    assert certain > 20


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_is_cut_off_anywhere_is_certain_at_its_line_ends_alone(layout: str) -> None:
    header, columns = LAYOUTS[layout]
    chooser = random.Random(5)
    content = b"".join(row(columns, header, chooser, NAMES[:2]) + b"\n" for _ in range(5))

    for size in range(len(content) + 1):
        expected = file_tickers(content[:size], columns, 64)
        assert skim(content[:size], header) == expected
        assert (expected is not None) == (size == 0 or content[size - 1 : size] == b"\n")
        assert skim(content, header, pieces=[size]) == file_tickers(content, columns, 64)


def test_too_many_tickers_are_not_told() -> None:
    header, _ = LAYOUTS["assignment"]
    lines = [b"1,2025-01-01 00:00:00,T%d,1,2,1,1,5\n" % number for number in range(65)]

    assert skim(b"".join(lines[:64]), header) == (tuple(f"T{number}" for number in range(64)), 64)
    assert skim(b"".join(lines), header) is None


def test_whoever_adds_is_told_when_nothing_is_left_to_find() -> None:
    header, _ = LAYOUTS["assignment"]
    found = TickerSkim(Header(header), names_max=1)

    assert found.add(b"1,2025-01-01 00:00:00,A,1,2,1,1,5\n1,2025") is True
    assert found.add(b"") is True
    assert found.add(b"-01-01 00:00:00,B,1,2,1,1,5\n") is False
    assert found.add(b"1,2025-01-01 00:00:00,A,1,2,1,1,5\n") is False
    assert found.finish() is None


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    header, _ = LAYOUTS["assignment"]
    found = TickerSkim(Header(header), names_max=1)

    assert found.add(b"1" * 65_536) is True
    assert found.add(b"1") is False
