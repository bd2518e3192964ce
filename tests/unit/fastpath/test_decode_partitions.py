"""Lines of other partitions: who has the file's rejections reads them, everyone else passes over them."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.columns import Block, Tickers
from fastpath.rules import UnsortedSource
from tests.reference.decode import Options, decode_file
from tests.unit.fastpath.decode_support import ASSIGNMENT, TARDIS, comparable, decode_with_kernel, make_decoder

OTHERS = ("THEIRS", "T1@ex1")
SECOND_NS = 10**9
FIRST_NS = 1_759_446_000 * SECOND_NS  # 2025-10-02 23:00:00


def is_ours(ticker: str) -> bool:
    return ticker not in OTHERS and (ticker.startswith("O") or zlib.crc32(ticker.encode()) % 2 == 0)


def line(ticker: str, second: float, *, ask_price: str = "2", latency: str = "1") -> bytes:
    minute, second = divmod(second, 60)
    return f"1,2025-10-02 23:{minute:02.0f}:{second:06.3f},{ticker},1,{ask_price},1,1,{latency}".encode()


def options(**more: object) -> Options:
    return Options(in_partition=is_ours, rejections_elsewhere=True, **more)  # type: ignore[arg-type]


def file(*lines: bytes) -> bytes:
    return b"\n".join([ASSIGNMENT, *lines, b""])


TEXTS = (
    b"THEIRS", b" THEIRS ", b"OURS", b'"THEIRS"', b'"OURS"', b"T1", b"ex1", b"1", b"", b"x", b"1e999", b"-1", b"\xff", b"A\0", b"\r",
    b"2025-10-02 23:00:01", b"2025-13-02 23:00:01", b"1759446000", b'"', b'a"b', b'"a,b"', b'"x', b"y" * 300,
)  # fmt: skip
FIELDS = st.sampled_from(TEXTS)
LINES = st.lists(FIELDS, min_size=0, max_size=11).map(b",".join)


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.one_of(LINES, st.sampled_from([line("THEIRS", 1), line("OURS", 1), b"", b" "])), max_size=40),
    header=st.one_of(st.just(TARDIS), st.permutations(ASSIGNMENT.split(b",")).map(b",".join)),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    final=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_whatever_stands_in_a_line_it_is_what_the_twin_says(
    lines: list[bytes], header: bytes, line_end: bytes, final: bool, seed: int
) -> None:
    # Long enough that some lines are not the first ones of what is read: those are cut in another way.
    content = b"\xef\xbb\xbf" + line_end.join([header, *lines, *lines, line("THEIRS", 2)]) + line_end * final

    for check_order in (True, False):
        chosen = options(check_order=check_order)
        expected = comparable(decode_file(content, chosen))
        assert comparable(decode_with_kernel(content, chosen)) == expected
        assert comparable(decode_with_kernel(content, chosen, random.Random(seed))) == expected


def test_of_a_file_that_is_unsorted_only_over_partitions_who_has_its_rejections_stops() -> None:
    # Their rows go back in time by both of their times; ours are sorted.
    lines = [line("OURS" if number % 3 else "THEIRS", number if number % 3 else 100 - number) for number in range(90)]
    content = file(*lines)

    with pytest.raises(UnsortedSource, match="line 3"):
        make_decoder(content, tickers := Tickers(), Options(in_partition=is_ours)).feed(
            content[len(ASSIGNMENT) + 1 :], Block(tickers), row_limit=1000, final=True
        )
    passed_over = decode_with_kernel(content, options())

    assert (passed_over.stopped_by, len(passed_over.rows), passed_over.elsewhere) == ("", 60, 30)


def test_of_a_file_that_is_unsorted_within_a_partition_it_stops() -> None:
    content = file(line("THEIRS", 1), line("OURS", 9), line("THEIRS", 2), line("OURS", 8), line("OURS", 10))

    assert decode_with_kernel(content, options()).stopped_by == "UnsortedSource"
    assert comparable(decode_with_kernel(content, options())) == comparable(decode_file(content, options()))


def test_where_nothing_of_its_own_comes_a_partition_knows_how_far_it_is() -> None:
    content = file(line("OURS", 0), *(line("THEIRS", number) for number in range(1, 1500)))
    decoder = make_decoder(content, tickers := Tickers(), options())

    decoder.feed(content[len(ASSIGNMENT) + 1 :], block := Block(tickers), row_limit=1200, final=True)

    # Line 1,024 is the last one that is read anyway; line 2 is second 0.
    assert (decoder.line, len(block), decoder.elsewhere) == (1202, 1, 1199)
    assert decoder.bound_ns == FIRST_NS + 1022 * SECOND_NS


def test_bad_lines_of_others_are_theirs() -> None:
    bad = [line("THEIRS", 1, ask_price="x"), line("THEIRS", 1, latency=""), line("OURS", 1, ask_price="x"), b"x"]
    content = file(line("THEIRS", 0), *bad, line("OURS", 2))
    decoder = make_decoder(content, tickers := Tickers(), options())

    decoder.feed(content[len(ASSIGNMENT) + 1 :], block := Block(tickers), row_limit=1000, final=True)

    assert (len(block), block.rejections, decoder.elsewhere, decoder.line) == (1, 0, 5, 8)


def test_a_name_within_quotes_is_no_ticker() -> None:
    # Cut at every comma, the quoted line has as many fields as the header, and another partition's ticker where the ticker stands.
    quoted = b'"1,x,THEIRS,y"' + line("OURS", 2)[1:]
    content = ASSIGNMENT + b",a,b,c\n" + b"\n".join([line("THEIRS", 0) + b",1,2,3"] * 3 + [quoted, b""])

    decoded = decode_with_kernel(content, options())

    assert [row[2] for row in decoded.rows] == ["OURS"]
    assert decoded.elsewhere == 3


RUNS = (
    (b"1", b"23456", b"", b'"1"'),
    (b"THEIRS", b"THEIRS", b" THEIRS", b"T1@ex1", b"OURS", b"OURS2"),
    (b"1", b"1.25", b"x", b'"1"', b'"', b"1,1", b"\xff" * 70),
    (b"15.5", b"15.5,", b"15.5\r", b"", b"x" * 600, b'"'),
)
"""Index, ticker, an amount and the latency of lines: the first ones of each are plain, and most lines have these."""


@pytest.mark.parametrize("tardis", [False, True], ids=["assignment", "tardis"])
@pytest.mark.parametrize("seed", range(4))
def test_runs_of_lines_of_others_are_what_the_twin_says(seed: int, tardis: bool) -> None:
    chooser = random.Random(seed)
    lines, second = [], 0
    while len(lines) < 900:
        # Long runs of one name, and what may stand among them.
        usual, oddity = chooser.choice(RUNS[1]), chooser.choice([0.0, 0.02, 0.5])
        for _ in range(chooser.choice([1, 5, 40, 300])):
            second = (second + chooser.choice([0, 1])) % 60
            index, ticker, amount, latency = (
                chooser.choice(each) if chooser.random() < oddity else each[0] for each in RUNS
            )
            name = ticker if chooser.random() < oddity else usual
            stamp = b"2025-10-02 23:00:%02d.%03d" % (second, second)
            if tardis:
                symbol, _, exchange = name.partition(b"@")
                lines.append(b",".join([exchange or b"x", symbol, stamp, stamp, amount, b"2", b"1", latency]))
            else:
                lines.append(b",".join([index, stamp, name, amount, b"2", b"1", b"1", latency]))
    content = b"\n".join([TARDIS if tardis else ASSIGNMENT, *lines]) + b"\n" * (seed % 2)

    chosen = options(check_order=False)
    expected = comparable(decode_file(content, chosen))

    assert comparable(decode_with_kernel(content, chosen)) == expected
    assert comparable(decode_with_kernel(content, chosen, random.Random(seed))) == expected
    assert expected[2] > 300


@pytest.mark.parametrize("beside", [b"THEIRS", b"THEIRS2", b"q"])
def test_a_name_at_the_place_of_the_one_before_is_no_ticker_in_another_column(beside: bytes) -> None:
    header = ASSIGNMENT.replace(b"ticker,", b"ticker,p,q,")
    rest = b",1,2,1,1,1"
    before = [b"1,2025-10-02 23:00:01.001,THEIRS,p,q" + rest] * 5
    # Both names begin at the 27th byte; a time in microseconds is shorter.
    ours = b"1,1759446001000001,OURS,p," + beside + rest
    assert before[0].index(b"THEIRS") == ours.index(beside, 24) == 26
    content = b"\n".join([header, *before, ours, *before, b""])

    decoded = decode_with_kernel(content, options())

    assert [row[2] for row in decoded.rows] == ["OURS"]
    assert decoded.elsewhere == 10
