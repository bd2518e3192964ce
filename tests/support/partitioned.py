"""Recorded rows as one partition publishes them and as several do, for tests of what must be the same in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, encode_batch
from services.runtime.session.partitions import Partitioning
from tests.support.price_batches import START_NS, Batch

if TYPE_CHECKING:  # names of types that only the stub has
    from fastpath.columns import RejectedRow, TickRow

Rows = Sequence["TickRow | RejectedRow"]
NAN = float("nan")


def made_rows(count: int, *, seed: int, tickers: int = 13, sources: int = 3) -> list[TickRow | RejectedRow]:
    """Make rows in their order, with ties within and across sources, late ones, missing sides, and rejections."""
    random = Random(seed)
    rows: list[TickRow | RejectedRow] = []
    row_of = [1] * sources
    arrival_ns = START_NS
    while len(rows) < count:
        arrival_ns += random.choice((1, 1_000, 1_000_000, 7_000_123))
        for rank in sorted(random.choices(range(sources), k=random.choice((1, 1, 1, 2, 5)))):
            row_of[rank] += 1
            key = (arrival_ns, rank, row_of[rank])
            if random.random() < 0.03:
                rows.append((key, "bad price", b"x,y"))
                continue
            mid, side = round(random.uniform(0.5, 70_000), 2), random.random()
            event_ns = arrival_ns - random.choice((1_000_000, 20_000_000, 20_000_001, 120_000_000))
            bid, ask = NAN if side < 0.05 else mid, NAN if 0.03 < side < 0.08 else mid * 1.01
            rows.append((key, event_ns, f"T{random.randrange(tickers)}-USDT@X", bid, 1.0, ask, 2.0))
    return rows[:count]


def split(rows: Rows, partitioning: Partitioning) -> list[list[TickRow | RejectedRow]]:
    """Give every partition its rows."""
    parts: list[list[TickRow | RejectedRow]] = [[] for _ in range(partitioning.count)]
    for row in rows:
        if len(row) == 3:
            parts[partitioning.of_source(row[0][1])].append(row)
        else:
            parts[partitioning.of_ticker(row[2])].append(row)
    return parts


def batches_of(
    rows: Rows, *, tied: bool, epoch: str = "epoch-1", rows_per_batch: int = 100, mode: int = MODE_HISTORICAL
) -> list[Batch]:
    """Encode rows as consecutive batches, as the producer of one partition does."""
    return list(_batches(rows, tied, epoch, rows_per_batch, mode))


def _batches(rows: Rows, tied: bool, epoch: str, rows_per_batch: int, mode: int) -> Iterator[Batch]:
    block = Block(Tickers())
    for row in rows:
        (arrival_ns, rank, number) = row[0]
        if len(row) == 3:
            block.append_rejection(arrival_time_ns=arrival_ns, source_rank=rank, row=number, reason=row[1], raw=row[2])
            continue
        _, event_ns, ticker, bid_price, bid_amount, ask_price, ask_amount = row
        block.append_tick(
            ticker,
            arrival_time_ns=arrival_ns,
            event_time_ns=event_ns,
            bid_price=bid_price,
            bid_amount=bid_amount,
            ask_price=ask_price,
            ask_amount=ask_amount,
            source_rank=rank,
            row=number,
        )
    sources = [f"source{rank}.csv" for rank in range(1 + max((row[0][1] for row in rows), default=0))]
    start, first_sequence = 0, 1
    while start < len(rows):
        payload, encoded, last_sequence = encode_batch(
            block,
            start,
            min(len(rows), start + rows_per_batch),
            epoch=epoch,
            mode=mode,
            first_sequence=first_sequence,
            sources=sources,
            publish_time_ns=START_NS,
            tie_order=tied,
        )
        yield Batch(first_sequence, last_sequence, payload)
        start, first_sequence = start + encoded, last_sequence + 1
