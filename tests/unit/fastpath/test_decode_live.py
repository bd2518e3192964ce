"""Live frames: one object or an array of objects; whatever else comes is a rejection and never an exception."""

import json
import math
import random
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from fastpath.live import decode_live_frame

QUICK = pytest.mark.quick
EVENT_NS = 1_759_449_597_290_000_000
GOOD: dict[str, Any] = {
    "index": 29999,
    "timestamp": "2025-10-02 23:59:57.290000",
    "ticker": "SOL-USDT-SWAP@BINANCE",
    "ask_amount": 377.85,
    "ask_price": 234.61,
    "bid_price": 234.6,
    "bid_amount": 1356.54,
}
GOOD_ROW = ((1000, 2, 7), EVENT_NS, "SOL-USDT-SWAP@BINANCE", 234.6, 1356.54, 234.61, 377.85)


def decode(payload: Any, only_tickers: frozenset[str] | None = None) -> tuple[list[Any], int]:
    """Rows of one frame, and how many the filter left out."""
    block = Block(Tickers())
    skipped = decode_live_frame(
        payload, block, receive_time_ns=1000, source_rank=2, frame_number=7, only_tickers=only_tickers
    )
    for row in block.to_rows():
        assert row[0] == (1000, 2, 7)
        assert len(row) > 3 or len(row[2]) <= 1024
    return list(block.to_rows()), skipped


def reason_of(**changes: Any) -> str:
    rows, _ = decode(json.dumps({**GOOD, **changes}))
    assert len(rows) == 1
    return str(rows[0][1])


@QUICK
@pytest.mark.parametrize("kind", [str, bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_an_object_is_a_row(kind: type) -> None:
    text = json.dumps(GOOD)

    rows, skipped = decode(text if kind is str else kind(text.encode()))

    assert (rows, skipped) == ([GOOD_ROW], 0)


@QUICK
def test_an_array_is_as_many_rows_and_one_bad_element_spoils_no_other() -> None:
    rows, _ = decode(json.dumps([GOOD, {**GOOD, "bid_price": "x"}, 5, GOOD]))

    assert rows[0] == rows[3] == GOOD_ROW
    assert rows[1][1] == "`bid_price` is not a number: 'x'"
    assert json.loads(rows[1][2])["bid_price"] == "x"
    assert rows[2][1:] == ("the element is not an object: '5'", b"5")
    assert decode("[]") == ([], 0)


@QUICK
@pytest.mark.parametrize(
    "timestamp", ["2025-10-02T23:59:57.29Z", "2025-10-03 01:59:57.29+02:00", "1759449597290", 1_759_449_597_290_000]
)
def test_every_form_of_a_time_is_understood(timestamp: str | int) -> None:
    assert decode(json.dumps({**GOOD, "timestamp": timestamp}))[0] == [GOOD_ROW]


@QUICK
def test_numbers_may_be_integers_strings_or_missing() -> None:
    rows, _ = decode(json.dumps({**GOOD, "bid_price": 2, "bid_amount": "1e3", "ask_price": None, "ask_amount": ""}))
    assert rows[0][3:5] == (2.0, 1000.0)
    assert math.isnan(rows[0][5])
    assert math.isnan(rows[0][6])
    assert repr(decode(json.dumps({**GOOD, "bid_price": "nan", "ask_amount": None}))[0][0][3]) == "nan"


def test_integers_of_any_size_are_rounded_once() -> None:
    for digits in (15, 17, 18, 19, 20, 25, 300):
        text = "9007199254740993" + "7" * (digits - 16) if digits > 15 else "9" * digits
        frame = json.dumps(GOOD).replace("234.6,", f"{text},")
        assert decode(frame)[0][0][3] == float(text)


@QUICK
@pytest.mark.parametrize("key", ["timestamp", "ticker", "bid_price", "bid_amount", "ask_price", "ask_amount"])
def test_a_missing_key_is_named(key: str) -> None:
    payload = json.dumps({name: value for name, value in GOOD.items() if name != key})

    assert decode(payload)[0] == [((1000, 2, 7), f"`{key}` is missing", payload.encode())]


@QUICK
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bid_price": True}, "`bid_price` is not a number: 'true'"),
        ({"bid_price": [1]}, "`bid_price` is not a number: '[1]'"),
        ({"ask_amount": {"a": 1}}, "`ask_amount` is not a number: '{\"a\":1}'"),
        ({"bid_price": "1_000"}, "`bid_price` is not a number: '1_000'"),
        ({"bid_price": "inf"}, "`bid_price` is not a number: 'inf'"),
        ({"bid_price": "1e999"}, "`bid_price` is too large: '1e999'"),
        ({"bid_amount": -1}, "`bid_amount` is negative: '-1'"),
        ({"bid_amount": "-0.5"}, "`bid_amount` is negative: '-0.5'"),
        ({"timestamp": "2025-13-01 00:00:00"}, "timestamp has an invalid month"),
        ({"timestamp": None}, "timestamp is empty"),
        ({"timestamp": 1.5}, "timestamp is not a time: '1.5'"),
        ({"timestamp": False}, "timestamp is not a time: 'false'"),
        ({"timestamp": 5}, "timestamp is no epoch time in s, ms, us or ns: '5'"),
        ({"timestamp": -1}, "timestamp is not a time: '-1'"),
        ({"ticker": ""}, "`ticker` is empty"),
        ({"ticker": "  "}, "`ticker` is empty"),
        ({"ticker": None}, "`ticker` is not a string: 'null'"),
        ({"ticker": 5}, "`ticker` is not a string: '5'"),
        ({"ticker": "A\0B"}, "`ticker` holds a NUL byte: 'A\0B'"),
        ({"ticker": "A" * 257}, f"`ticker` is longer than 256 bytes: '{'A' * 40}'"),
        ({"ticker": "ä" * 129}, f"`ticker` is longer than 256 bytes: '{'ä' * 40}'"),
        ({"ticker": "A" * 500_000}, f"`ticker` is longer than 256 bytes: '{'A' * 40}'"),
        ({"bid_price": "9" * 90 + "x"}, f"`bid_price` is not a number: '{'9' * 40}'"),
    ],
)
def test_an_unusable_object_is_a_rejection_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(**changes) == reason


@QUICK
@pytest.mark.parametrize(
    "payload",
    [
        b"", b" ", b"\x00\xff\xfe", b"{", b'{"a":', b'{"a":1}x', b"nan", b'{"bid_price":+Infinity}', b'{"bid_price":-NaN}',
        b'{"a":"\xff"}', b"[" * 5000, b'{"a":' * 5000, b"\xef\xbb\xbf{}", '{"a":"\ud800"}', '"\\ud800"', "\0",
    ],
)  # fmt: skip
def test_a_frame_that_is_no_json_is_one_rejection(payload: bytes | str) -> None:
    rows, skipped = decode(payload)

    assert [row[1] for row in rows] == ["the frame is not valid JSON"]
    assert skipped == 0


@pytest.mark.parametrize("payload", ["5", "null", '"text"', "true", "1.5"])
def test_a_frame_of_something_else_is_one_rejection(payload: str) -> None:
    assert decode(payload)[0] == [
        ((1000, 2, 7), "the frame is neither an object nor an array of objects", payload.encode())
    ]


def test_deep_nesting_and_endless_integers_are_rejections() -> None:
    deep = json.dumps(GOOD)[:-1].replace("234.6,", "[" * 900 + "]" * 900 + ",") + "}"
    for payload in (deep, f"[{deep}]", json.dumps(GOOD).replace("234.6,", "9" * 5000 + ","), "[" * 300 + "]" * 300):
        rows, _ = decode(payload)
        assert len(rows) == 1
        assert len(rows[0]) == 3


def test_extra_keys_are_tolerated_and_the_raw_text_is_cut() -> None:
    assert decode(json.dumps({**GOOD, "extra": {"deep": [1, 2]}}))[0] == [GOOD_ROW]
    rows, _ = decode(json.dumps({"extra": "é" * 5000}, ensure_ascii=False))
    assert len(rows[0][2]) == 1024


@QUICK
def test_other_tickers_are_left_out_and_counted_but_rejections_are_not() -> None:
    other = {**GOOD, "ticker": "B"}

    rows, skipped = decode(json.dumps([GOOD, other, {**other, "bid_price": "x"}, other]), frozenset({GOOD["ticker"]}))

    assert rows[0] == GOOD_ROW
    assert [len(row) for row in rows] == [7, 3]
    assert skipped == 2


def test_random_damage_never_raises() -> None:
    chooser = random.Random(11)
    whole = json.dumps([GOOD, GOOD]).encode()
    for _ in range(5000):
        damaged = bytearray(whole)
        for _ in range(chooser.randrange(1, 4)):
            at = chooser.randrange(len(damaged))
            match chooser.randrange(3):
                case 0:
                    damaged[at] = chooser.randrange(256)
                case 1:
                    del damaged[at : at + chooser.randrange(30)]
                    damaged = damaged or bytearray(b"x")
                case _:
                    damaged[at:at] = chooser.choice(
                        [b"null", b"-", b"e5", b'"', b"}", b"[", b"1e999", b"\\u0000", b"true"]
                    )
        rows, _ = decode(bytes(damaged))
        assert all(len(row) in (3, 7) for row in rows)


@QUICK
@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("column", ["bid_price", "bid_amount", "ask_price", "ask_amount"])
def test_numbers_that_json_does_not_have_are_missing_as_in_a_file(constant: str, column: str) -> None:
    text = json.dumps({**GOOD, column: 0}).replace(f'"{column}": 0', f'"{column}": {constant}')
    index = 3 + ["bid_price", "bid_amount", "ask_price", "ask_amount"].index(column)

    for payload in (text, text.encode()):
        (row,), _ = decode(payload)
        assert math.isnan(row[index])
        assert row[:index] + row[index + 1 :] == GOOD_ROW[:index] + GOOD_ROW[index + 1 :]

    rows, _ = decode(f"[{json.dumps(GOOD)}, {text}, {json.dumps(GOOD)}]")
    assert rows[0] == rows[2] == GOOD_ROW
    assert math.isnan(rows[1][index])


@QUICK
def test_constants_inside_of_strings_stay_as_they_are() -> None:
    named = {**GOOD, "ticker": 'NaN\\"Infinity', "ask_price": math.nan}

    (row,), _ = decode(json.dumps(named))

    assert row[2] == 'NaN\\"Infinity'


@QUICK
@pytest.mark.parametrize("constant", ["NaN", "-Infinity"])
@pytest.mark.parametrize("column", ["timestamp", "ticker"])
def test_a_time_or_a_name_that_is_no_number_at_all_is_a_rejection(constant: str, column: str) -> None:
    bad = json.dumps({**GOOD, column: 0}).replace(f'"{column}": 0', f'"{column}": {constant}')

    rows, _ = decode(f"[{json.dumps(GOOD)}, {bad}]")

    assert rows[0] == GOOD_ROW
    assert column in rows[1][1]


@pytest.mark.parametrize(
    "bad",
    ["{", '{"a":}', "nan", "{]", '{"ticker":"\\ud800"}', "[1,2", "", "-", "5 6", '{"a":"', "1" * 5000],
)
def test_an_element_that_is_no_json_takes_no_other_with_it(bad: str) -> None:
    good = json.dumps(GOOD)
    closes = not bad.startswith(("{", "[", '{"a":"')) or bad.endswith("}")

    rows, _ = decode(f"[{good}, {bad}, {good}]" if closes else f"[{good}, {good}, {bad}]")

    assert [row for row in rows if len(row) == 7] == [GOOD_ROW] * 2
    assert any(len(row) == 3 for row in rows)


def test_an_array_that_is_cut_gives_what_is_whole_and_says_that_it_is_cut() -> None:
    good = json.dumps(GOOD)

    rows, _ = decode(f"[{good}, {good}")

    assert rows[:2] == [GOOD_ROW] * 2
    assert rows[2][1] == "the frame does not end where its array does"
    assert decode(f"[{good}] x")[0][1][1] == "the frame does not end where its array does"


@pytest.mark.parametrize("ticker", ["A" * 256, "ä" * 128], ids=["ascii", "two bytes each"])
def test_the_longest_name_is_one(ticker: str) -> None:
    rows, _ = decode(json.dumps({**GOOD, "ticker": f" {ticker} "}))

    assert rows[0][2] == ticker


def test_names_beyond_those_of_a_session_are_rejections_and_the_known_ones_go_on() -> None:
    tickers = Tickers(live_names_max=3)
    block = Block(tickers)
    tickers.intern("RECORDED")

    def feed(*names: str) -> int:
        content = json.dumps([{**GOOD, "ticker": name} for name in names])
        wanted = frozenset(names) - {"LEFT-OUT"}
        return decode_live_frame(content, block, receive_time_ns=1, source_rank=0, frame_number=1, only_tickers=wanted)

    skipped = feed("A", "B", "C", "A", "RECORDED", "LEFT-OUT")

    assert skipped == 1
    assert [row[2] if len(row) > 3 else row[1] for row in block.to_rows()] == [
        "A", "B", "`ticker` is new, and the session has 3 already: 'C'", "A", "RECORDED",
    ]  # fmt: skip
    assert len(tickers) == 3


def test_a_flood_of_names_leaves_the_table_as_it_is() -> None:
    tickers = Tickers(live_names_max=1_000)
    block = Block(tickers)
    rejected = 0

    for number in range(200):
        names = [f"N{number}-{each}" for each in range(500)] + [f"{number}" * 100_000]
        decode_live_frame(
            json.dumps([{**GOOD, "ticker": name} for name in names]),
            block, receive_time_ns=1, source_rank=0, frame_number=number,
        )  # fmt: skip
        rejected += sum(len(row) == 3 for row in block.to_rows())
        block.clear()

    assert len(tickers) == 1_000
    assert rejected == 200 * 501 - 1_000
