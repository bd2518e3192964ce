"""Which directory an engine writes to that takes a partition over: the one whose logs go on there, or a new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.price.engine.files import FileSystem
from services.price.engine.options import EngineOptions
from services.price.engine.position import Position, PositionFile
from services.price.engine.segments import locked, open_segment, segments
from services.price.engine.take_over import position_of
from services.runtime.errors import StartRefused
from services.runtime.session.announcement import HandOver, LogReport, SinkAnnouncement, SinkPosition

STANDS = Position(epoch="e", sequence=500, index_bytes=0, partition=3, partitions=4, kernel_state=b"state")
"""Where the sink stands, as it announced."""


def write(directory: Path, sequence: int, *, epoch: str = "e", records: int = 10) -> None:
    """Make a directory whose logs end so."""
    (directory / ".midstream").mkdir(parents=True)
    file = PositionFile(directory / ".midstream" / "position", FileSystem())
    file.commit(replace(STANDS, epoch=epoch, sequence=sequence, index_bytes=16 * records))
    file.close()


def chosen(base: Path, begin: Position | None = STANDS) -> str:
    segment = open_segment(base, begin)
    segment.lock.release()
    assert segment.begin == begin
    return segment.directory.name


def test_the_first_logs_of_a_machine_are_where_they_always_were(tmp_path: Path) -> None:
    assert chosen(tmp_path / "out" / "p3") == "p3"
    assert chosen(tmp_path / "other" / "p3", None) == "p3"


@pytest.mark.parametrize("sequence", [pytest.param(500, id="there"), pytest.param(501, id="behind it")])
def test_logs_that_go_on_are_continued(tmp_path: Path, sequence: int) -> None:
    write(tmp_path / "p3", 400)
    write(tmp_path / "p3.1", sequence)
    assert chosen(tmp_path / "p3") == "p3.1"


@pytest.mark.parametrize(
    ("sequence", "epoch"), [pytest.param(499, "e", id="older"), pytest.param(900, "other", id="of another epoch")]
)
def test_a_new_segment_begins_beside_those_that_do_not(tmp_path: Path, sequence: int, epoch: str) -> None:
    write(tmp_path / "p3", 400)
    write(tmp_path / "p3.9", sequence, epoch=epoch)
    write(tmp_path / "p3.10", 450)
    (tmp_path / "p3.x").mkdir()
    write(tmp_path / "p31", 500)

    assert chosen(tmp_path / "p3") == "p3.11"
    # Nothing was written to it.
    assert chosen(tmp_path / "p3") == "p3.11"
    assert [path.name for path in segments(tmp_path / "p3")] == ["p3", "p3.9", "p3.10", "p3.11"]


def test_what_somebody_writes_to_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "p3", 500)
    lock = locked(tmp_path / "p3")
    assert lock is not None

    assert chosen(tmp_path / "p3") == "p3.1"
    lock.release()


def test_where_nothing_is_announced_the_newest_logs_say_where_the_sink_stands(tmp_path: Path) -> None:
    write(tmp_path / "p3", 400)
    write(tmp_path / "p3.1", 450)
    assert chosen(tmp_path / "p3", None) == "p3.1"


OPTIONS = EngineOptions(redis_url="redis://none", session="s", out=Path("out/p3"), partition=3, partitions=4)
SAID = SinkAnnouncement(
    SinkPosition(name="price", epoch="e", sequence=500, live_sequence=7, cursor=b"cursor", run_id="r"),
    LogReport(proofs_every=65_536, proofs=("aa", "bb")),
    hand_over=HandOver(gap_next_sequence=501, kernel_state=b"state"),
)


def test_an_announcement_holds_everything_that_another_machine_goes_on_with() -> None:
    position = position_of(OPTIONS, SAID.encode().encode())

    assert position is not None
    assert (position.epoch, position.sequence, position.live_sequence) == ("e", 500, 7)
    assert (position.gap_next_sequence, position.cursor, position.kernel_state) == (501, b"cursor", b"state")
    assert (position.proofs.every, position.proofs.digests) == (65_536, ("aa", "bb"))
    assert (position.partition, position.partitions) == (3, 4)
    assert position_of(OPTIONS, None) is None
    assert position_of(OPTIONS, replace(SAID, position=replace(SAID.position, epoch="")).encode().encode()) is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (replace(SAID, hand_over=None).encode(), "and not what another needs to go on: an earlier release"),
        ('{"version": 9}', "nobody knows where partition 3 goes on"),
        ("{", "nobody knows where partition 3 goes on"),
    ],
    ids=["without", "newer", "broken"],
)
def test_an_announcement_that_does_not_say_it_is_refused(said: str, reason: str) -> None:
    with pytest.raises(StartRefused, match=reason):
        position_of(OPTIONS, said.encode())


def test_the_announcement_of_one_partition_has_no_more_than_it_had() -> None:
    assert not {"kernel_state", "gap_next_sequence"} & set(replace(SAID, hand_over=None).encode().split('"'))
