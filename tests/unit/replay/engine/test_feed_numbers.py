"""Joins by what the source itself numbers its records with, against what a source, its recorder and a subscriber really had."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.frame import MARKER_GAP, MARKER_SEAM
from services.runtime.session.hand_over import HandOverKind
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage

BASE_NS, MS = 1_759_449_600_000_000_000, 1_000_000


@dataclass(frozen=True)
class Record:
    """One record of a source: two may look the same, and then only their numbers tell them apart."""

    ticker: str
    number: int
    price: float
    time_ns: int
    sent_ns: int


@dataclass(frozen=True)
class Script:
    """What a source sent, of which the first `recorded` are in a recording, and who subscribed got all from `subscribed` on."""

    records: list[Record]
    recorded: int
    subscribed: int
    is_timed: bool
    """Whether the source gives event times: otherwise each side has its own time of receipt."""

    def row(self, record: Record, delay_ns: int) -> Row:
        arrival_ns = record.sent_ns + delay_ns
        return Row(
            arrival_ns,
            record.price,
            ticker=record.ticker,
            event_time_ns=record.time_ns if self.is_timed else arrival_ns,
            number=record.number,
        )


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    is_timed = draw(st.booleans())
    numbers = {"A": 0, "B": 0}
    records: list[Record] = []
    time_ns, run = BASE_NS, 0
    for index in range(draw(st.integers(2, 20))):
        if draw(st.integers(0, 9)) == 0:
            # The source was restarted, and its numbers begin again. Where nothing else tells, the market has moved on.
            numbers, run, time_ns = {"A": 0, "B": 0}, run + 1, time_ns + MS
        ticker = draw(st.sampled_from("AB"))
        numbers[ticker] += draw(st.integers(1, 3))
        time_ns += draw(st.sampled_from([0, MS]))
        price = draw(st.sampled_from([1.0, 2.0])) + (0.0 if is_timed else 10.0 * run)
        records.append(Record(ticker, numbers[ticker], price, time_ns, BASE_NS + index * MS))
    recorded = draw(st.integers(1, len(records) - 1))
    return Script(records, recorded, draw(st.integers(0, recorded - 1)), is_timed)


def join(script: Script) -> FakeQueue:
    """Play a join of a recorder's rows and a subscriber's."""
    feed = FakeFeed()
    feed.put(*(script.row(record, 7 * MS + 1) for record in script.records[script.subscribed :]))
    history = [script.row(record, 3 * MS + 1) for record in script.records[: script.recorded]]
    return Stage(history, feed=feed, hand_over=HandOverKind.JOIN).play()


@settings(max_examples=150, deadline=None, print_blob=True)
@given(script=scripts())
def test_each_record_comes_once_however_alike_records_are(script: Script) -> None:
    queue = join(script)

    published = [(tick[1], tick[4]) for frame in queue.frames() for tick in frame.ticks()]
    assert published == [(record.ticker, record.price) for record in script.records]
    [seam] = [marker for marker in queue.markers() if marker.kind == MARKER_SEAM]
    assert seam.overlap_removed == script.recorded - script.subscribed
    assert seam.gap_ns == 0
    assert not [marker for marker in queue.markers() if marker.kind == MARKER_GAP]


def test_a_numbered_record_is_left_out_as_often_as_it_comes_and_late_as_well() -> None:
    records = [Record("A", number, float(number), BASE_NS, BASE_NS + number * MS) for number in range(1, 6)]
    script, feed = Script(records, 3, 1, is_timed=False), FakeFeed()
    again = [script.row(records[index], 9 * MS) for index in (1, 2, 2, 3)]
    feed.put(*again)
    stage = Stage([script.row(record, 0) for record in records[:3]], feed=feed, hand_over=HandOverKind.JOIN)
    stage.at(5.0, lambda: feed.put(*(script.row(records[index], 20 * MS) for index in (2, 4))))

    queue = stage.play()

    assert queue.prices() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert stage.report.hand_over.overlap_removed == 4


def test_what_a_recorder_missed_and_the_feed_has_comes_once() -> None:
    records = [Record("A", number, float(number), BASE_NS, BASE_NS + number * MS) for number in range(1, 6)]
    script, feed = Script(records, 0, 0, is_timed=False), FakeFeed()
    feed.put(*(script.row(record, 9 * MS) for record in records[1:]))
    history = [script.row(records[index], 0) for index in (0, 1, 3)]

    queue = Stage(history, feed=feed, hand_over=HandOverKind.JOIN).play()

    assert queue.prices() == [1.0, 2.0, 4.0, 3.0, 5.0]
