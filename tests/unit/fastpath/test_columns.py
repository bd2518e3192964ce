"""Blocks: rows that come and go."""

from itertools import pairwise
from random import Random

import pytest

from fastpath.columns import AFTER_EVERYTHING, BEFORE_EVERYTHING, Block, Tickers


def test_a_block_drops_its_first_rows_with_the_texts_of_their_rejections() -> None:
    block = Block(Tickers())
    for row in range(3000):
        if row % 7 == 3:
            block.append_rejection(arrival_time_ns=row, row=row, reason=f"reason {row}", raw=b"%d" % row)
        else:
            block.append_tick(
                "T",
                arrival_time_ns=row,
                event_time_ns=row,
                bid_price=1,
                bid_amount=2,
                ask_price=3,
                ask_amount=4,
                row=row,
            )
    rows = block.to_rows()

    for count in (0, 3, 1, 1500):
        block.drop(count)
        rows = rows[count:]
        assert block.to_rows() == rows

    with pytest.raises(IndexError, match="more than the 1496 rows"):
        block.drop(len(rows) + 1)
    block.drop(len(rows))
    assert len(block) == 0


@pytest.mark.parametrize(
    ("start", "stop", "count", "ticker", "expected"),
    [
        (0, 6, 1, None, (1, 1)),
        (0, 6, 2, None, (3, 2)),
        (1, 6, 9, None, (6, 3)),
        (0, 6, 1, "B", (5, 1)),
        (0, 4, 1, "B", (4, 0)),
        (0, 6, 1, "nobody", (6, 0)),
        (3, 3, 1, None, (3, 0)),
    ],
)
def test_ticks_are_counted_among_rejections(
    start: int, stop: int, count: int, ticker: str | None, expected: tuple[int, int]
) -> None:
    block = Block(Tickers())
    for row, name in enumerate("A-A-BA"):
        if name == "-":
            block.append_rejection(arrival_time_ns=row, row=row, reason="bad")
        else:
            block.append_tick(
                name, arrival_time_ns=row, event_time_ns=row, bid_price=1, bid_amount=1, ask_price=1, ask_amount=1
            )

    assert block.behind_ticks(start, stop, count, ticker=ticker) == expected


def test_ticks_beyond_the_block_are_refused() -> None:
    with pytest.raises(IndexError, match=r"0\.\.1"):
        Block(Tickers()).behind_ticks(0, 1, 1)


def _arrivals(*times: int) -> Block:
    block = Block(Tickers())
    for row, time_ns in enumerate(times):
        block.append_rejection(arrival_time_ns=time_ns, row=row, reason="bad")
    return block


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gaps_are_capped_as_one_by_one(seed: int) -> None:
    random = Random(seed)
    for _ in range(200):
        times = [random.randint(-50, 50)]
        for _ in range(random.randint(0, 12)):
            times.append(times[-1] + random.choice((0, 1, 5, 100)))
        cap, start = random.randint(1, 20), random.randrange(len(times))
        capped = [times[start]]
        for before, after in pairwise(times[start:]):
            capped.append(capped[-1] + min(after - before, cap))
        block, due_ns = _arrivals(*times), random.randint(-60, 200)
        stop = random.randint(start + 1, len(times))

        assert block.count_due_capped(start, due_ns, cap) == sum(time_ns <= due_ns for time_ns in capped)
        assert block.beyond_gaps(start, stop, cap) == times[stop - 1] - capped[stop - 1 - start]


def test_a_gap_may_be_longer_than_a_signed_number_holds() -> None:
    block = _arrivals(BEFORE_EVERYTHING, BEFORE_EVERYTHING + 1, AFTER_EVERYTHING)

    assert block.beyond_gaps(1, 3, 7) == AFTER_EVERYTHING - BEFORE_EVERYTHING - 1 - 7
    assert block.count_due_capped(1, BEFORE_EVERYTHING + 8, 7) == 2
    assert block.count_due_capped(1, BEFORE_EVERYTHING + 7, 7) == 1
    assert block.beyond_gaps(0, 2, 7) == 0
    assert (block.beyond_gaps(3, 3, 7), block.count_due_capped(3, 0, 7)) == (0, 0)
    with pytest.raises(IndexError, match=r"0\.\.4"):
        block.beyond_gaps(0, 4, 7)
    with pytest.raises(IndexError, match="`start` 4"):
        block.count_due_capped(4, 0, 7)
