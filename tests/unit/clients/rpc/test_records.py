"""Batches read record by record: every record has its number and its place."""

from __future__ import annotations

import random

import pytest

from clients.rpc.records import Mid, Tick, mids_of, records_of
from protos.common.v1.market_pb2 import MODE_LIVE, Marker, MidBatch, Rejection, TickBatch

pytestmark = pytest.mark.quick


def made(numbers: list[int], **columns: object) -> TickBatch:
    count = len(numbers)
    return TickBatch(
        epoch="e",
        mode=MODE_LIVE,
        tickers=["A", "B"],
        ticker_index=[at % 2 for at in range(count)],
        event_time_ns=[number * 10 for number in numbers],
        arrival_time_ns=[number * 10 + 1 for number in numbers],
        bid_price=[float(number) for number in numbers],
        bid_amount=[1.0] * count,
        ask_price=[number + 0.5 for number in numbers],
        ask_amount=[2.0] * count,
        **columns,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("seed", range(20))
def test_ticks_take_the_numbers_that_nothing_else_has(seed: int) -> None:
    random_source = random.Random(seed)
    first, last = 100, 100 + random_source.randrange(1, 40)
    numbers = list(range(first, last + 1))
    others = set(random_source.sample(numbers, random_source.randrange(len(numbers) + 1)))
    rejected = {number for number in others if random_source.random() < 0.5}
    ticks = [number for number in numbers if number not in others]
    batch = made(
        ticks,
        first_sequence=first,
        last_sequence=last,
        rejections=[Rejection(sequence=number) for number in sorted(rejected)],
        markers=[Marker(sequence=number) for number in sorted(others - rejected)],
    )

    records = list(records_of(batch))

    assert [each.sequence for each in records] == numbers, seed
    assert [each.event_time_ns // 10 for each in records if isinstance(each, Tick)] == ticks
    assert {each.sequence for each in records if isinstance(each, Rejection)} == rejected


def test_lost_numbers_are_no_tick_s() -> None:
    batch = made([1, 9, 10], first_sequence=1, last_sequence=10, markers=[Marker(sequence=2, next_sequence=9)])

    assert [each.sequence for each in records_of(batch)] == [1, 2, 9, 10]


def test_a_filtered_batch_says_which_numbers_are_left() -> None:
    batch = made([3, 9], first_sequence=1, last_sequence=10, tick_sequence=[3, 9], markers=[Marker(sequence=5)])

    assert [each.sequence for each in records_of(batch)] == [3, 5, 9]


def test_mids_have_the_numbers_of_their_ticks() -> None:
    batch = MidBatch(
        mode=MODE_LIVE,
        tickers=["B", "A"],
        ticker_index=[1, 0],
        sequence=[4, 7],
        event_time_ns=[1, 2],
        arrival_time_ns=[3, 4],
        mid_price=[1.5, 2.5],
    )

    assert list(mids_of(batch)) == [Mid(4, MODE_LIVE, "A", 1, 3, 1.5), Mid(7, MODE_LIVE, "B", 2, 4, 2.5)]
