"""Single numbers, times and latencies: the kernel against `float`, `datetime` and its twin."""

import math
import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastpath.values as kernel
import tests.reference.decode as twin
from tests.unit.fastpath.decode_support import (
    ASSIGNMENT,
    BAD_NUMBER_TEXTS,
    NUMBER_TEXTS,
    comparable,
    decode_with_kernel,
    random_time_text,
    same_float,
)

QUICK = pytest.mark.quick


def outcome(parse: Callable[[str], float], text: str) -> float | str:
    """The value, or the reason why there is none."""
    try:
        return parse(text)
    except (ValueError, twin.Unusable) as reason:
        return str(reason)


def assert_same_number(text: str) -> None:
    left, right = outcome(kernel.parse_number, text), outcome(twin.parse_number, text)
    assert type(left) is type(right), (text, left, right)
    assert left == right if isinstance(left, str) else same_float(left, float(right)), (text, left, right)


def in_a_file(texts: list[str]) -> list[float | str]:
    """The bid prices that a file gives for these texts: other code than for a single number."""
    lines = [f"0,2025-01-01 00:00:00,A,1,1,{text},1,0" for text in texts]
    rows = decode_with_kernel(ASSIGNMENT + b"\n" + "\n".join(lines).encode(), twin.Options(check_order=False)).rows
    return [row[3] if len(row) > 3 else str(row[1]) for row in rows]  # type: ignore[misc]


@QUICK
@pytest.mark.parametrize("text", [*NUMBER_TEXTS, *BAD_NUMBER_TEXTS, "NAN", "nAn", " nan "])
def test_a_number_reads_as_float_does_or_is_refused_as_the_grammar_says(text: str) -> None:
    assert_same_number(text)


@QUICK
@pytest.mark.parametrize(
    "position", [3, 4, 5, 6, 7], ids=["ask_amount", "ask_price", "bid_price", "bid_amount", "latency"]
)
@pytest.mark.parametrize("text", [text for text in (*NUMBER_TEXTS, *BAD_NUMBER_TEXTS) if "," not in text])
def test_a_number_in_the_midst_of_a_file_reads_as_the_twin_says(text: str, position: int) -> None:
    good = "0,2025-01-01 00:00:00,A,1,1,1,1,0"
    fields = good.split(",")
    fields[position] = text
    content = "\n".join([ASSIGNMENT.decode(), good, ",".join(fields), good, good, good]).encode()
    options = twin.Options(check_order=False)

    decoded = decode_with_kernel(content, options)

    assert comparable(decoded) == comparable(twin.decode_file(content, options))


@pytest.mark.parametrize(
    "text",
    [
        *("2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308", "1.7976931348623158e308"),
        *("1.7976931348623159e308", "0e999999999999", "1e-999999999999", "1e999999999999", "0." + "0" * 400 + "1e400"),
        *("1" + "0" * 400, "9007199254740992.5", "9007199254740993", "18446744073709551615", "18446744073709551616"),
        *("9999999999999999999999", "99999999999999999.99999", "000000000000000000000001.5", "0." + "9" * 700),
        *("1" * 20_000, "1" * 20_000 + "e-19999", "8.5e22", "8.5e-22", "-4.35e-400"),
    ],
)
def test_numbers_at_the_edges_of_float64_read_as_float_does(text: str) -> None:
    assert_same_number(text)
    if len(text) < 1000:
        from_file = in_a_file(["5", text])[1]
        assert isinstance(from_file, str) == math.isinf(float(text))
        assert isinstance(from_file, str) or same_float(from_file, float(text))


@QUICK
def test_random_decimals_read_as_float_does() -> None:
    chooser = random.Random(20251002)
    texts = []
    for _ in range(20_000):
        digits = "".join(
            chooser.choices("0123456789", k=chooser.choice([1, 3, 5, 7, 8, 9, 12, 15, 16, 17, 18, 19, 20, 23, 25]))
        )
        point = chooser.randrange(-1, len(digits) + 1)
        text = digits if point < 0 else f"{digits[:point]}.{digits[point:]}"
        texts.append(text + (f"e{chooser.randrange(-330, 310)}" if chooser.random() < 0.2 else ""))
    texts += [
        repr(struct.unpack("<d", chooser.randbytes(8))[0]).replace("inf", "1").replace("nan", "1")
        for _ in range(20_000)
    ]

    for text, read in zip(texts, in_a_file(texts), strict=True):
        expected = float(text)
        assert f"too large: '{text[:40]}'" in read if isinstance(read, str) else same_float(read, expected), (
            text,
            read,
        )
        assert isinstance(read, str) == math.isinf(expected)
        assert_same_number(text)


@given(st.text(alphabet="0123456789.eE+-_ naif", max_size=30))
def test_any_text_of_number_characters_reads_as_the_twin_says(text: str) -> None:
    assert_same_number(text)


@given(st.text(max_size=50))
def test_any_text_is_refused_or_read_as_the_twin_says(text: str) -> None:
    assert_same_number(text)
    assert outcome(kernel.parse_timestamp, text) == outcome(twin.parse_timestamp, text)
    assert outcome(kernel.parse_latency, text) == outcome(twin.parse_latency, text)


@QUICK
@pytest.mark.parametrize(
    ("text", "latency_ns"),
    [
        ("120", 120_000_000),
        ("24.435913010256233", 24_435_913),
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("0.0000025", 2),
        ("-3.5", -3_500_000),
        ("1e3", 1_000_000_000),
        ("3600000", 3_600_000_000_000),
        ("9000000000000", 9_000_000_000_000_000_000),
    ],
)
def test_a_latency_is_rounded_once_and_half_to_even(text: str, latency_ns: int) -> None:
    assert kernel.parse_latency(text) == latency_ns == twin.parse_latency(text)


@pytest.mark.parametrize("text", ["", " ", "nan", "9.3e12", "-1e300", "1_0", "5ms", "0x10"])
def test_an_unusable_latency_is_refused_with_its_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"`latency` is (empty|too large|not a number)"):
        kernel.parse_latency(text)
    assert outcome(kernel.parse_latency, text) == outcome(twin.parse_latency, text)


def test_random_latencies_round_as_the_twin_says() -> None:
    chooser = random.Random(7)
    for _ in range(20_000):
        text = repr(chooser.choice([1, 1e-6, 1e6, 1e9]) * chooser.uniform(-100, 1000))
        assert kernel.parse_latency(text) == twin.parse_latency(text), text


@QUICK
@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01 00:00:00", 0),
        ("2025-10-02 23:59:57.290000", 1_759_449_597_290_000_000),
        ("2025-10-02T23:59:57.29Z", 1_759_449_597_290_000_000),
        ("2025-10-02D23:59:57.290000001", 1_759_449_597_290_000_001),
        (" 2025-10-03 01:59:57.29+02:00 ", 1_759_449_597_290_000_000),
        ("2025-10-03 01:59:57.29+0200", 1_759_449_597_290_000_000),
        ("2025-10-02 18:59:57.29-05", 1_759_449_597_290_000_000),
        ("2024-02-29 00:00:00.000000001", 1_709_164_800_000_000_001),
        ("1678-01-01 00:00:00", -9_214_560_000_000_000_000),
        ("2261-12-31 23:59:59.999999999", 9_214_646_399_999_999_999),
        ("1588291201", 1_588_291_201_000_000_000),
        ("1588291201234", 1_588_291_201_234_000_000),
        ("1588291201234268", 1_588_291_201_234_268_000),
        ("1588291201234268001", 1_588_291_201_234_268_001),
    ],
)
def test_every_form_of_a_time_is_understood(text: str, time_ns: int) -> None:
    assert kernel.parse_timestamp(text) == time_ns == twin.parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "timestamp is empty"),
        ("yesterday", "timestamp is not a time: 'yesterday'"),
        ("2025-01-01", "timestamp is not a time"),
        ("2025-01-01 00:00", "timestamp is not a time"),
        ("2025-01-01 00:00:00.", "timestamp is not a time"),
        ("2025-01-01 00:00:00 Z", "timestamp is not a time"),
        ("2025-01-01t00:00:00", "timestamp is not a time"),
        ("2025-01-01 00:00:00+1", "timestamp is not a time"),
        ("2025-01-01 00:00:00+01:0", "timestamp is not a time"),
        ("\0" * 17 + "00", "timestamp is not a time"),
        ("-588291201", "timestamp is not a time"),
        ("2025-00-01 00:00:00", "timestamp has an invalid month"),
        ("2025-13-01 00:00:00", "timestamp has an invalid month"),
        ("2025-04-31 00:00:00", "timestamp has an invalid day"),
        ("2025-01-00 00:00:00", "timestamp has an invalid day"),
        ("2025-02-29 00:00:00", "timestamp has an invalid day"),
        ("1900-02-29 00:00:00", "timestamp has an invalid day"),
        ("2025-01-01 24:00:00", "timestamp has an invalid hour"),
        ("2025-01-01 00:60:00", "timestamp has an invalid minute"),
        ("2025-01-01 00:00:60", "timestamp has an invalid second"),
        ("2025-01-01 00:00:00.0000000001", "timestamp has more than 9 fraction digits"),
        ("2025-01-01 00:00:00+24", "timestamp has an invalid offset"),
        ("2025-01-01 00:00:00-00:60", "timestamp has an invalid offset"),
        ("1677-12-31 23:59:59", "timestamp is outside the years 1678 to 2261"),
        ("2262-01-01 00:00:00", "timestamp is outside the years 1678 to 2261"),
        ("2261-12-31 23:59:59-01", "timestamp is outside the years 1678 to 2261"),
        ("9214646400", "timestamp is outside the years 1678 to 2261"),
        ("9999999999999999999", "timestamp is outside the years 1678 to 2261"),
        ("12345678901", "timestamp is no epoch time in s, ms, us or ns: '12345678901'"),
        ("0588291201", "timestamp is no epoch time in s, ms, us or ns: '0588291201'"),
        ("5", "timestamp is no epoch time in s, ms, us or ns: '5'"),
        ("1" * 60, f"timestamp is no epoch time in s, ms, us or ns: '{'1' * 40}'"),
    ],
)
def test_an_unusable_time_is_refused_with_its_reason(text: str, reason: str) -> None:
    refused = outcome(kernel.parse_timestamp, text)

    assert isinstance(refused, str)
    assert refused.startswith(reason)
    assert refused == outcome(twin.parse_timestamp, text)


@QUICK
@pytest.mark.parametrize("text", ["2025-01-01 00:00:00.000200", "2025-01-01 00:00:00.200", "2025-01-01T00:00:00.0200Z"])
def test_a_plain_fraction_counts_microseconds_when_it_is_told_to(text: str) -> None:
    assert kernel.parse_timestamp(text, fraction_unit_us=True) == kernel.parse_timestamp("2025-01-01 00:00:00.000200")
    assert twin.parse_timestamp(text, fraction_unit_us=True) == kernel.parse_timestamp("2025-01-01 00:00:00.000200")


def test_a_fraction_of_seven_digits_counts_no_microseconds() -> None:
    with pytest.raises(ValueError, match="timestamp has more than 6 fraction digits"):
        kernel.parse_timestamp("2025-01-01 00:00:00.0002000", fraction_unit_us=True)


def test_every_day_from_1678_to_2261_has_its_number() -> None:
    day, epoch = datetime(1678, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
    while day.year < 2262:
        assert kernel.parse_timestamp(f"{day:%Y-%m-%d} 00:00:00") == (day - epoch).days * 86400 * 10**9, day
        day += timedelta(days=1)


@QUICK
@pytest.mark.parametrize("fraction_unit_us", [False, True])
def test_a_time_behind_one_of_the_same_minute_is_judged_as_strictly(fraction_unit_us: bool) -> None:
    seconds = [
        "00",
        "59",
        "60",
        "75",
        "99",
        "5",
        "5x",
        "x5",
        "05.",
        "05.5",
        "05.12345678",
        "05.123456789",
        "05.1234567890",
    ]
    seconds += [
        "05Z",
        "05.5Z",
        "05.5z",
        "05ZZ",
        "05.5+01",
        "05+0100",
        "05.12x",
        "05.1.2",
        "05 ",
        "05.5 ",
        " 05",
        "05.000000",
        "05-",
    ]
    good = "0,2025-01-01 00:00:00,A,1,1,1,1,0"
    lines = [good.replace(":00,", f":{second},") for second in seconds]
    content = "\n".join([ASSIGNMENT.decode(), good, *lines, good, good, good]).encode()
    options = twin.Options(check_order=False, fraction_unit_us=fraction_unit_us)

    decoded = decode_with_kernel(content, options)

    assert comparable(decoded) == comparable(twin.decode_file(content, options))


@pytest.mark.parametrize("fraction_unit_us", [False, True])
def test_random_times_in_a_file_read_as_the_twin_says(fraction_unit_us: bool) -> None:
    chooser = random.Random(99)
    texts = [random_time_text(chooser, chooser.randrange(3600)) for _ in range(5000)]
    for i in range(0, len(texts), 3):
        at = chooser.randrange(len(texts[i]))
        texts[i] = texts[i][:at] + chooser.choice("0123456789-:. TZ+x") + texts[i][at + 1 :]
    content = ASSIGNMENT + b"\n" + "\n".join(f"0,{text},A,1,1,1,1,0" for text in texts).encode()

    rows = decode_with_kernel(content, twin.Options(check_order=False, fraction_unit_us=fraction_unit_us)).rows

    for text, row in zip(texts, rows, strict=True):
        expected = outcome(lambda text: twin.parse_timestamp(text, fraction_unit_us=fraction_unit_us), text)
        assert row[1] == expected, text
