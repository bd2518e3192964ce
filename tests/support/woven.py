"""Streams of several partitions, and a driver that merges them with the kernel or with its twin."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastpath import weave
from fastpath.frame import MODE_HISTORICAL
from fastpath.records import Marker, Rejection
from protos.common.v1.market_pb2 import TickBatch
from tests.reference import frame
from tests.reference import weave as reference
from tests.reference.weave import Piece

AT_LAST = 2**63 - 1
RANK_SHIFT = 48


@dataclass(frozen=True)
class Tick:
    """A tick of one partition; its prices tell it from every other."""

    arrival_time_ns: int
    tie_order: int
    ticker: str = "BTC"

    def columns(self) -> tuple[int, float, float, float, float]:
        """Event time and prices."""
        value = float(self.tie_order & 0xFFFFFF)
        return (self.arrival_time_ns - 7, value + 0.5, value, value + 1.5, 3.0)


Record = Tick | Rejection | Marker


@dataclass
class Writer:
    """Writes the stream of one partition, as its engine does."""

    epoch: str = "e"
    next: int = 1

    def batch(self, records: Sequence[Record], *, mode: int = MODE_HISTORICAL, **head: Any) -> bytes:
        """Encode records as the next batch."""
        batch = TickBatch(epoch=self.epoch, first_sequence=self.next, **head)
        batch.mode = mode  # type: ignore[assignment]
        for record in records:
            batch.last_sequence = self.next
            self._add(batch, record)
        return batch.SerializeToString(deterministic=True)

    def _add(self, batch: TickBatch, record: Record) -> None:
        sequence, self.next = self.next, self.next + 1
        if isinstance(record, Marker):
            batch.markers.append(frame.marker_message(record, sequence))
            self.next = record.next_sequence or self.next
        elif isinstance(record, Rejection):
            batch.rejections.add(
                sequence=sequence,
                arrival_time_ns=record.arrival_time_ns,
                source=record.source,
                line=record.line,
                reason=record.reason,
                raw=record.raw,
                tie_order=record.tie_order,
            )
        else:
            if record.ticker not in batch.tickers:
                batch.tickers.append(record.ticker)
            batch.ticker_index.append(list(batch.tickers).index(record.ticker))
            event, bid, bid_amount, ask, ask_amount = record.columns()
            batch.event_time_ns.append(event)
            batch.arrival_time_ns.append(record.arrival_time_ns)
            batch.bid_price.append(bid)
            batch.bid_amount.append(bid_amount)
            batch.ask_price.append(ask)
            batch.ask_amount.append(ask_amount)
            batch.tie_order.append(record.tie_order)


def rejection(arrival_time_ns: int, tie_order: int) -> Rejection:
    """Make a rejection that is told from every other."""
    return Rejection(
        0, arrival_time_ns, f"file {tie_order >> RANK_SHIFT}", tie_order & 0xFFFFFF, "bad", b"x,y", tie_order
    )


Weaver = weave.Weaver | reference.Weaver
WEAVERS: tuple[type[Any], ...] = (weave.Weaver, reference.Weaver)


@dataclass
class Woven:
    """What came out of a weaver: (epoch, mode, sequence, record) one by one."""

    records: list[tuple[str, int, int, Any]] = field(default_factory=list)
    batches: list[TickBatch] = field(default_factory=list)

    @property
    def named(self) -> list[Any]:
        """Each record as a Tick, a Rejection or a Marker without numbers."""
        return [bare(record) for _, _, _, record in self.records]

    def drain(self, weaver: Weaver) -> None:
        """Take all that is settled."""
        while (taken := weaver.take()) is not None:
            if isinstance(taken, Piece):
                self.records += [(taken.epoch, taken.mode, number, record) for number, record in taken.records]
                assert taken.positions == weaver.positions
            else:
                self.take(taken)
                batch = self.batches[-1]
                said = [(each.partition, each.epoch, each.sequence) for each in batch.positions]
                assert said == [(number, *at) for number, at in enumerate(weaver.positions)]

    def take(self, encoded: bytes) -> None:
        """Note the records of one batch."""
        batch = frame.decode(encoded)
        message = TickBatch.FromString(encoded)
        assert not message.tie_order
        self.batches.append(message)
        numbered: list[tuple[int, Any]] = [(tick[0], tick[1:]) for tick in batch.ticks]
        numbered += [(rejection.sequence, rejection) for rejection in batch.rejections]
        numbered += [(marker.sequence, marker) for marker in batch.markers]
        numbered.sort(key=lambda each: each[0])
        assert batch.first_sequence == numbered[0][0]
        if not batch.filtered:
            assert batch.last_sequence == numbered[-1][0]
        self.records += [(batch.epoch, batch.mode, number, record) for number, record in numbered]


def bare(record: Any) -> Any:
    """A record without what depends on where it stands."""
    if isinstance(record, Rejection):
        return ("rejection", record.source, record.line, record.arrival_time_ns)
    if isinstance(record, Marker):
        return ("marker", record.kind, record.revision, record.reason)
    return record


def expected(records: Iterable[Record]) -> list[Any]:
    """What comes out where these come out in this order."""
    return [
        (r.ticker, r.columns()[0], r.arrival_time_ns, *r.columns()[1:]) if isinstance(r, Tick) else bare(r)
        for r in records
    ]


def made_history(rng: random.Random, count: int, partitions: int) -> list[tuple[int, Record]]:
    """Make the records of a replay in their order, each with its partition; some partitions may have none, and many times are equal."""
    keys = sorted(
        {
            (rng.randrange(1, 2 + count // 3), rng.randrange(3) << RANK_SHIFT | rng.randrange(4 * count))
            for _ in range(count)
        }
    )
    used = rng.sample(range(partitions), rng.randint(1, partitions))
    made: list[tuple[int, Record]] = []
    for arrival, tie in keys:
        if rng.random() < 0.1:
            made.append(((tie >> RANK_SHIFT) % partitions, rejection(arrival, tie)))
        else:
            partition = rng.choice(used)
            made.append((partition, Tick(arrival, tie, f"T{partition}.{rng.randrange(3)}")))
    return made


def split(made: Iterable[tuple[int, Record]], partitions: int) -> list[list[Record]]:
    """The records of each partition."""
    parts: list[list[Record]] = [[] for _ in range(partitions)]
    for partition, record in made:
        parts[partition].append(record)
    return parts


def cut(rng: random.Random, records: Sequence[Record], longest: int = 8) -> list[list[Record]]:
    """Records in batches of random lengths."""
    batches, begin = [], 0
    while begin < len(records):
        length = rng.randint(1, longest)
        batches.append(list(records[begin : begin + length]))
        begin += length
    return batches
