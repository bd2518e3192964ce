"""Read a Midstream session of several partitions straight from its queues, in the one order of the session.

    python merged_consumer.py REDIS_URL SESSION [RECORDS]

Needs redis-py and the code generated from protos/common/v1/market.proto, nothing else. It shows recorded data, which waits for
every partition; whoever reads live data gives up waiting for a silent one after a while, say 250 ms.
"""

import json
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterator

import redis

from protos.common.v1.market_pb2 import Marker, TickBatch

BARRIERS = (Marker.KIND_SEAM, Marker.KIND_DISCONTINUITY)  # all partitions have them
BEFORE_EVERYTHING = (-(2**63), 0, 0)


def partition_of(ticker: str, partitions: dict) -> int:
    """Where to look for one ticker: what it was given, or its CRC-32 modulo the number of partitions."""
    return partitions["assigned"].get(ticker, zlib.crc32(ticker.encode()) % partitions["count"])


class Partition:
    def __init__(self, client: redis.Redis, session: str, number: int) -> None:
        self.client, self.number = client, number
        self.prefix = f"midstream:{{{session}/{number}}}:"
        self.epoch, self.seen, self.barrier = "", 0, 0  # whoever stores `epoch` and `seen` goes on behind them
        self.records = deque()  # (key, text); a marker has no key
        self.bound = BEFORE_EVERYTHING  # what follows does not come before it

    def read(self) -> None:
        # The watermark first: what it speaks of is in the queue by now.
        watermark = self.client.get(self.prefix + "watermark")
        for _, fields in self.client.xrange(self.prefix + "ticks", min=f"0-{self.seen + 1}", count=16):
            self.take(TickBatch.FromString(fields[b"b"]))
        if watermark is not None and not self.records:
            epoch, sequence, arrival_time_ns = watermark.split()
            # It counts when we have all that it speaks of, and no barrier came since.
            if epoch.decode() in (self.epoch or epoch.decode(),) and self.barrier <= int(sequence) <= self.seen:
                self.bound = max(self.bound, (int(arrival_time_ns), 0, self.number))

    def take(self, batch: TickBatch) -> None:
        special = {}
        for each in batch.rejections:
            key = (each.arrival_time_ns, each.tie_order, self.number)
            special[each.sequence] = (key, f"rejected {each.source}:{each.line}: {each.reason}")
        for each in batch.markers:
            special[each.sequence] = (None, each)
        ticks = iter(range(len(batch.ticker_index)))
        for sequence in range(batch.first_sequence, batch.last_sequence + 1):
            self.records.append(special[sequence] if sequence in special else self.tick(batch, next(ticks)))
        self.epoch, self.seen = batch.epoch, batch.last_sequence

    def tick(self, batch: TickBatch, index: int) -> tuple:
        key = (batch.arrival_time_ns[index], batch.tie_order[index], self.number)
        ticker = batch.tickers[batch.ticker_index[index]]
        return key, f"{batch.arrival_time_ns[index]} {ticker} {batch.bid_price[index]} {batch.ask_price[index]}"

    def bars(self) -> bool:
        return bool(self.records) and self.records[0][0] is None and self.records[0][1].kind in BARRIERS

    def pop(self) -> object:
        key, what = self.records.popleft()
        self.bound = key or self.bound
        return what


def merged(partitions: list[Partition]) -> Iterator[object]:
    """Yield the records of all partitions in their order, for ever."""
    while True:
        for each in partitions:
            if not each.records:
                each.read()
        # A marker of one partition alone stays behind what it follows.
        alone = [each for each in partitions if each.records and each.records[0][0] is None and not each.bars()]
        ready = [each for each in partitions if each.records and each.records[0][0] is not None]
        silent = [each for each in partitions if not each.records]
        if alone:
            yield alone[0].pop()
        elif ready:
            first = min(ready, key=lambda each: each.records[0][0])
            if all(first.records[0][0] < each.bound for each in silent):
                yield first.pop()
            else:
                time.sleep(0.01)  # until one of the silent ones has more, or promises more
        elif silent:
            time.sleep(0.01)
        else:
            yield from barrier(partitions)


def barrier(partitions: list[Partition]) -> Iterator[object]:
    """Every partition has come to a barrier: those of the lowest revision are one. A new order begins behind it."""
    revision = min(each.records[0][1].revision for each in partitions)
    together = [each for each in partitions if each.records[0][1].revision == revision]
    yield together[0].records[0][1]
    for each in together:
        while each.bars() and each.records[0][1].revision == revision:
            each.records.popleft()
        each.bound, each.barrier = BEFORE_EVERYTHING, each.seen - len(each.records)


def main(url: str, session: str, records: int) -> None:
    client = redis.Redis.from_url(url, socket_timeout=5, protocol=2)
    stored = client.get(f"midstream:{{{session}}}:partitions")
    count = json.loads(stored)["count"] if stored else 1
    partitions = [Partition(client, session, number) for number in range(count)]
    for number, record in enumerate(merged(partitions), 1):
        print(
            f"{Marker.Kind.Name(record.kind)} {record.revision}" if isinstance(record, Marker) else record, flush=True
        )
        if number == records:
            return


if __name__ == "__main__":
    url, session, records = [*sys.argv[1:], "0"][:3]
    main(url, session, int(records))
