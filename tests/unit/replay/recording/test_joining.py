"""A recording that is still written, joined with the feed that it records."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import MARKER_SEAM, MODE_LIVE
from fastpath.records import Cursor
from services.replay.engine.exchange_feed import spell_time
from services.replay.recording.records import Head, frame_record, note_record
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.replay.sources.source_numbers import KnownNumbers, Numbered, recorded_numbers
from services.runtime.session.hand_over import HandOverKind
from tests.support.engine import FakeFeed, Row, Stage

BASE_NS, MS = 1_759_449_600_000_000_000, 1_000_000
HEAD = Head("ws://feed.example", 1, 0, 0).line()


def row(number: int, *, received_ns: int) -> Row:
    """A quote of a source that gives no time: it says when it was received."""
    return Row(BASE_NS + number * MS + received_ns, price=float(number % 2 + 1), number=number)


def records(*numbers: int) -> bytes:
    rows = [row(number, received_ns=1) for number in numbers]
    return b"".join(frame_record(one.arrival_time_ns, one.number or 0, one.payload()) for one in rows)


def known(path: Path) -> list[Numbered]:
    with path.open("rb") as file:
        return list(recorded_numbers(file.fileno(), os.fstat(file.fileno()).st_size))


def test_a_recording_that_grows_is_joined_by_the_numbers_of_a_source_without_times(tmp_path: Path) -> None:
    path, feed = tmp_path / "day.rec", FakeFeed()
    path.write_bytes(HEAD + records(1, 2, 3) + note_record(BASE_NS, {"kind": "gap"}) + records(4)[:20])

    def open_files(resume: Cursor | None, *, growing: bool = False) -> HistoricalSource:
        source = HistoricalSource([str(path)], HistoricalOptions(), resume=resume, growing=growing)
        source.open()
        return source

    def grow() -> None:
        with path.open("ab") as file:
            file.write(records(4)[20:] + records(5, 6) + note_record(BASE_NS, {"kind": "stopped"}))

    stage = Stage(open_historical=open_files, feed=feed, hand_over=HandOverKind.JOIN)
    feed.put(*(row(number, received_ns=4 * MS) for number in (5, 6, 7, 8)))
    stage.at(3.0, grow)

    queue = stage.play()

    assert [int(tick[4]) for frame in queue.frames() for tick in frame.ticks()] == [2, 1, 2, 1, 2, 1, 2, 1]
    assert queue.prices(MODE_LIVE) == [2.0, 1.0]
    [seam] = [marker for marker in queue.markers() if marker.kind == MARKER_SEAM]
    assert (seam.overlap_removed, seam.gap_ns) == (2, 0)


def test_numbers_are_read_from_whole_records_of_the_last_minute(tmp_path: Path) -> None:
    path = tmp_path / "day.rec"
    path.write_bytes(HEAD + records(1, 61_000, 61_002) + records(61_003)[:-1])

    assert [one.number for one in known(path)] == [61_002 - 2, 61_002]
    assert {one.event_time_ns for one in known(path)} == {None}


@pytest.mark.parametrize(
    "payload",
    [
        b"no json",
        b'{"id":7}',
        b'{"id":true,"ticker":"A"}',
        b'[[{"id":7}],7,null]',
        b'{"id":1e3,"timestamp":"2025-10-02 23:59:57","ticker":"A","ask_amount":1,"ask_price":1,"bid_price":1,"bid_amount":1}',
    ],
)
def test_frames_without_usable_numbers_have_none(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "day.rec"
    path.write_bytes(HEAD + frame_record(BASE_NS, 1, payload))

    assert known(path) == []


def test_each_object_of_an_array_and_of_a_frame_with_line_ends_has_its_number(tmp_path: Path) -> None:
    path, event = tmp_path / "day.rec", spell_time(BASE_NS - MS)
    quotes = ",\n".join(
        f'{{"id":{number},"timestamp":"{event}","ticker":"A","ask_amount":null,"ask_price":"2.5","bid_price":2,"bid_amount":1}}'
        for number in (7, 9)
    )
    path.write_bytes(HEAD + frame_record(BASE_NS, 1, f"[{quotes}]".encode()))

    assert known(path) == [Numbered("A", number, BASE_NS - MS, 2.0, 1.0, 2.5, None) for number in (7, 9)]


def test_nothing_is_known_of_other_files_and_of_numbers_below_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"index,timestamp\n")
    numbers = KnownNumbers(map(numbered, (5, 7)))

    assert known(path) == []
    assert [numbers.tells(numbered(number)) for number in (4, 5, 6, 8)] == [False, True, True, True]
    assert not numbers.tells(numbered(6)._replace(ticker="B"))


def numbered(number: int) -> Numbered:
    return Numbered("A", number, None, 1.0, 1.0, 2.0, 1.0)


def test_a_window_that_ends_leaves_numbers_out_of_account(tmp_path: Path) -> None:
    path = tmp_path / "day.rec"
    path.write_bytes(HEAD + records(1, 2))
    found = {}
    for end_ns in (None, BASE_NS + 2 * MS):
        source = HistoricalSource([str(path)], HistoricalOptions(end_time_ns=end_ns))
        source.open()
        source.poll(Block(Tickers()), 100)
        found[end_ns] = len(source.numbers())
        source.stop()

    assert list(found.values()) == [2, 0]
