"""Files that are mostly good and sometimes broken: the kernel against its twin, in any chunks, with restarts.

The seed of every file stands in the name of its test.
"""

import random
import zlib
from contextlib import nullcontext

import pytest

from fastpath.columns import Block, Tickers
from fastpath.rules import UnsortedSource
from tests.reference.decode import Options, decode_file
from tests.reference.latency import Model
from tests.support.latencies import SPREAD
from tests.unit.fastpath.decode_support import comparable, decode_with_kernel, make_decoder, random_content, state_of

MINUTE_NS = 60 * 10**9
FIRST_NS = 1_759_446_000 * 10**9  # 2025-10-02 23:00:00


def in_first_half(ticker: str) -> bool:
    return zlib.crc32(ticker.encode()) % 2 == 0


OPTIONS = [
    Options(check_order=False),
    Options(latency_bound_ns=-500_000),
    Options(source_rank=3, negative_latency="clamp"),
    Options(negative_latency="shift", shift_ns=20_000_000, only_tickers=("T1", "T2", "A", "A@ex1", "T7@ex2")),
    Options(check_order=False, start_time_ns=FIRST_NS + 5 * MINUTE_NS, end_time_ns=FIRST_NS + 50 * MINUTE_NS),
    Options(check_order=False, fraction_unit_us=True),
    Options(latency=Model(factor=1.5, offset_ns=-3_000_000), latency_bound_ns=-4_000_000),
    Options(latency=Model(factor=3.0), negative_latency="clamp", check_order=False),
    Options(latency=Model(factor=0.0, offset_ns=5_000_000, follows_file=False), source_rank=2),
    Options(
        latency=Model(quantiles=SPREAD, seed=2**64 - 1, rank=9, follows_file=False),
        source_rank=9,
        latency_bound_ns=-(10**9),
    ),
    Options(
        latency=Model(quantiles=SPREAD, seed=7, follows_file=False),
        negative_latency="shift",
        shift_ns=10**9,
        only_tickers=("T1", "A", "A@ex1"),
        end_time_ns=FIRST_NS + 30 * MINUTE_NS,
    ),
    # Of a partition: one that has the file's rejections reads everything, as does one under a latency model; others pass over rows.
    Options(in_partition=in_first_half, latency_bound_ns=-500_000),
    Options(in_partition=in_first_half, rejections_elsewhere=True, latency_bound_ns=-500_000),
    Options(in_partition=in_first_half, rejections_elsewhere=True, check_order=False, only_tickers=("T1", "T2", "A")),
    Options(
        in_partition=in_first_half, rejections_elsewhere=True, latency=Model(factor=1.5), latency_bound_ns=-800_000
    ),
]
NAMES = [
    "any-order", "keep", "clamp", "shift", "window", "fraction-unit-us", "scaled", "scaled-clamped", "constant", "drawn", "drawn-shifted",
    "partition", "partition-without-rejections", "partition-any-order", "partition-scaled",
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@pytest.mark.parametrize("tardis", [False, True], ids=["assignment", "tardis"])
@pytest.mark.parametrize("seed", range(6))
def test_random_files_decode_as_the_twin_says(seed: int, tardis: bool, options: Options) -> None:
    content = random_content(
        seed, tardis=tardis, line_count=250, broken_share=0.15, in_order=not options.check_order or seed != 5
    )

    decoded = decode_with_kernel(content, options)

    assert comparable(decoded) == comparable(decode_file(content, options))


@pytest.mark.parametrize("tardis", [False, True], ids=["assignment", "tardis"])
@pytest.mark.parametrize("seed", range(len(OPTIONS)))
def test_chunks_row_limits_and_restarts_make_no_difference(seed: int, tardis: bool) -> None:
    options = OPTIONS[seed % len(OPTIONS)]
    content = random_content(seed + 100, tardis=tardis, line_count=120, broken_share=0.3)

    decoded = decode_with_kernel(content, options, random.Random(seed))

    assert comparable(decoded) == comparable(decode_file(content, options))


@pytest.mark.parametrize("seed", range(len(OPTIONS)))
def test_a_decoder_resumed_at_any_place_gives_the_same_rows(seed: int) -> None:
    chooser = random.Random(seed)
    options = OPTIONS[seed]
    content = random_content(seed + 200, tardis=seed % 2 == 1, line_count=150, broken_share=0.2)
    whole = decode_with_kernel(content, options)
    tickers = Tickers()
    decoder = make_decoder(content, tickers, options)
    at, rows_before = decoder.offset, Block(tickers)
    for _ in range(chooser.randrange(1, 100)):
        if whole.stopped_by and decoder.line >= whole.line - 1:
            break
        at += decoder.feed(content[at:], rows_before, row_limit=1, final=True)

    resumed = make_decoder(content, tickers, options, **state_of(decoder))
    rows_after = Block(tickers)
    with pytest.raises(UnsortedSource) if whole.stopped_by else nullcontext():
        resumed.feed(content[resumed.offset :], rows_after, row_limit=2**40, final=True)

    rows = [*rows_before.to_rows(), *rows_after.to_rows()]
    assert repr(rows) == repr(whole.rows)
    assert (resumed.skipped, resumed.line, resumed.order) == (whole.skipped, whole.line, whole.order)


@pytest.mark.parametrize("seed", range(8))
def test_no_row_arrives_below_a_bound_that_was_announced(seed: int) -> None:
    options = [
        Options(latency_bound_ns=-500_000),
        Options(negative_latency="clamp"),
        Options(negative_latency="shift", shift_ns=500_000),
        Options(latency=Model(factor=0.5, offset_ns=100), latency_bound_ns=-250_000 + 100),
        Options(latency=Model(quantiles=SPREAD, seed=1, follows_file=False), latency_bound_ns=SPREAD[0]),
    ][seed % 5]
    content = random_content(seed + 300, tardis=False, line_count=200, broken_share=0.3)
    tickers = Tickers()
    decoder = make_decoder(content, tickers, options)
    at, block, bound_ns = decoder.offset, Block(tickers), decoder.bound_ns

    while used := decoder.feed(content[at:], block, row_limit=1, final=True):
        at += used
        keys = [row[0] for row in block.to_rows()]
        block.clear()

        assert all(arrival_ns >= bound_ns for arrival_ns, _, _ in keys)
        assert decoder.bound_ns >= bound_ns
        bound_ns = decoder.bound_ns


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_many_random_files_decode_as_the_twin_says(seed: int) -> None:
    options = OPTIONS[seed % len(OPTIONS)]
    content = random_content(seed, tardis=seed % 4 == 1, line_count=1000, broken_share=0.3, in_order=seed % 3 > 0)
    expected = comparable(decode_file(content, options))

    assert comparable(decode_with_kernel(content, options)) == expected
    assert comparable(decode_with_kernel(content, options, random.Random(seed))) == expected
