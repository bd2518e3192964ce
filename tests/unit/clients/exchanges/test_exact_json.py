"""JSON of exchanges: exact, strict, bounded."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.exchanges.exact_json import MalformedAnswer, parse_json, plain, to_decimal, to_int


@pytest.mark.quick
def test_numbers_with_a_fraction_stay_exact() -> None:
    found = parse_json(b'{"a": 0.1, "b": 1e-8, "c": 12345678901234567890, "d": 100000000000000000000000.5}')

    assert found == {
        "a": Decimal("0.1"),
        "b": Decimal("1e-8"),
        "c": 12345678901234567890,
        "d": Decimal("100000000000000000000000.5"),
    }
    assert isinstance(found["a"], Decimal)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut-off"),
        pytest.param(b'{"a":1} x', id="more-behind"),
        pytest.param(b"<html></html>", id="html"),
        pytest.param(b'"\xff"', id="invalid-utf-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte-order-mark"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b"[-Infinity]", id="infinity"),
        pytest.param(b'{"a":1,"a":2}', id="key-twice"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested-and-closed"),
        pytest.param(b"1" * 5000, id="whole-number-of-5000-digits"),
        pytest.param(b"1." + b"1" * 5000, id="fraction-of-5000-digits"),
        pytest.param(b"1e999999999", id="exponent-that-fills-memory"),
        pytest.param(b"1e-999999999", id="exponent-below-everything"),
        pytest.param(b'"a\nb"', id="control-character"),
    ],
)
def test_what_is_ambiguous_or_unbounded_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedAnswer) as refused:
        parse_json(body)

    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    "value", ["", "abc", "1_000", " 1", "0x1p3", "inf", "nan", "\u0661", "1e99999", "1" * 65, None, True, [], 1.5]
)
def test_only_plain_numbers_become_decimals(value: object) -> None:
    with pytest.raises(MalformedAnswer, match="field"):
        to_decimal(value, "field")


@pytest.mark.parametrize("value", ["", "1.0", "1e3", "x", None, True, Decimal(1), "1" * 21])
def test_only_whole_numbers_become_ints(value: object) -> None:
    with pytest.raises(MalformedAnswer, match="field"):
        to_int(value, "field")


def test_a_number_is_taken_as_text_int_or_decimal() -> None:
    assert to_decimal("0.00100000", "a") == to_decimal(Decimal("0.001"), "a") == Decimal("0.001")
    assert to_decimal(7, "a") == 7
    assert to_int("1737635557417", "a") == to_int(1737635557417, "a")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.00100000", "0.001"),
        ("1E-8", "0.00000001"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("0E-8", "0"),
        ("-0.50", "-0.5"),
    ],
)
def test_numbers_go_out_without_exponent_and_trailing_zeros(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=12))
def test_what_goes_out_reads_back_as_the_same_number(value: Decimal) -> None:
    assert to_decimal(plain(value), "a") == value
