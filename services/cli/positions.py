"""Where a stream over all partitions of a session stands, as people and scripts hand it on: `0:EPOCH:SEQUENCE,1:EPOCH:SEQUENCE`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from protos.common.v1.market_pb2 import MidBatch, PartitionPosition, TickBatch
from services.runtime.errors import StartRefused

_POSITION: Final = re.compile(r"(\d{1,9}):([^:,\s]*):(\d{1,19})", re.ASCII)


def positions_text(positions: Iterable[PartitionPosition]) -> str:
    """Write them in order of their partitions, for `--after`."""
    ordered = sorted(positions, key=lambda each: each.partition)
    return ",".join(f"{each.partition}:{each.epoch}:{each.sequence}" for each in ordered)


def positions_of(text: str) -> tuple[PartitionPosition, ...]:
    """Read what `positions_text` wrote. Raises StartRefused, which says what it looks like."""
    found = [_POSITION.fullmatch(part) for part in text.split(",")]
    positions = tuple(
        PartitionPosition(partition=int(each[1]), epoch=each[2], sequence=int(each[3])) for each in found if each
    )
    if len(positions) < len(found):
        raise StartRefused(
            f"--after {text[:60]!r} is no place: write a sequence, or for each partition PARTITION:EPOCH:SEQUENCE, with commas"
            " between them, as `midstream tail --json --positions` shows it"
        )
    if len({each.partition for each in positions}) < len(positions):
        raise StartRefused(f"--after {text[:60]!r} names a partition twice")
    return positions


class Place:
    """Where a reader stands behind the batches that it was given."""

    def __init__(self, *, alone: bool = False) -> None:
        """`alone`: of one partition, whose numbers say it all."""
        self._alone = alone
        self._of_partitions: dict[int, PartitionPosition] = {}

    def behind(self, batch: TickBatch | MidBatch) -> dict[str, Any]:
        """Return it as --json shows it: `after`, and `epoch` where that is one sequence."""
        if isinstance(batch, TickBatch):
            self._of_partitions |= {each.partition: each for each in batch.positions}
        elif batch.HasField("partition") and not self._alone:
            self._of_partitions[batch.partition] = PartitionPosition(
                partition=batch.partition, epoch=batch.epoch, sequence=batch.last_sequence
            )
        if self._of_partitions:
            return {"type": "position", "after": positions_text(self._of_partitions.values())}
        return {"type": "position", "after": str(batch.last_sequence), "epoch": batch.epoch}
