"""Rows from one block to another, one by one: where a session comes to live data, and not in its course."""

from __future__ import annotations

from fastpath.columns import Block, RejectedRow, TickRow


def copy_rows(block: Block, into: Block, start: int, stop: int) -> None:
    """Append rows start..stop of a block to another one."""
    for row in block.to_rows()[start:stop]:
        append_row(into, row)


def append_row(block: Block, row: TickRow | RejectedRow) -> None:
    """Append a row that `to_rows` gave."""
    (arrival_time_ns, source_rank, number), *_ = row
    if len(row) == 3:
        block.append_rejection(
            arrival_time_ns=arrival_time_ns, source_rank=source_rank, row=number, reason=row[1], raw=row[2]
        )
        return
    _, event_time_ns, ticker, bid_price, bid_amount, ask_price, ask_amount = row
    block.append_tick(
        ticker,
        arrival_time_ns=arrival_time_ns,
        event_time_ns=event_time_ns,
        bid_price=bid_price,
        bid_amount=bid_amount,
        ask_price=ask_price,
        ask_amount=ask_amount,
        source_rank=source_rank,
        row=number,
    )
