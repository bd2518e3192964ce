"""Prices, times and latencies as text, and the kernel's SHA-256."""

from __future__ import annotations

import hashlib
import math
import random
import struct
from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastpath import midprice, mids, values
from fastpath.columns import Block, Tickers
from fastpath.frame import TickFrame, encode_batch
from protos.common.v1 import market_pb2
from tests.reference import midprice as reference
from tests.unit.fastpath.frame_support import seed_of_this_run, varint

INT64 = st.integers(-(2**63), 2**63 - 1)


def frame_of(prices: array[float], tickers: int) -> TickFrame:
    """Make a frame of quotes whose bid and ask are one price, so that it is the mid as well. Columns are their own encoding."""
    count = len(prices)
    head = market_pb2.TickBatch(
        mode=market_pb2.MODE_LIVE, first_sequence=1, last_sequence=count, tickers=[f"T{i}" for i in range(tickers)]
    )
    index = array("I", [i % tickers for i in range(count)]).tobytes()
    columns = {6: index, 7: bytes(8 * count), 8: bytes(8 * count)} | dict.fromkeys((9, 10, 11, 12), prices.tobytes())
    packed = (varint(number << 3 | 2) + varint(len(column)) + column for number, column in columns.items())
    return TickFrame(head.SerializeToString() + b"".join(packed))


def assert_spelled_as_repr(prices: array[float], tickers: int = 1) -> None:
    """Send prices through the kernel, where each ticker's guess at the decimals is shared by its prices."""
    prices = array("d", [price for price in prices if abs(price) < 8e307 and price != 0])
    kernel = midprice.PriceKernel(latency_threshold_ns=0, with_mids=False)
    for start in range(0, len(prices), 100_000):
        some = prices[start : start + 100_000]
        kernel.process(frame_of(some, tickers))
        text = kernel.take_mid_text().decode()
        if text != "".join([f"1970-01-01 00:00:00.000, {price!r}\n" for price in some]):
            for line, price in zip(text.splitlines(), some, strict=True):
                assert line == f"1970-01-01 00:00:00.000, {price!r}"


def random_bits(count: int, rng: random.Random) -> array[float]:
    """Draw numbers of every size: any 64 bits that are finite."""
    numbers = array("d")
    numbers.frombytes(rng.randbytes(8 * count))
    return array("d", [number for number in numbers if math.isfinite(number)])


def random_decimals(count: int, rng: random.Random) -> array[float]:
    """Draw prices as venues quote them, and the mids of two, with their rounding noise."""
    numbers = array("d")
    for _ in range(count // 1000):
        power = 10 ** rng.randrange(11)
        mantissas = array("Q", rng.randbytes(8 * 500))
        top = 10 ** rng.randrange(1, 16)
        prices = [mantissa % top / power for mantissa in mantissas]
        numbers.extend(prices)
        half = rng.choice((0.5, -0.5))
        numbers.extend([half * (a + b) for a, b in zip(prices, reversed(prices), strict=True)])
    return numbers


def neighbours(numbers: list[float]) -> list[float]:
    """Add the next numbers on both sides, and the negatives."""
    around = [math.nextafter(x, side) for x in numbers for side in (math.inf, -math.inf)]
    return [sign * x for x in [*numbers, *around] for sign in (1, -1) if math.isfinite(x)]


ADVERSARIAL = neighbours(
    [
        *(10.0**e for e in range(-330, 309)),
        *(math.ldexp(1, e) for e in range(-1074, 1024)),
        *(float(f"{'9' * n}e{e}") for n in range(1, 18) for e in range(-20, 17)),
        *(float(f"{digits}e{e}") for digits in (1, 123456789, 12345678901234567, 5, 25) for e in range(-30, 25)),
        *(i / 10**d for d in range(1, 12) for i in (1, 9, 10**d - 1, 10**d + 1, 9 * 10**14 - 1)),
        *(9e14 + i for i in range(-3, 4)),
        *(9e15 + i for i in range(-3, 4)),
        *(2.0**53 + i for i in range(-4, 5)),
        *(1e16 + 2 * i for i in range(-4, 5)),
        *(0.1 + 0.2, 1 / 3, 2 / 3, 1e23, 8.41e21, 9.5e-7, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308),
        *(0.0001, 0.00011, 0.00099999, 0.00009999, 123456.7, 100000.0, 1e5, 200.0, 200.5, 2.7315e-05, 3.9e-08),
        0.0,
    ]
)


@pytest.mark.quick
def test_adversarial_prices_are_spelled_as_repr_spells_them() -> None:
    for price in ADVERSARIAL:
        assert values.format_mid(price) == repr(price)

    assert_spelled_as_repr(array("d", ADVERSARIAL))
    assert_spelled_as_repr(array("d", random.Random(1).sample(ADVERSARIAL, len(ADVERSARIAL))), tickers=5)


@pytest.mark.parametrize(
    "price", [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e16, 1e-5, 123456789012345680.0], ids=repr
)
def test_special_prices_are_spelled_as_repr_spells_them(price: float) -> None:
    assert values.format_mid(price) == repr(price) == reference.format_mid(price)


@pytest.mark.parametrize("draw", [random_bits, random_decimals])
def test_random_prices_are_spelled_as_repr_spells_them(draw: object) -> None:
    rng = random.Random(seed_of_this_run())
    prices = random_bits(300_000, rng) if draw is random_bits else random_decimals(1_000_000, rng)

    assert_spelled_as_repr(prices, tickers=7)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_tens_of_millions_of_random_prices_are_spelled_as_repr_spells_them() -> None:
    rng = random.Random(seed_of_this_run())
    for _ in range(25):
        assert_spelled_as_repr(random_bits(1_000_000, rng), tickers=7)
        assert_spelled_as_repr(random_decimals(1_000_000, rng), tickers=7)


@pytest.mark.quick
@given(time_ns=INT64)
@example(0)
@example(-1)
@example(2**63 - 1)
@example(-(2**63))
@example(951_782_400_000_000_000)  # 2000-02-29
@example(-2_203_891_200_000_000_000)  # 1900-03-01, no leap year
@example(1_735_689_600_120_000_000)
@example(1_735_689_600_120_001_000)
@example(1_735_689_600_120_001_001)
def test_times_are_spelled_exactly(time_ns: int) -> None:
    assert values.format_timestamp(time_ns) == reference.format_timestamp(time_ns)


def test_every_day_from_1678_to_2261_has_its_date() -> None:
    day_ns = 86_400 * 10**9

    for day in range(-106_000, 106_000, 1):
        if day % 7 == 0 or day % 365 < 3 or day % 1461 < 3:
            assert values.format_timestamp(day * day_ns) == reference.format_timestamp(day * day_ns)


def test_the_remembered_second_never_shows_in_another_ones_time() -> None:
    rng = random.Random(seed_of_this_run())
    edges = [-(2**63), 2**63 - 1, -1, 0, 10**9 - 1, 10**9, -(10**9)]
    times = [edge for _ in range(50) for edge in rng.sample(edges, len(edges))]
    times += [t + rng.randrange(-2 * 10**9, 2 * 10**9) for t in range(0, 10**11, 10**9)]
    block = Block(Tickers())
    for time_ns in times:
        block.append_tick(
            "A", arrival_time_ns=0, event_time_ns=time_ns, bid_price=1, bid_amount=1, ask_price=1, ask_amount=1
        )
    kernel = midprice.PriceKernel(latency_threshold_ns=0)

    kernel.process(TickFrame(encode_batch(block, 0, len(block), epoch="", mode=2, first_sequence=1, sources=[])[0]))

    stamps = [line.split(",")[0] for line in kernel.take_mid_text().decode().splitlines()]
    assert stamps == [reference.format_timestamp(time_ns) for time_ns in times]


@given(latency_ns=INT64)
@example(0)
@example(120_000_000)
@example(24_435_913)
@example(1)
@example(-3_500_000)
@example(-(2**63))
def test_latencies_are_exact_milliseconds(latency_ns: int) -> None:
    assert values.format_latency(latency_ns) == reference.format_latency(latency_ns)


@pytest.mark.parametrize(
    ("latency_ns", "text"),
    [(0, "0"), (120_000_000, "120"), (24_435_913, "24.435913"), (1, "0.000001"), (-3_500_000, "-3.5"), (100, "0.0001")],
)
def test_latencies_are_spelled_as_the_design_spells_them(latency_ns: int, text: str) -> None:
    assert values.format_latency(latency_ns) == text


@pytest.mark.parametrize("portable", [False, True], ids=["instructions", "portable"])
def test_sha256_is_right_at_every_length_around_its_blocks(portable: bool) -> None:
    payload = random.Random(7).randbytes(70_000)

    for size in [*range(260), *range(4030, 4170), 8191, 8192, 8193, 70_000]:
        assert midprice.sha256(payload[:size], portable=portable) == hashlib.sha256(payload[:size]).hexdigest()


def test_sha256_of_random_bytes_is_right_both_ways() -> None:
    rng = random.Random(seed_of_this_run())

    for _ in range(300):
        payload = rng.randbytes(rng.randrange(1000))
        expected = hashlib.sha256(payload).hexdigest()
        assert midprice.sha256(payload) == midprice.sha256(payload, portable=True) == expected


def doubles(*values: float) -> array[float]:
    """Make a column."""
    return array("d", values)


@given(
    rows=st.lists(
        st.tuples(*[st.sampled_from([0.0, -0.0, 1.5, -2.0, math.nan, math.inf, 1.7e308, 5e-324])] * 4), max_size=20
    ),
    with_bid_amount=st.booleans(),
    with_ask_amount=st.booleans(),
)
def test_mids_of_columns_are_those_of_the_twin(
    rows: list[tuple[float, float, float, float]], with_bid_amount: bool, with_ask_amount: bool
) -> None:
    bid, ask, bid_amount, ask_amount = (array("d", [row[i] for row in rows]) for i in range(4))

    got = mids.compute_mids(bid, ask, bid_amount if with_bid_amount else None, ask_amount if with_ask_amount else None)

    expected = reference.compute_mids(
        bid, ask, bid_amount if with_bid_amount else None, ask_amount if with_ask_amount else None
    )
    assert got == expected


def test_mids_of_columns_take_any_buffer_of_doubles_even_misaligned() -> None:
    payload = b"x" + struct.pack("<2d", 1.0, 3.0)
    misaligned = memoryview(payload)[1:].cast("d")

    computed, missing = mids.compute_mids(misaligned, doubles(2.0, 5.0))

    assert struct.unpack("<2d", computed) == (1.5, 4.0)
    assert missing == []


@pytest.mark.parametrize(
    "wrong",
    [
        b"12345678",
        array("f", [1.0]),
        array("q", [1]),
        memoryview(doubles(1, 2, 3))[::2],
        memoryview(bytes(16)).cast("d", [1, 2]),
    ],
    ids=["bytes", "float32", "int64", "strided", "two dimensions"],
)
def test_columns_of_anything_else_are_refused(wrong: object) -> None:
    with pytest.raises((TypeError, BufferError)):
        mids.compute_mids(wrong, doubles(1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ask_price", "bid_amount", "ask_amount"])
def test_columns_of_unequal_length_are_refused_by_name(name: str) -> None:
    columns = {"ask_price": doubles(1, 2), "bid_amount": doubles(1, 2), "ask_amount": doubles(1, 2)} | {
        name: doubles(1)
    }

    with pytest.raises(ValueError, match=f"`{name}` has 1 values, but `bid_price` has 2"):
        mids.compute_mids(doubles(1, 2), **columns)
