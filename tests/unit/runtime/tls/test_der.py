"""When a certificate is valid, read from its bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.tls.der import Validity, first_certificate, validity
from tests.support.tls import Authority

WHOLE = first_certificate(Authority().pair("localhost").chain)
BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    "end",
    [
        datetime(2027, 3, 4, 5, 6, 7, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
    ids=str,
)
def test_both_ends_are_read_in_either_form_of_a_time(end: datetime) -> None:
    pair = Authority().pair("localhost", before=BEGIN, after=end)

    assert validity(first_certificate(pair.chain)) == Validity(ns(BEGIN), ns(end))


def test_a_year_with_two_digits_may_be_of_the_last_century() -> None:
    begin = datetime(1999, 1, 1, tzinfo=UTC)

    assert validity(first_certificate(Authority().pair(before=begin).chain)).not_before_ns == ns(begin)


def test_the_first_of_a_chain_counts() -> None:
    authority = Authority()
    pair = authority.pair("localhost", before=BEGIN, after=BEGIN + timedelta(days=1))

    assert validity(first_certificate(b"# text before\n" + pair.chain + authority.pem)).not_before_ns == ns(BEGIN)


@pytest.mark.parametrize("text", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nMIIB"], ids=repr)
def test_text_without_a_whole_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="holds no certificate"):
        first_certificate(text)


def test_a_certificate_that_ends_early_is_refused_wherever_it_ends() -> None:
    whole = first_certificate(Authority().pair("localhost").chain)

    for size in range(len(whole)):
        with pytest.raises(ValueError, match="ends in the middle"):
            validity(whole[:size])


@given(flipped=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 7)), min_size=1, max_size=8))
def test_damage_is_refused_in_the_one_way_or_changes_the_times(flipped: list[tuple[int, int]]) -> None:
    damaged = bytearray(WHOLE)
    for at, bit in flipped:
        damaged[at] ^= 1 << bit

    try:
        found = validity(bytes(damaged))
    except ValueError:
        return
    assert (found.not_before_ns, found.not_after_ns) != (0, 0)
