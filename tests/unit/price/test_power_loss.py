"""What was acknowledged survives a loss of power at any moment."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from fastpath.midprice import PriceCounts
from services.price.engine.committer import Commit, Committer, Tally
from services.price.engine.files import INDEX_HEADER, LogLengths, Logs
from services.price.engine.position import Position, PositionFile
from tests.unit.price.crash_files import CrashFiles, PowerLost


def line_of(number: int) -> bytes:
    return b"line %d %s\n" % (number, b"x" * (number % 200))


def run_until_power_is_lost(directory: Path, random: Random, lines: int) -> int:
    """Append and commit lines as the sink does; return how many were acknowledged."""
    files = CrashFiles(random)
    files.syncs_until_crash = random.randrange(0, 40)
    position_file = PositionFile(directory / "position", files)
    position = position_file.position or Position()
    logs = Logs(
        directory,
        mid_bytes=position.mid_bytes,
        error_bytes=position.error_bytes,
        csv_bytes=None,
        with_csv=False,
        index_bytes=position.index_bytes or 0,
        files=files,
    )
    acknowledged = position.sequence
    committer = Committer(logs=logs, position_file=position_file, wake=lambda: None)
    try:
        if position_file.position is None:
            position_file.commit(position)
        logs.cut()
        written = acknowledged
        while acknowledged < lines:
            sequence = max(written, acknowledged + random.randrange(1, 30))
            written = write(logs, written, sequence)
            commit = make_commit(logs.lengths, sequence, random)
            # Lines of the next commit reach the disk together with, before or without those of this one.
            written = write(logs, written, written + random.choice((0, 0, 10)))
            committer.submit(commit)
            committed = committer.collect(wait=True)
            assert committed is not None
            acknowledged = committed.commit.position.sequence
    except PowerLost:
        return acknowledged
    finally:
        committer.close()
    files.lose_power()
    return acknowledged


def write(logs: Logs, start: int, stop: int) -> int:
    index = b"".join(b"%016d" % number for number in range(start, stop))
    logs.append(b"".join(line_of(number) for number in range(start, stop)), b"error %d\n" % stop, b"", index)
    return stop


def make_commit(lengths: LogLengths, sequence: int, random: Random) -> Commit:
    return Commit(
        position=Position(
            sequence=sequence,
            cursor=bytes(random.randrange(0, 6000)),
            mid_bytes=lengths.mids,
            error_bytes=lengths.errors,
            index_bytes=lengths.order_index,
        ),
        records=1,
        entry_ids=(),
        tally=Tally(PriceCounts(0, 0, 0, 0, 0, 0, 0), 0, 0, "", 2),
        publish_time_ns=0,
    )


@pytest.mark.parametrize("seed", range(100))
def test_acknowledged_lines_survive_losing_power(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    acknowledged = 0
    for _ in range(5):
        before = acknowledged
        acknowledged = run_until_power_is_lost(tmp_path, random, lines=300)

        assert acknowledged >= before
        position_path = tmp_path / "position"
        if acknowledged:
            committed = PositionFile(position_path, CrashFiles(random)).position
            assert committed is not None
            assert committed.sequence >= acknowledged
            content = (tmp_path / "mid_prices.log").read_bytes()[: committed.mid_bytes]
            assert content == b"".join(line_of(number) for number in range(committed.sequence))
            index = (tmp_path / "order.idx").read_bytes()[: committed.index_bytes]
            assert index == INDEX_HEADER + b"".join(b"%016d" % number for number in range(committed.sequence))
