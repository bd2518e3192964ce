"""The scan that proves that no field is negative."""

import random
import re

import pytest

from fastpath.decode import may_have_negative_field

QUICK = pytest.mark.quick


@QUICK
@pytest.mark.parametrize("before", [b",", b'"', b" ", b"\n", b"\r", b', "'])
def test_a_minus_at_the_start_of_a_field_is_found_anywhere(before: bytes) -> None:
    for length in (0, 1, 15, 16, 4095, 4096, 4097, 9000):
        assert may_have_negative_field(b"2025-01-01," * (length // 11) + b"x" * (length % 11) + before + b"-1", 0x78)


@QUICK
def test_dates_names_and_exponents_are_no_negative_fields() -> None:
    assert not may_have_negative_field(b"2025-01-01 00:00:00,BTC-USDT-SWAP@GATE-IO,2.5e-05,x-\n" * 1000, 10)


@QUICK
@pytest.mark.parametrize(("previous", "found"), [(10, True), (-1, True), (ord(","), True), (ord("5"), False)])
def test_the_byte_before_the_chunk_decides_about_its_first(previous: int, found: bool) -> None:
    assert may_have_negative_field(b"-1", previous) is found
    assert not may_have_negative_field(b"", previous)


def test_random_bytes_are_judged_as_the_pattern_says() -> None:
    chooser = random.Random(3)
    for _ in range(3000):
        chunk = bytes(
            chooser.choices(b'-,"x \n\r\t;5', weights=[1, 1, 1, 20, 1, 1, 1, 3, 3, 9], k=chooser.randrange(60))
        )
        previous = chooser.choice(b',"x \n\r5')
        expected = re.search(rb'(?<=[,"\ \n\r])-', bytes([previous]) + chunk) is not None
        assert may_have_negative_field(chunk, previous) is expected, (chunk, previous)


def test_a_split_of_the_file_makes_no_difference() -> None:
    content = b"1,2,3\n" * 50 + b"4,-5\n"
    for cut in range(1, len(content)):
        pieces = (content[:cut], 10), (content[cut:], content[cut - 1])
        assert any(may_have_negative_field(piece, previous) for piece, previous in pieces)
