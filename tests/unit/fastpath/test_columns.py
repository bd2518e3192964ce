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
