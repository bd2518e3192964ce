"""Blocks: rows that come and go."""

import pytest

from fastpath.columns import Block, Tickers


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
