"""Places in all partitions of a session, as `tail` writes and reads them."""

from __future__ import annotations

import pytest

from protos.common.v1.market_pb2 import MidBatch, PartitionPosition, TickBatch
from services.cli.positions import Place, positions_of, positions_text
from services.runtime.errors import StartRefused

POSITIONS = (
    PartitionPosition(partition=0, epoch="one", sequence=7),
    PartitionPosition(partition=10, epoch="", sequence=0),
)


def test_what_is_written_is_read_in_order_of_partitions() -> None:
    assert positions_text(reversed(POSITIONS)) == "0:one:7,10::0"
    assert positions_of("0:one:7,10::0") == POSITIONS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("yesterday", "PARTITION:EPOCH:SEQUENCE"),
        ("0:one:7,", "PARTITION:EPOCH:SEQUENCE"),
        ("0:one:-7", "PARTITION:EPOCH:SEQUENCE"),
        ("0:one:7,0:one:8", "names a partition twice"),
    ],
)
def test_what_is_no_place_is_refused(text: str, told: str) -> None:
    with pytest.raises(StartRefused, match=told):
        positions_of(text)


def test_a_place_is_one_sequence_or_one_in_each_partition_that_was_seen() -> None:
    ticks, mids = Place(), Place()

    assert ticks.behind(TickBatch(epoch="e", last_sequence=9)) == {"type": "position", "after": "9", "epoch": "e"}
    assert ticks.behind(TickBatch(positions=POSITIONS)) == {"type": "position", "after": "0:one:7,10::0"}
    alone = Place(alone=True).behind(MidBatch(epoch="b", last_sequence=4, partition=1))
    assert alone == {"type": "position", "after": "4", "epoch": "b"}
    mids.behind(MidBatch(epoch="b", last_sequence=4, partition=1))
    assert mids.behind(MidBatch(epoch="a", last_sequence=3, partition=0))["after"] == "0:a:3,1:b:4"
