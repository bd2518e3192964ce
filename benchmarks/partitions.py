"""CPU of several partitions, each of which reads the files for itself, against one reader that would split the rows among them.

Every round measures each side in a process of its own, from files in the page cache to encoded batches. What the one reader is charged is
a lower bound: reading and merging once, and encoding what each partition gets. Taking the rows apart, and handing them to other processes,
it has for nothing.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.context import Context
from benchmarks.results import Goal, Result
from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, encode_batch
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.runtime.session.partitions import Partition, Partitioning

COUNTS: Final = (2, 4)
FILES: Final = 4
TICKERS: Final = 50
TICKS: Final = 2_000_000
POLL_ROWS: Final = 16_384
SEED: Final = 7
HEADER: Final = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"


def write(directory: Path, ticks: int) -> list[str]:
    """Write files in each of which any ticker may come next: every partition has rows everywhere."""
    chooser = random.Random(SEED)
    names = [f"COIN{number:02}-USDT-SWAP@BINANCE" for number in range(TICKERS)]
    paths = [directory / f"{number}.csv" for number in range(FILES)]
    for path in paths:
        time_us = 0
        with path.open("w") as file:
            file.write(HEADER)
            for number in range(ticks // FILES):
                time_us += chooser.randrange(400)
                minute, us = divmod(time_us, 60_000_000)
                bid = chooser.randrange(10_000, 20_000_000) / 100
                amounts = chooser.randrange(1, 10**6) / 1000, chooser.randrange(1, 10**6) / 1000
                file.write(
                    f"{number},2025-10-02 {minute // 60:02}:{minute % 60:02}:{us / 1e6:09.6f},{chooser.choice(names)},"
                    f"{amounts[0]},{bid + 0.5},{bid},{amounts[1]},{chooser.lognormvariate(2.5, 0.6):.6f}\n"
                )
    return [str(path) for path in paths]


def read(paths: Sequence[str], partition: Partition) -> tuple[int, float, float]:
    """Read what is in a partition; the ticks, and the CPU time of reading and of encoding."""
    source = HistoricalSource(paths, HistoricalOptions(min_latency_ms=0.0, partition=partition))
    source.open()
    block, ticks, sequence, encoding = Block(Tickers()), 0, 1, 0.0
    tie_order = not partition.is_all
    before, ended = time.process_time(), False
    while not ended:
        block.clear()
        ended = source.poll(block, POLL_ROWS).ended
        encoded, start = time.process_time(), 0
        while start < len(block):
            _, rows, last = encode_batch(
                block,
                start,
                len(block),
                epoch="e",
                mode=MODE_HISTORICAL,
                first_sequence=sequence,
                sources=paths,
                tie_order=tie_order,
            )
            start, sequence = start + rows, last + 1
        encoding += time.process_time() - encoded
        ticks += len(block)
    spent = time.process_time() - before
    source.stop()
    return ticks, spent - encoding, encoding


def g18(context: Context) -> list[Result]:
    """Compare CPU per tick of several partitions with that of one, and with reading once."""
    paths = write(context.directory("partitions"), TICKS // 10 if context.quick else TICKS)
    growth: dict[int, list[float]] = {count: [] for count in COUNTS}
    split: dict[int, list[float]] = {count: [] for count in COUNTS}
    per_tick: dict[int, list[float]] = {count: [] for count in (1, *COUNTS)}
    for _ in context.rounds():
        sides = {count: context.answer("benchmarks.partitions", str(count), *paths) for count in (1, *COUNTS)}
        whole = sides[1]
        alone = whole["reading"] + whole["encoding"]
        for count, side in sides.items():
            assert side["ticks"] == whole["ticks"], "the partitions together have other ticks than one"
            per_tick[count].append((side["reading"] + side["encoding"]) / side["ticks"] * 1e9)
        for count in COUNTS:
            growth[count].append((sides[count]["reading"] + sides[count]["encoding"]) / alone)
            split[count].append((whole["reading"] + sides[count]["encoding"]) / alone)
        context.say("  " + ", ".join(f"{count}: {found[-1]:.0f} ns" for count, found in per_tick.items()))
    results = []
    for count, letter in zip(COUNTS, "bd", strict=True):
        shown = ", ".join(f"{min(per_tick[each]):.0f} ns with {each}" for each in (1, count))
        results += [
            Result(
                "G18" if count == COUNTS[0] else "G18c",
                f"CPU per tick of {count} partitions, all engines",
                "one partition",
                tuple(growth[count]),
                Goal(1.1, 1.0, lower_is_better=True),
                note=f"files to encoded batches, without Redis; {shown} at best",
            ),
            Result(
                f"G18{letter}",
                f"the same if rows were read once and split among {count}",
                "one partition",
                tuple(split[count]),
                None,
                note="not built: a lower bound, in which splitting and handing over cost nothing",
            ),
        ]
    return results


def main() -> None:
    """Read all partitions, one after the other: `python -m benchmarks.partitions COUNT FILE...`."""
    partitioning, paths = Partitioning(int(sys.argv[1])), sys.argv[2:]
    found = [read(paths, Partition(number, partitioning)) for number in range(partitioning.count)]
    ticks, reading, encoding = (sum(parts) for parts in zip(*found, strict=True))
    print(json.dumps({"ticks": ticks, "reading": reading, "encoding": encoding}))


if __name__ == "__main__":
    main()
