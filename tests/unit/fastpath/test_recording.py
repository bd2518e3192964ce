"""Records to rows: whatever the chunks, whatever stands in them."""

from __future__ import annotations

import base64
import json
import random

import pytest

from fastpath import recording
from fastpath.columns import BEFORE_EVERYTHING, Block, RejectedRow, Tickers, TickRow
from fastpath.live import decode_live_frame
from fastpath.recording import RecordingDecoder
from fastpath.rules import UnsortedSource

START_NS = 1_759_449_600_000_000_000
QUOTE = {
    "timestamp": "2025-10-02 23:59:57.290000",
    "ticker": "A",
    "ask_amount": 1,
    "ask_price": 2.5,
    "bid_price": 0.1,
    "bid_amount": None,
}


def quote(ticker: str = "A", times: int = 1) -> bytes:
    return json.dumps([QUOTE | {"ticker": ticker}] * times).encode()


def frame(receive_ns: int, number: int, payload: bytes) -> bytes:
    if b"\n" in payload:
        return b"B %d %d %s\n" % (receive_ns, number, base64.b64encode(payload))
    return b"F %d %d %s\n" % (receive_ns, number, payload)


def decoder(tickers: Tickers, **options: int) -> RecordingDecoder:
    return RecordingDecoder(tickers, source_rank=2, offset=0, line=1, **options)  # type: ignore[arg-type]


def rows_of(text: bytes, *, chunk: int = 1 << 20, row_limit: int = 1000) -> list[TickRow | RejectedRow]:
    """Feed in chunks as a reader does: what was not used comes again, with more behind it."""
    tickers = Tickers()
    block, decode = Block(tickers), decoder(tickers)
    begin, size = 0, chunk
    while begin < len(text):
        piece = text[begin : begin + size]
        used = decode.feed(piece, block, row_limit=row_limit, final=begin + size >= len(text))
        if not used and begin + size >= len(text):
            break
        begin += used
    assert decode.offset + decode.held_bytes == begin
    return block.to_rows()


def by_hand(frames: list[tuple[int, int, bytes]]) -> list[TickRow | RejectedRow]:
    """What the live kernel makes of the frames, numbered row by row."""
    block = Block(Tickers())
    for receive_ns, number, payload in frames:
        decode_live_frame(payload, block, receive_time_ns=receive_ns, source_rank=2, frame_number=number)
    return [((key[0], key[1], at), *rest) for at, (key, *rest) in enumerate(block.to_rows(), 1)]  # type: ignore[misc]


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("row_limit", [1, 1000])
def test_rows_are_those_of_the_live_kernel_whatever_the_chunks(chunk: int, row_limit: int) -> None:
    random_ = random.Random(chunk + row_limit)
    frames = [
        (
            START_NS + at // 3,
            at + 1,
            random_.choice([quote("B", 3), quote("Ω"), b"{\n}", b"", b"no json", b"[]", quote(" ")]),
        )
        for at in range(60)
    ]
    text = b"".join(frame(*each) for each in frames)

    found, expected = rows_of(text, chunk=chunk, row_limit=row_limit), by_hand(frames)

    assert repr(found) == repr(expected)  # a NaN equals nothing


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"F",
        b"F 1",
        b"F 1 2",
        b"F x 2 {}",
        b"F 1 -2 {}",
        b"F 99999999999999999999 2 {}",
        b"G 1 2 {}",
        b"F1 2 {}",
        b"M 1",
        b"M 1 {",
        b"M 1 []",
        b'M 1 {"reason": "no kind"}',
        b'M 1 {"kind": "gap", "lost_frames": "many"}',
        b"B 1 2 not base64!",
        b"\0" * 100,
    ],
    ids=repr,
)
def test_a_line_that_is_no_record_is_one_rejection_and_the_next_one_counts(line: bytes) -> None:
    text = frame(START_NS, 1, quote()) + line + b"\n" + frame(START_NS + 1, 3, quote())

    before, rejected, after = rows_of(text)

    assert len(rejected) == 3
    assert "record" in rejected[1]
    assert rejected[2] == line[:1024]
    assert [row[0] for row in (before, rejected, after)] == [(START_NS, 2, 1), (START_NS, 2, 2), (START_NS + 1, 2, 3)]


def test_what_was_still_being_written_is_no_row() -> None:
    text = frame(START_NS, 1, quote()) + frame(START_NS, 2, quote())

    assert [len(rows_of(text[:end])) for end in (len(text), len(text) - 1, len(text) // 2 + 1)] == [2, 1, 1]


def test_a_record_that_is_too_long_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "RECORD_BYTES_MAX", 1000)
    text = frame(START_NS, 1, b"x" * 5000) + frame(START_NS, 2, quote())

    rejected, row = rows_of(text, chunk=300)

    assert rejected[1] == "the record is longer than 1,000 bytes"
    assert len(row) == 7


def test_a_frame_that_goes_back_is_refused_and_met_again() -> None:
    tickers = Tickers()
    block, decode = Block(tickers), decoder(tickers)
    first, second = frame(START_NS, 1, quote()), frame(START_NS - 1, 2, b"no json")

    for _ in range(2):
        with pytest.raises(UnsortedSource, match="line 2: arrival time"):
            decode.feed((first + second)[decode.offset :], block, row_limit=10)

    assert (len(block), decode.offset, decode.line) == (1, len(first), 2)


def test_markers_are_counted_and_are_no_rows() -> None:
    tickers = Tickers()
    block, decode = Block(tickers), decoder(tickers)
    kinds = ["started", "disconnected", "reconnected", "gap", "gap", "stopped"]
    lost = [None, None, None, 7, None, None]
    text = b"".join(
        b"M %d %s\n" % (START_NS, json.dumps({"kind": kind, "lost_frames": frames}).encode())
        for kind, frames in zip(kinds, lost, strict=True)
    )

    assert decode.feed(text, block, row_limit=1) == len(text)
    assert (len(block), decode.line, decode.bound_ns) == (0, 1, BEFORE_EVERYTHING)
    assert (decode.disconnects, decode.gaps, decode.lost_frames) == (1, 2, 7)


def test_an_event_centuries_before_its_receipt_stays_a_tick_as_it_is_live() -> None:
    payload = json.dumps(QUOTE | {"timestamp": "1690-01-01 00:00:00"}).encode()

    [row] = rows_of(frame(START_NS, 1, payload))

    assert len(row) == 7
    assert row[0][0] == START_NS
