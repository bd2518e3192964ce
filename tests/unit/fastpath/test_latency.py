"""Latency models: the kernel against its twin, and what their draws are like."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from fastpath.columns import Block, Tickers
from fastpath.latency import QUANTILES, LatencyModel
from tests.reference.decode import Options
from tests.reference.latency import SHARES, Model, arrivals, draw, quantile
from tests.support.latencies import SPREAD, kernel_model
from tests.unit.fastpath.decode_support import ASSIGNMENT, make_decoder

QUICK = pytest.mark.quick
MS = 10**6
START_NS = 1_735_689_600 * 10**9
CONSTANT = Model(factor=0.0, offset_ns=5 * MS, follows_file=False)
DRAWN = Model(quantiles=SPREAD, seed=11, follows_file=False)


def rows_of(*event_and_latency_us: tuple[int, float]) -> bytes:
    lines = [ASSIGNMENT]
    for event_us, latency_us in event_and_latency_us:
        seconds, fraction = divmod(event_us, 10**6)
        lines.append(f"0,2025-01-01 00:00:{seconds:02d}.{fraction:06d},A,1,1,1,1,{latency_us / 1000!r}".encode())
    return b"\n".join(lines) + b"\n"


def arrivals_us(model: Model, *event_and_latency_us: tuple[int, float]) -> list[float]:
    """Arrivals of rows in microseconds since the start, of which the twin has the same."""
    options = Options(latency=model, latency_bound_ns=-(10**15))
    content = rows_of(*event_and_latency_us)
    tickers = Tickers()
    decoder, block = make_decoder(content, tickers, options), Block(tickers)
    decoder.feed(content[decoder.offset :], block, row_limit=1000, final=True)
    found = [row[0][0] for row in block.to_rows()]
    rows = [(START_NS + event * 1000, round(latency * 1000)) for event, latency in event_and_latency_us]
    assert found == arrivals(rows, model)
    return [(arrival - START_NS) / 1000 for arrival in found]


@QUICK
@pytest.mark.parametrize("rank", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_draws_are_those_of_the_twin(seed: int, rank: int) -> None:
    kernel = LatencyModel.drawn(SPREAD, seed=seed, source_rank=rank)

    for row in [*range(2, 300), 2**32, 2**64 - 1]:
        assert kernel.latency_ns(0, row=row) == quantile(SPREAD, draw(seed, rank, row))


@QUICK
def test_quantiles_between_which_draws_lie_are_met_at_their_shares() -> None:
    ladder = tuple(range(0, 1000 * QUANTILES, 1000))

    for step, share in enumerate(SHARES[:-1]):
        bits = int(share * 2**64)
        # The upper half counts from its own end, where one more would be the whole.
        met = quantile(ladder, bits if bits < 2**63 else bits - 1)
        # Nothing is drawn at the median itself, which neither half begins with.
        assert met == ladder[step] or (share * 2 == 1 and met == ladder[step] - 1), share
    assert quantile(ladder, 2**64 - 1) == ladder[-1]


@QUICK
def test_each_draw_depends_on_seed_rank_and_row_and_on_nothing_else() -> None:
    kernel = LatencyModel.drawn(SPREAD, seed=3, source_rank=1)
    forwards = [kernel.latency_ns(0, row=row) for row in range(2, 500)]
    backwards = [kernel.latency_ns(row * 7, row=row) for row in reversed(range(2, 500))]
    others = [
        [LatencyModel.drawn(SPREAD, seed=seed, source_rank=rank).latency_ns(0, row=row) for row in range(2, 500)]
        for seed, rank in [(4, 1), (3, 0), (1, 3)]
    ]

    assert backwards[::-1] == forwards
    for other in others:
        same = sum(mine == theirs for mine, theirs in zip(forwards, other, strict=True))
        assert same < 5


@QUICK
def test_draws_fill_the_shares_evenly() -> None:
    ladder = tuple(int(share * 2**40) for share in SHARES)
    kernel = LatencyModel.drawn(ladder, seed=5, source_rank=0)

    drawn = Counter(kernel.latency_ns(0, row=row) * 16 // 2**40 for row in range(2, 16_002))

    # Chi squared with 15 degrees of freedom is below 37.7 in 999 of 1,000 cases; the draws are always the same ones.
    assert sum((drawn[bucket] - 1000) ** 2 / 1000 for bucket in range(16)) < 37.7


@QUICK
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.5, 1e9, 0.1])
def test_scaled_latencies_are_rounded_as_by_the_twin(factor: float) -> None:
    model = Model(factor=factor, offset_ns=-7)
    chooser = random.Random(1)
    values = [0, 1, -1, 3, -3, 2**53 + 1, 2**62, -(2**62), *(chooser.randrange(-(10**9), 10**10) for _ in range(200))]

    for value in values:
        expected = model.latency_ns(value, 2)
        if expected is None:
            with pytest.raises(OverflowError, match="64 bits"):
                kernel_model(model).latency_ns(value, row=2)
        else:
            assert kernel_model(model).latency_ns(value, row=2) == expected


@QUICK
def test_an_offset_alone_is_exact_for_the_longest_latency() -> None:
    assert LatencyModel.scaled(factor=1.0, offset_ns=1).latency_ns(2**62 + 1, row=2) == 2**62 + 2


@QUICK
@pytest.mark.parametrize("quantiles", [SPREAD[:-1], SPREAD[::-1], ()], ids=["too few", "falling", "none"])
def test_quantiles_that_are_none_are_refused(quantiles: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="quantiles"):
        LatencyModel.drawn(quantiles, seed=0, source_rank=0)


@QUICK
@pytest.mark.parametrize("factor", [-1.0, float("inf"), float("nan")])
def test_factors_that_turn_time_around_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        LatencyModel.scaled(factor=factor, offset_ns=0)


@QUICK
def test_rows_that_are_scaled_wait_for_the_row_before_them_unless_the_file_has_it_otherwise() -> None:
    # Of the file: 10, 11, 6, 7. The second row would come at 18 and overtake the first one (20), which the file does not have; the third
    # one overtakes in the file and may do so here; the fourth one only waits for the third.
    assert arrivals_us(Model(factor=2.0), (0, 10), (4, 7), (5, 1), (6, 1)) == [20, 20, 7, 8]


@QUICK
def test_rows_with_one_latency_keep_the_order_of_the_file() -> None:
    # The second row has been recorded before the first one arrived; under the model the file's latencies do not count at all.
    assert arrivals_us(CONSTANT, (0, 100), (10, 1), (20, 5)) == [5000, 5010, 5020]


@QUICK
def test_rows_of_a_channel_arrive_in_its_order_when_the_clock_goes_back() -> None:
    assert arrivals_us(CONSTANT, (100, 10), (90, 30), (120, 5)) == [5100, 5100, 5120]


@QUICK
def test_drawn_rows_never_overtake_the_row_before_them() -> None:
    found = arrivals_us(DRAWN, *[(at, 1) for at in range(0, 20_000, 37)])

    assert all(earlier <= later for earlier, later in pairwise(found))
    assert any(earlier == later for earlier, later in pairwise(found))
