"""Tickers keep their partition for good, and are spread evenly."""

from __future__ import annotations

from collections import Counter

import pytest

from services.runtime.errors import InvalidRequest
from services.runtime.session.partitions import PARTITIONS_MAX, Partitioning


# CRC-32 of the names, computed by gzip: 2036819935, 519679068, 1513856852, 3172196256.
@pytest.mark.parametrize(
    ("ticker", "of_4", "of_1024"), [("BTC/USDT", 3, 991), ("ETHUSDT", 0, 92), ("ÄÖ", 0, 852), ("XBTUSD", 0, 928)]
)
def test_is_the_checksum_that_every_language_has(ticker: str, of_4: int, of_1024: int) -> None:
    assert Partitioning(4).of_ticker(ticker) == of_4
    assert Partitioning(PARTITIONS_MAX).of_ticker(ticker) == of_1024
    assert Partitioning().of_ticker(ticker) == 0


def test_spreads_tickers_evenly() -> None:
    counted = Counter(Partitioning(8).of_ticker(f"INSTRUMENT-{number}") for number in range(8_000))
    assert sorted(counted) == list(range(8))
    assert max(counted.values()) < 1_150
    assert min(counted.values()) > 850


def test_a_ticker_may_be_given_a_partition() -> None:
    spread = Partitioning(4, {"BTC/USDT": 1})
    assert spread.of_ticker("BTC/USDT") == 1
    assert spread.of_ticker("ETHUSDT") == 0


def test_what_has_no_ticker_goes_by_its_source() -> None:
    assert [Partitioning(3).of_source(rank) for rank in range(5)] == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("count", [0, -1, PARTITIONS_MAX + 1])
def test_refuses_other_numbers_of_partitions(count: int) -> None:
    with pytest.raises(InvalidRequest, match=r"partitions.*must be 1 to 1,024"):
        Partitioning(count)


@pytest.mark.parametrize("partition", [-1, 2])
def test_refuses_partitions_that_there_are_not(partition: int) -> None:
    with pytest.raises(InvalidRequest, match=r"ticker `X` must be in one of 0 to 1 \(got"):
        Partitioning(2, {"X": partition})
