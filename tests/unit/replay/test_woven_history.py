"""Partitions of recorded files, woven: record by record what one partition streams, whatever is fed when."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import BATCH_ROWS_MAX, MODE_HISTORICAL, TickFrame, encode_batch
from fastpath.weave import Weaver
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.runtime.session.partitions import Partitioning
from tests.reference.merge import append

DATA = Path(__file__).parents[3] / "data" / "historical_sample.csv"
AT_LAST = 2**63 - 1


def sources(folder: Path) -> list[str]:
    """The sample, and a copy of its beginning: so many records with equal times, from two files, with what cannot be used."""
    lines = DATA.read_text().splitlines()
    again = folder / "again.csv"
    again.write_text("\n".join([lines[0], *lines[1:3_000], "not,a,row", *lines[3_000:4_000]]) + "\n")
    return [str(DATA), str(again)]


def read(paths: list[str]) -> tuple[Block, tuple[str, ...]]:
    """All rows in their order, and the names of their sources."""
    source, block = HistoricalSource(paths, HistoricalOptions()), Block(Tickers())
    source.open()
    while not source.poll(block, 4096).ended:
        pass
    source.stop()
    return block, source.names


def batches(rng: random.Random, block: Block, names: tuple[str, ...], *, after: int = 0, **how: Any) -> list[bytes]:
    """The stream of a block behind a record, in batches of random lengths."""
    encoded: list[bytes] = []
    while after < len(block):
        stop = min(after + rng.randint(1, BATCH_ROWS_MAX), len(block))
        payload, rows, _ = encode_batch(
            block, after, stop, mode=MODE_HISTORICAL, first_sequence=after + 1, sources=names, **how
        )
        encoded.append(payload)
        after += rows
    return encoded


def records(payloads: list[bytes]) -> list[Any]:
    """Every tick and rejection with its number, and without whatever differs between batches."""
    found: list[Any] = []
    for payload in payloads:
        frame = TickFrame(payload)
        found += [(tick[0], repr(tick[1:])) for tick in frame.ticks()]
        found += [(each.sequence, repr(each)) for each in frame.rejections]
    return sorted(found)


@pytest.mark.parametrize("count", [2, 4])
def test_partitions_of_files_give_the_records_of_one_from_the_beginning_and_from_anywhere(
    tmp_path: Path, count: int
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  shown when it fails
    rng = random.Random(seed)
    block, names = read(sources(tmp_path))
    whole = records(batches(rng, block, names, epoch="one"))
    partitioning = Partitioning(count)
    parts = [Block(Tickers()) for _ in range(count)]
    places: list[int] = []
    for row in block.to_rows():
        is_rejected = len(row) == 3
        place = partitioning.of_source(row[0][1]) if is_rejected else partitioning.of_ticker(str(row[2]))
        append(parts[place], row)
        places.append(place)
    assert any(isinstance(row[1], str) for row in block.to_rows())

    for begin in (0, rng.randrange(len(block)), rng.randrange(len(block))):
        after = [places[:begin].count(partition) for partition in range(count)]
        weaver = Weaver(count, after=[(partition, "e", at) for partition, at in enumerate(after)])
        unread = [
            batches(rng, part, names, after=at, epoch="e", tie_order=True)
            for part, at in zip(parts, after, strict=True)
        ]
        woven: list[bytes] = []
        waiting = list(range(count))
        while waiting:
            partition = rng.choice(waiting)
            if unread[partition]:
                weaver.feed(partition, unread[partition].pop(0))
            else:
                weaver.promise(partition, "e", len(parts[partition]), AT_LAST)
                waiting.remove(partition)
            while (payload := weaver.take()) is not None:
                woven.append(payload)

        assert records(woven) == whole[begin:]
