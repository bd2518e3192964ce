"""Read batches record by record: ticks, mids, rejections and markers, each with its number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protos.common.v1.market_pb2 import Marker, MidBatch, Mode, Rejection, TickBatch

__all__ = ["Mid", "Tick", "mids_of", "records_of"]


@dataclass(frozen=True)
class Tick:
    """One quote."""

    sequence: int
    mode: Mode
    ticker: str
    event_time_ns: int
    arrival_time_ns: int
    bid_price: float
    """NaN when the source gave none; so is the ask."""
    bid_amount: float
    ask_price: float
    ask_amount: float


@dataclass(frozen=True)
class Mid:
    """One mid price."""

    sequence: int
    mode: Mode
    ticker: str
    event_time_ns: int
    arrival_time_ns: int
    mid_price: float


def records_of(batch: TickBatch) -> Iterator[Tick | Rejection | Marker]:
    """Return everything in a batch in the order of its numbers."""
    others: list[Tick | Rejection | Marker] = [*batch.rejections, *batch.markers]
    return iter(sorted([*_ticks(batch), *others], key=_sequence))


def mids_of(batch: MidBatch) -> Iterator[Mid]:
    """Return the mids of a batch in the order of their numbers."""
    for at, index in enumerate(batch.ticker_index):
        yield Mid(
            sequence=batch.sequence[at],
            mode=batch.mode,
            ticker=batch.tickers[index],
            event_time_ns=batch.event_time_ns[at],
            arrival_time_ns=batch.arrival_time_ns[at],
            mid_price=batch.mid_price[at],
        )


def _sequence(record: Tick | Rejection | Marker) -> int:
    return record.sequence


def _ticks(batch: TickBatch) -> Iterator[Tick]:
    for at, (index, sequence) in enumerate(zip(batch.ticker_index, _tick_sequences(batch), strict=False)):
        yield Tick(
            sequence=sequence,
            mode=batch.mode,
            ticker=batch.tickers[index],
            event_time_ns=batch.event_time_ns[at],
            arrival_time_ns=batch.arrival_time_ns[at],
            bid_price=batch.bid_price[at],
            bid_amount=batch.bid_amount[at],
            ask_price=batch.ask_price[at],
            ask_amount=batch.ask_amount[at],
        )


def _tick_sequences(batch: TickBatch) -> Iterator[int]:
    if batch.tick_sequence:
        return iter(batch.tick_sequence)
    taken = {each.sequence for each in batch.rejections} | {each.sequence for each in batch.markers}
    lost = [range(each.sequence + 1, each.next_sequence) for each in batch.markers if each.next_sequence]
    numbers = range(batch.first_sequence, batch.last_sequence + 1)
    return (number for number in numbers if number not in taken and not any(number in each for each in lost))
