"""The order, for the kernel and for its readable twin."""

import random
from collections.abc import Callable
from types import ModuleType

import pytest

import fastpath.merge
import tests.reference.merge
from fastpath.columns import Block, Tickers
from tests.reference.merge import Row, append
from tests.unit.fastpath.merge_support import (
    AFTER_EVERYTHING,
    BEFORE_EVERYTHING,
    HOUR_NS,
    Drive,
    random_history,
    tick,
)

MODULES = pytest.mark.parametrize("module", [fastpath.merge, tests.reference.merge], ids=["kernel", "twin"])


def take_all(merger: fastpath.merge.Merger, tickers: Tickers) -> list[Row]:
    into = Block(tickers)
    while merger.take(into, 1000):
        pass
    return into.to_rows()


def feed(merger: fastpath.merge.Merger, rank: int, rows: list[Row], bound_ns: int, *, finished: bool = False) -> None:
    for row in rows:
        append(merger.pending(rank), row)
    merger.advance(rank, bound_ns, finished=finished)


@MODULES
@pytest.mark.quick
@pytest.mark.parametrize("seed", range(60))
def test_merge_of_any_split_equals_a_stable_sort_of_everything(module: ModuleType, seed: int) -> None:
    history = random_history(seed)

    merged = Drive(module, history, random.Random(seed)).run()

    assert repr(merged) == repr(history.expected())


@MODULES
@pytest.mark.parametrize("seed", range(40))
def test_merge_with_spilled_runs_equals_a_stable_sort_of_everything(module: ModuleType, seed: int) -> None:
    history = random_history(1000 + seed)

    drive = Drive(module, history, random.Random(seed), spill_chance=0.15)
    merged = drive.run()

    assert repr(merged) == repr(history.expected())
    assert drive.merger.in_flight == 0


@MODULES
@pytest.mark.parametrize("seed", range(30))
def test_merge_resumed_after_any_key_gives_exactly_the_rest(module: ModuleType, seed: int) -> None:
    history = random_history(2000 + seed)
    expected = history.expected()
    if not expected:
        pytest.skip("this history has no rows")
    cut = random.Random(seed).randrange(len(expected))

    merged = Drive(module, history, random.Random(seed), resume_after=expected[cut][0], spill_chance=0.05).run()

    assert repr(merged) == repr(expected[cut + 1 :])


@pytest.mark.parametrize("seed", range(40))
def test_merge_knows_the_oldest_row_of_every_source_after_every_batch(seed: int) -> None:
    history = random_history(3000 + seed)
    drive = Drive(fastpath.merge, history, random.Random(seed))
    left = [[row[0][2] for row in rows] for rows in history.rows]

    for batch in drive.batches():
        for row in batch:
            left[row[0][1]].remove(row[0][2])
        for rank, rows in enumerate(left):
            read = history.rows[rank] if drive.fed[rank] < 0 else history.rows[rank][: drive.fed[rank]]
            last_read = read[-1][0][2] if read else 0
            assert drive.merger.oldest_row(rank) == min((row for row in rows if row <= last_read), default=-1)


@MODULES
@pytest.mark.quick
def test_merge_with_equal_times_keeps_source_order_then_row_order(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 3)

    for rank in (2, 0, 1):
        feed(merger, rank, [tick(7, rank, row) for row in (1, 2, 3)], 7, finished=True)

    assert [row[0] for row in take_all(merger, tickers)] == [(7, rank, row) for rank in range(3) for row in (1, 2, 3)]


@MODULES
def test_merge_with_a_carried_row_and_an_equal_time_keeps_source_order(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 2)
    # Row 1 of source 1 waits while row 2 of it leaves; then source 0 brings a row of the same arrival.
    feed(merger, 0, [tick(20, 0, 1)], 20)
    feed(merger, 1, [tick(50, 1, 1), tick(15, 1, 2)], 18)
    first = take_all(merger, tickers)

    feed(merger, 0, [tick(50, 0, 2)], 60, finished=True)
    feed(merger, 1, [tick(50, 1, 3)], 60, finished=True)

    assert [row[0] for row in first] == [(15, 1, 2)]
    assert [row[0] for row in take_all(merger, tickers)] == [(20, 0, 1), (50, 0, 2), (50, 1, 1), (50, 1, 3)]


@MODULES
def test_merge_keeps_a_row_that_arrives_exactly_at_a_bound(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 2)
    feed(merger, 1, [tick(10, 1, 1)], 11)

    feed(merger, 0, [tick(9, 0, 1)], 10)
    first = take_all(merger, tickers)
    feed(merger, 0, [tick(10, 0, 2)], 11)

    assert [row[0] for row in first] == [(9, 0, 1)]
    assert [row[0] for row in take_all(merger, tickers)] == [(10, 0, 2), (10, 1, 1)]


@MODULES
def test_merge_lets_rows_of_live_frames_with_one_number_keep_their_order(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 1)
    rows: list[Row] = [tick(5, 0, 1, ticker=f"T{i}") for i in range(100)]

    feed(merger, 0, rows, 5, finished=True)

    assert take_all(merger, tickers) == rows


@MODULES
def test_merge_orders_rejections_before_everything_and_lowest_and_highest_times(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 2)
    rows: list[Row] = [
        ((BEFORE_EVERYTHING, 0, 1), "no timestamp", b"x,y"),
        tick(BEFORE_EVERYTHING, 0, 2, event_ns=0),
        tick(-1, 0, 3),
        tick(AFTER_EVERYTHING, 0, 4, event_ns=0),
    ]
    feed(merger, 0, rows, -1)
    feed(merger, 1, [((BEFORE_EVERYTHING, 1, 1), "too short", b"")], BEFORE_EVERYTHING)
    held = take_all(merger, tickers)

    feed(merger, 1, [tick(AFTER_EVERYTHING, 1, 2, event_ns=0)], AFTER_EVERYTHING)
    before_bound = take_all(merger, tickers)
    feed(merger, 0, [], AFTER_EVERYTHING, finished=True)
    feed(merger, 1, [], AFTER_EVERYTHING, finished=True)

    assert held == []
    assert before_bound == [rows[0], rows[1], ((BEFORE_EVERYTHING, 1, 1), "too short", b"")]
    assert [row[0][1:] for row in take_all(merger, tickers)] == [(0, 3), (0, 4), (1, 2)]


@MODULES
def test_merge_moves_texts_of_rejections_with_rows_that_wait(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 1)
    late: Row = ((HOUR_NS, 0, 1), "the late one", b"late")
    rows: list[Row] = [late]
    for number in range(2, 400):
        rows.append(
            ((number, 0, number), f"reason {number}", b"raw %d" % number) if number % 3 else tick(number, 0, number)
        )

    taken: list[Row] = []
    for row in rows:
        feed(merger, 0, [row], row[0][0] if row is not late else 0)
        taken += take_all(merger, tickers)
    feed(merger, 0, [], 400, finished=True)
    taken += take_all(merger, tickers)

    assert taken == [*rows[1:], late]


@MODULES
def test_merge_with_one_row_an_hour_late_holds_nothing_else_back(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 1)
    feed(merger, 0, [tick(HOUR_NS, 0, 1, event_ns=0)], 0)

    for number in range(2, 500):
        feed(merger, 0, [tick(number, 0, number)], number)
        take_all(merger, tickers)
        assert merger.in_flight == 2
        assert merger.oldest_row(0) == 1

    assert merger.in_flight_max == 3


@MODULES
def test_merge_hands_out_no_more_than_the_limit_and_the_rest_later(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 1)
    into = Block(tickers)
    feed(merger, 0, [tick(number, 0, number) for number in range(1, 11)], 11, finished=True)

    counts = []
    while count := merger.take(into, 4):
        counts.append((count, len(into), merger.in_flight, merger.oldest_row(0)))

    assert counts == [(4, 4, 6, 5), (4, 8, 2, 9), (2, 10, 0, -1)]


@MODULES
def test_merge_counts_dropped_rows_as_settled(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 1, resume_after=(5, 0, 5))
    into = Block(tickers)
    feed(merger, 0, [tick(number, 0, number) for number in range(1, 6)], 6)

    settled = merger.take(into, 100)
    feed(merger, 0, [tick(6, 0, 6)], 6, finished=True)

    assert (settled, len(into)) == (5, 0)
    assert [row[0] for row in take_all(merger, tickers)] == [(6, 0, 6)]


@MODULES
def test_laggard_names_the_lowest_bound_and_the_lowest_rank_among_equals(module: ModuleType) -> None:
    merger = module.Merger(Tickers(), 3)

    laggards = [merger.laggard()]
    for rank, bound_ns, finished in [
        (0, 5, False),
        (1, 3, False),
        (2, 3, False),
        (1, 9, False),
        (2, 3, True),
        (0, 5, True),
    ]:
        merger.advance(rank, bound_ns, finished=finished)
        laggards.append(merger.laggard())
    merger.advance(1, 9, finished=True)

    assert laggards == [0, 1, 2, 1, 2, 0, 1]
    assert merger.laggard() == -1


@MODULES
def test_merge_ignores_a_bound_that_falls(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 1)
    feed(merger, 0, [tick(4, 0, 1)], 10)

    merger.advance(0, 3)

    assert len(take_all(merger, tickers)) == 1


@MODULES
@pytest.mark.parametrize(
    "row",
    [tick(9, 0, 2), tick(11, 0, 0), tick(11, 1, 2)],
    ids=["arrives before the bound", "is not in row order", "has the rank of another source"],
)
def test_merge_refuses_a_row_that(module: ModuleType, row: Row) -> None:
    merger = module.Merger(Tickers(), 2)
    feed(merger, 0, [tick(10, 0, 1)], 10)

    with pytest.raises(ValueError, match=f"row {row[0][2]} of source 0"):
        feed(merger, 0, [row], 10)


@MODULES
def test_merge_refuses_to_advance_a_finished_source_and_a_limit_of_zero(module: ModuleType) -> None:
    merger = module.Merger(Tickers(), 1)
    merger.advance(0, 1, finished=True)

    with pytest.raises(ValueError, match="finished"):
        merger.advance(0, 2)
    with pytest.raises(ValueError, match="limit"):
        merger.take(Block(Tickers()), 0)


@MODULES
def test_merge_of_no_sources_and_of_empty_sources_is_empty(module: ModuleType) -> None:
    tickers = Tickers()
    empty = module.Merger(tickers, 2)
    empty.advance(0, BEFORE_EVERYTHING, finished=True)
    empty.advance(1, BEFORE_EVERYTHING, finished=True)

    assert take_all(empty, tickers) == []
    assert take_all(module.Merger(tickers, 0), tickers) == []
    assert module.Merger(tickers, 0).laggard() == -1


@MODULES
@pytest.mark.parametrize("seed", range(10))
def test_sort_rows_equals_a_stable_sort(module: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    tickers = Tickers()
    block, into = Block(tickers), Block(tickers)
    span = rng.choice([3, 1000, 2**40, 2**63 - 1])
    for number in range(rng.choice([0, 1, 39, 40, 3000])):
        key = (rng.randrange(-span, span), rng.randrange(3), rng.randrange(1000))
        if rng.random() < 0.1:
            append(block, (key, f"reason {number}", b"raw"))
        else:
            append(block, (key, number, f"T{number % 7}", 1.0, 2.0, 3.0, 4.0))
    append(into, tick(0, 0, 0))

    module.sort_rows(block, into)

    assert repr(into.to_rows()[1:]) == repr(sorted(block.to_rows(), key=lambda row: row[0]))


@pytest.mark.parametrize("count", [2, 39, 41, 5000])
@pytest.mark.parametrize(
    "times",
    [
        pytest.param(lambda i, rng: 7, id="equal"),
        pytest.param(lambda i, rng: i, id="sorted"),
        pytest.param(lambda i, rng: -i, id="reversed"),
        pytest.param(lambda i, rng: rng.choice([0, 1]), id="two_times"),
        pytest.param(lambda i, rng: rng.randrange(2**40), id="forty_bits"),
        pytest.param(lambda i, rng: rng.choice([BEFORE_EVERYTHING, 0, AFTER_EVERYTHING]), id="extremes"),
        pytest.param(lambda i, rng: rng.randrange(16) - (i == 0) * 2**62, id="crowded_far_from_one"),
        pytest.param(lambda i, rng: rng.randrange(-(2**63), 2**63), id="scattered"),
        pytest.param(lambda i, rng: rng.choice([-1, 1]) * 2**62 + rng.randrange(8), id="two_crowds_far_apart"),
    ],
)
def test_sort_rows_leaves_rows_of_equal_place_as_they_stood_whatever_the_times(
    count: int, times: Callable[[int, random.Random], int]
) -> None:
    rng = random.Random(count)
    tickers = Tickers()
    block, into = Block(tickers), Block(tickers)
    keys = [(times(i, rng), 0, 0) for i in range(count)]
    for number, key in enumerate(keys):
        append(block, (key, number, "T", 1.0, 2.0, 3.0, 4.0))

    fastpath.merge.sort_rows(block, into)

    assert [row[1] for row in into.to_rows()] == sorted(range(count), key=lambda i: keys[i])
