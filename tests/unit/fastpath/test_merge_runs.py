"""Spilled runs, and what the merge costs when a great many rows wait."""

import random
import time
from types import ModuleType

import pytest

import fastpath.merge
from fastpath.columns import Block, Tickers
from fastpath.merge import Merger
from tests.reference.merge import Row, append
from tests.unit.fastpath.merge_support import HOUR_NS, Drive, History, tick
from tests.unit.fastpath.test_merge import MODULES, feed, take_all


def spilled(rows: list[Row]) -> tuple[Merger, Tickers, bytes]:
    """Make a merger of one finished source whose rows are out in a registered run 1."""
    tickers = Tickers()
    merger = Merger(tickers, 1)
    feed(merger, 0, rows, 0, finished=True)
    serialised = merger.spill()
    merger.add_run(len(rows), oldest_rows={0: 1})
    return merger, tickers, serialised


@MODULES
def test_run_counts_like_a_source_until_it_is_consumed(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 2)
    feed(merger, 0, [tick(30, 0, 4), tick(20, 0, 5)], 10)
    feed(merger, 1, [tick(25, 1, 7)], 40)
    oldest = {rank: merger.oldest_row(rank) for rank in (0, 1)}

    serialised = merger.spill()
    number = merger.add_run(3, oldest_rows=oldest)
    feed(merger, 0, [tick(22, 0, 6)], 50, finished=True)
    before = (merger.laggard(), take_all(merger, tickers), merger.oldest_row(0), merger.oldest_row(1), merger.in_flight)
    merger.feed_run(number, serialised, final=True)
    merger.advance(1, 40, finished=True)
    merged = take_all(merger, tickers)

    assert before == (2, [], 4, 7, 1)
    assert [row[0] for row in merged] == [(20, 0, 5), (22, 0, 6), (25, 1, 7), (30, 0, 4)]
    assert (merger.laggard(), merger.oldest_row(0), merger.oldest_row(1), merger.in_flight) == (-1, -1, -1, 0)
    with pytest.raises(ValueError, match="no unfinished run 2"):
        merger.feed_run(number, b"", final=True)


@MODULES
def test_spill_takes_settled_rows_that_were_not_taken(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 1)
    into = Block(tickers)
    feed(merger, 0, [tick(number, 0, number) for number in range(1, 6)], 5)
    merger.take(into, 2)

    serialised = merger.spill()
    number = merger.add_run(3, oldest_rows={0: 3})
    in_flight = merger.in_flight
    merger.feed_run(number, serialised, final=True)
    feed(merger, 0, [tick(5, 0, 6)], 6, finished=True)

    assert in_flight == 0
    assert [row[0][2] for row in [*into.to_rows(), *take_all(merger, tickers)]] == [1, 2, 3, 4, 5, 6]


@MODULES
def test_run_lets_nothing_past_that_equals_its_last_fed_row(module: ModuleType) -> None:
    tickers = Tickers()
    merger = module.Merger(tickers, 2)
    feed(merger, 0, [tick(5, 0, 1), tick(5, 0, 2)], 5)
    serialised = merger.spill()
    number = merger.add_run(2, oldest_rows={0: 1})
    feed(merger, 0, [], 9, finished=True)
    feed(merger, 1, [tick(5, 1, 1)], 9, finished=True)

    # Feed byte by byte until the first row is in.
    size = used = 0
    while merger.in_flight < 2:
        size += 1
        used += merger.feed_run(number, serialised[used:size], final=False)
    early = take_all(merger, tickers)
    merger.feed_run(number, serialised[used:], final=True)

    assert early == []
    assert [row[0] for row in take_all(merger, tickers)] == [(5, 0, 1), (5, 0, 2), (5, 1, 1)]


def test_run_keeps_every_column_and_the_texts_of_rejections() -> None:
    rows: list[Row] = [
        ((-5, 0, 1), -7, "BTC-USDT", -0.0, 5e-324, 1.7976931348623157e308, 2.0),
        ((-5, 0, 2), "bad price `x` \u2014 not a number", bytes(range(256)) * 4),
        ((3, 0, 2**63 - 1), 2**63 - 1, "ETH", 1.0, 2.0, 3.0, 4.0),
    ]
    merger, tickers, serialised = spilled(rows)

    used = merger.feed_run(1, serialised, final=True)

    assert used == len(serialised)
    assert repr(take_all(merger, tickers)) == repr(rows)


def test_run_reads_back_from_any_mutable_or_sliced_buffer() -> None:
    merger, tickers, serialised = spilled([tick(1, 0, 1)])

    merger.feed_run(1, memoryview(bytearray(b"xx" + serialised))[2:], final=True)

    assert len(take_all(merger, tickers)) == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: b"\0" * len(run), "not the run of 3 rows"),
        (lambda run: b"", "within its head"),
        (lambda run: run[:-1], "after 2 of 3 rows"),
        (lambda run: run + b"\0", "after 3 of 3 rows"),
        (lambda run: run[:8] + b"\x04" + run[9:], "not the run of 3 rows"),
        (lambda run: run[:16] + b"\xff" * 7 + b"\x7f" + run[24:], "out of order"),
        (lambda run: run[:72] + b"\x09" + run[73:], "unknown source or ticker"),
        (lambda run: run[:76] + b"\x09" + run[77:], "unknown source or ticker"),
        (lambda run: run[:80] + b"\x00\x00\x00\x7f" + run[84:], "impossible length"),
    ],
    ids=["zeros", "nothing", "cut short", "too long", "row count", "order", "ticker", "rank", "text length"],
)
def test_run_refuses_garbage_and_takes_nothing_of_it(damage, reason: str) -> None:
    merger, tickers, serialised = spilled([tick(number, 0, number) for number in (1, 2, 3)])

    with pytest.raises(ValueError, match=reason):
        merger.feed_run(1, damage(serialised), final=True)

    assert merger.in_flight == 0
    merger.feed_run(1, serialised, final=True)
    assert len(take_all(merger, tickers)) == 3


@pytest.mark.parametrize("seed", range(300))
def test_run_with_random_damage_is_refused_or_ordered(seed: int) -> None:
    rng = random.Random(seed)
    rows: list[Row] = [tick(1, 0, 1), ((2, 0, 2), "reason", b"raw"), tick(3, 0, 3)]
    merger, tickers, serialised = spilled(rows)
    damaged = bytearray(serialised)
    for _ in range(rng.randint(1, 4)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)

    try:
        merger.feed_run(1, damaged, final=True)
    except ValueError:
        return

    block = Block(tickers)
    while merger.take(block, 10):
        pass
    keys = [block.key(index) for index in range(len(block))]
    assert keys == sorted(keys)


def test_runs_that_overlap_merge_with_each_other_and_with_what_follows() -> None:
    rng = random.Random(11)
    rows: list[Row] = []
    events = []
    for number in range(1, 3001):
        rows.append(tick(number + rng.randrange(2000), 0, number, event_ns=number))
        events.append(number)
    history = History([rows, []], [events, []], 0)

    drive = Drive(fastpath.merge, history, random.Random(3), spill_chance=0.5)

    assert drive.run() == history.expected()
    assert len(drive.runs) > 10


def test_external_sort_through_runs_orders_rows_in_any_order() -> None:
    rng = random.Random(5)
    tickers = Tickers()
    merger = Merger(tickers, 1)
    rows: list[Row] = [tick(rng.randrange(10**6), 0, number) for number in range(1, 4001)]
    runs: dict[int, bytes] = {}
    for start in range(0, len(rows), 1000):
        feed(merger, 0, rows[start : start + 1000], -(2**63), finished=start == 3000)
        oldest = {0: merger.oldest_row(0)}
        serialised = merger.spill()
        runs[merger.add_run(1000, oldest_rows=oldest)] = serialised

    merged: list[Row] = []
    while (number := merger.laggard()) >= 0:
        piece = runs[number][:7200]
        used = merger.feed_run(number, piece, final=len(piece) == len(runs[number]))
        runs[number] = runs[number][used:]
        merged += take_all(merger, tickers)
    merged += take_all(merger, tickers)

    assert merged == sorted(rows, key=lambda row: row[0])
    assert merger.in_flight_max < 2000


def test_many_waiting_rows_leave_in_order_and_give_their_slots_back() -> None:
    tickers = Tickers()
    merger = Merger(tickers, 2)
    waiting: list[Row] = [
        tick(HOUR_NS + (number * 7919) % 40_000, 0, number, event_ns=0) for number in range(1, 40_001)
    ]
    feed(merger, 0, waiting, 0)
    merged: list[Row] = []

    for step in range(200):
        number = 50_000 + step
        feed(merger, 0, [tick(10 * step, 0, number)], 10 * step)
        feed(merger, 1, [((10 * step, 1, step), "rejected", b"")], 10 * step)
        merged += take_all(merger, tickers)
        assert merger.oldest_row(0) == 1
    # All but the last hundred leave, which makes the slots sparse; those must survive the move.
    feed(merger, 0, [], HOUR_NS + 39_900)
    feed(merger, 1, [], HOUR_NS + 39_900)
    merged += take_all(merger, tickers)
    left = sorted((row for row in waiting if row[0][0] >= HOUR_NS + 39_900), key=lambda row: row[0])
    oldest = merger.oldest_row(0)
    feed(merger, 0, [], HOUR_NS + 39_900, finished=True)
    feed(merger, 1, [], HOUR_NS + 39_900, finished=True)
    rest = take_all(merger, tickers)

    assert len(merged) == 40_000 - len(left) + 400
    assert [row[0] for row in merged] == sorted(row[0] for row in merged)
    assert oldest == min(row[0][2] for row in left)
    assert rest == left


def dense_history(seed: int, *, rows_max: int = 9000) -> History:
    """Make sources in which thousands of rows are under way at any time, a few of them for very long."""
    rng = random.Random(seed)
    rows: list[list[Row]] = []
    events: list[list[int]] = []
    under_way = rng.choice([20, 400, 3000])
    for rank in range(rng.randint(1, 3)):
        times = sorted(rng.randrange(2 * rows_max) for _ in range(rng.randrange(rows_max)))
        latencies = [int(rng.expovariate(1 / under_way)) + (rng.random() < 0.003) * HOUR_NS for _ in times]
        source: list[Row] = []
        for number, (event, latency) in enumerate(zip(times, latencies, strict=True), 1):
            key = (event + latency, rank, number)
            source.append(tick(*key, event_ns=event) if number % 50 else (key, f"reason {number}", b"raw"))
        rows.append(source)
        events.append(times)
    return History(rows, events, 0)


@pytest.mark.parametrize("seed", range(12))
def test_dense_sources_merge_exactly_and_their_oldest_rows_are_known(seed: int) -> None:
    history = dense_history(seed)
    drive = Drive(fastpath.merge, history, random.Random(seed), spill_chance=0.01 * (seed % 2))
    left = [{row[0][2] for row in rows} for rows in history.rows]
    merged: list[Row] = []

    for batch in drive.batches():
        merged += batch
        for row in batch:
            left[row[0][1]].remove(row[0][2])
        if drive.runs:
            continue
        for rank, rows in enumerate(left):
            oldest = min(rows, default=-1)
            was_read = drive.fed[rank] < 0 or oldest <= drive.fed[rank]
            assert drive.merger.oldest_row(rank) == (oldest if was_read else -1)

    assert merged == history.expected()
    assert drive.merger.in_flight == 0


def seconds_to_stream(waiting_count: int) -> float:
    tickers = Tickers()
    merger = Merger(tickers, 1)
    into = Block(tickers)
    block = merger.pending(0)
    rng = random.Random(1)
    for number in range(1, waiting_count + 1):
        append(block, tick(HOUR_NS + rng.randrange(HOUR_NS), 0, number, event_ns=0))
    merger.advance(0, 0)
    started = time.perf_counter()
    for step in range(1, 3001):
        append(block, tick(step * 1000, 0, waiting_count + step))
        merger.advance(0, step * 1000)
        merger.take(into, 100)
    return time.perf_counter() - started


@pytest.mark.long
def test_steps_do_not_pay_for_rows_that_wait() -> None:
    few = min(seconds_to_stream(10) for _ in range(3))

    many = min(seconds_to_stream(200_000) for _ in range(3))

    # Looking at 200,000 rows in each of 3,000 steps would take hundreds of times longer.
    assert many < 10 * few + 0.2


def test_merge_refuses_a_foreign_block_and_one_of_its_own() -> None:
    merger = Merger(Tickers(), 1)

    with pytest.raises(ValueError, match="another ticker table"):
        merger.take(Block(Tickers()), 1)
    with pytest.raises(ValueError, match="pending blocks"):
        merger.take(merger.pending(0), 1)
    with pytest.raises(IndexError, match="source rank 1"):
        merger.pending(1)


def test_merge_refuses_a_pending_block_that_was_emptied_by_someone_else() -> None:
    tickers = Tickers()
    merger = Merger(tickers, 1)
    feed(merger, 0, [tick(1, 0, 1), tick(9, 0, 2)], 5)

    merger.pending(0).clear()

    with pytest.raises(ValueError, match="only append"):
        merger.take(Block(tickers), 1)


def test_large_steps_with_crowded_and_scattered_times_are_sorted_exactly() -> None:
    rng = random.Random(4)
    rows: list[Row] = []
    for number in range(1, 20_001):
        arrival = rng.choice([rng.randrange(100), rng.randrange(10**6), 2**62 - rng.randrange(100), -(2**62)])
        rows.append(tick(arrival, 0, number))
    tickers = Tickers()
    merger = Merger(tickers, 1)

    feed(merger, 0, rows, -(2**62), finished=True)

    assert take_all(merger, tickers) == sorted(rows, key=lambda row: row[0])
