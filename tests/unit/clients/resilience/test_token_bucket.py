"""Tokens that come back with time."""

from __future__ import annotations

import pytest

from clients.resilience.token_bucket import TokenBucket

SECOND = 1_000_000_000


def test_bucket_refills_continuously_and_not_beyond_its_size() -> None:
    bucket = TokenBucket(size=2, per_s=1.0)
    assert [bucket.take(SECOND) for _ in range(3)] == [True, True, False]
    assert bucket.next_s(SECOND) == pytest.approx(1.0)

    assert bucket.take(2 * SECOND)
    assert bucket.remaining(100 * SECOND) == 2


def test_bucket_starts_full_whatever_its_clock_shows_first() -> None:
    assert TokenBucket(size=3, per_s=1.0).remaining(0) == TokenBucket(size=3, per_s=1.0).remaining(10**18) == 3


def test_bucket_does_not_refill_while_its_clock_stands_or_goes_back() -> None:
    bucket = TokenBucket(size=1, per_s=1.0)
    assert bucket.take(10 * SECOND)

    assert not bucket.take(10 * SECOND)
    assert not bucket.take(5 * SECOND)
    assert not bucket.take(10 * SECOND + SECOND // 2)
    assert bucket.take(11 * SECOND)


def test_bucket_says_when_the_next_token_comes_and_when_it_is_full() -> None:
    bucket = TokenBucket(size=4, per_s=2.0)
    for _ in range(4):
        bucket.take(SECOND)

    assert bucket.next_s(SECOND) == pytest.approx(0.5)
    assert bucket.full_s(SECOND) == pytest.approx(2.0)
    assert bucket.next_s(3 * SECOND) == 0.0
