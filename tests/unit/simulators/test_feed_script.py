"""Recorded live files as messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastpath.columns import Block, Tickers
from fastpath.live import decode_live_frame
from fastpath.values import parse_timestamp
from services.runtime.errors import StartRefused
from services.simulators.feed import DEFAULT_FILE, parse_faults
from services.simulators.feed_script import join_messages, load_script, read_script, read_time, spell_time

HEADER = ",index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount"


def test_a_row_becomes_the_object_of_the_live_layout() -> None:
    (row,) = read_script(
        [HEADER, '0,29999,2025-10-02 23:59:57.290000,"SOL-USDT-SWAP@BINANCE",993.0,3.9e-08,1.1308,36'], name="x"
    )

    assert json.loads(row.message()) == {
        "index": 29999,
        "timestamp": "2025-10-02 23:59:57.290000",
        "ticker": "SOL-USDT-SWAP@BINANCE",
        "ask_amount": 993.0,
        "ask_price": 3.9e-08,
        "bid_price": 1.1308,
        "bid_amount": 36,
    }
    assert b'"ask_price":3.9e-08' in row.message()


def test_offsets_follow_the_timestamps_and_never_go_back() -> None:
    rows = read_script(
        [
            HEADER,
            "0,1,2025-01-01 00:00:00.5,A,1,1,1,1",
            "1,2,2025-01-01 00:00:00.7,A,1,1,1,1",
            "2,3,2025-01-01 00:00:00.6,A,1,1,1,1",
            "3,4,rubbish,A,1,1,1,1",
            "4,5,2025-01-01 00:00:01.5,A,1,1,1,1",
        ],
        name="x",
    )

    assert [row.offset_ns for row in rows] == [0, 200_000_000, 200_000_000, 200_000_000, 1_000_000_000]


def test_missing_values_are_null_and_odd_ones_stay_text() -> None:
    (row,) = read_script([HEADER, "0,1,2025-01-01 00:00:00,A,,nan,0x10,1e5"], name="x")

    fields = json.loads(row.message())
    assert (fields["ask_amount"], fields["ask_price"], fields["bid_price"], fields["bid_amount"]) == (
        None,
        None,
        "0x10",
        1e5,
    )


def test_another_time_and_arrays_are_still_read_by_the_decoder() -> None:
    (row,) = read_script([HEADER, "0,1,2025-01-01 00:00:00,A,1,2,1,1"], name="x")
    stamp = spell_time(1_760_000_000_123_456_789)
    block = Block(Tickers())

    decode_live_frame(
        join_messages([row.message(stamp), row.message()]), block, receive_time_ns=5, source_rank=0, frame_number=1
    )

    assert stamp == b'"2025-10-09 08:53:20.123456"'
    assert [tick[1] for tick in block.to_rows()] == [
        1_760_000_000_123_456_000,
        parse_timestamp("2025-01-01 00:00:00"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-02 23:59:57.290000",
        "2025-10-02T23:59:57",
        "2025-10-02 23:59:57.1",
        "2024-02-29 00:00:00.123456789",
        "2025-10-02 23:59:57Z",
        "2025-10-02 23:59:57.5+02:00",
        " 1969-12-31 23:59:59.25 ",
        "1759449597",
        "1759449597290",
        "1759449597290123",
        "1759449597290123456",
    ],
)
def test_times_are_read_as_the_decoder_reads_them(text: str) -> None:
    assert read_time(text) == parse_timestamp(text)


@pytest.mark.parametrize(
    "text", ["", "soon", "2025-10-02", "2025-02-30 00:00:00", "2025-10-02 23:59:57.1234567891", "17"]
)
def test_what_is_no_time_is_sent_with_the_row_before(text: str) -> None:
    lines = [HEADER, "0,1,2025-01-01 00:00:00,A,1,2,1,1", "0,2,2025-01-01 00:00:03,A,1,2,1,1", f"0,3,{text},A,1,2,1,1"]

    assert [row.offset_ns for row in read_script(lines, name="x")] == [0, 3 * 10**9, 3 * 10**9]


def test_a_file_without_the_columns_is_refused_by_name() -> None:
    with pytest.raises(StartRefused, match="has no column ticker, ask_amount"):
        read_script(["index,timestamp,ask_price,bid_price,bid_amount"], name="x.csv")


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="MIDSTREAM_SIM_FEED_FILE"):
        load_script(tmp_path / "none.csv")


@pytest.mark.quick
def test_the_sample_is_read_completely() -> None:
    rows = load_script(DEFAULT_FILE)

    assert len(rows) == 3000
    assert all(json.loads(row.message())["ticker"] for row in rows)


def test_a_fault_plan_is_read_and_checked() -> None:
    assert parse_faults("drop_after=10, garbage_every=3").drop_after == 10
    with pytest.raises(ValueError, match="drop_after"):
        parse_faults("explode=1")
