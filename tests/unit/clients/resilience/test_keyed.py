"""One breaker per fixed name, however many calls there are and whatever is in them."""

from __future__ import annotations

import gc
import sys

import pytest

from clients.resilience.keyed import Keyed
from tests.support.resilience_breakers import bench


def test_cb37_same_name_is_the_same_object() -> None:
    objects = Keyed("breaker", lambda name: [name])

    assert objects.get("binance:spot", "orders") is objects.get("binance:spot", "orders")
    assert objects.get("binance:spot", "orders") == ["binance:spot/orders"]
    assert list(objects.all()) == ["binance:spot/orders"]


def test_cb37_thousand_distinct_names_stop_at_the_bound() -> None:
    objects = Keyed("breaker", lambda name: bench().breaker, names_max=128)

    for number in range(128):
        objects.get(f"venue-{number}")
    for number in range(128, 1_000):
        with pytest.raises(ValueError, match="never from input"):
            objects.get(f"venue-{number}")

    assert len(objects.all()) == 128
    assert objects.get("venue-5") is objects.all()["venue-5"]


@pytest.mark.parametrize("name", ["", "BTC/USDT:USDT", "a b", "é", "-x", "x" * 65, "line\nbreak"])
def test_cb37_what_looks_like_input_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="fixed set"):
        Keyed("breaker", lambda made: made).get(name)


def run_calls(calls: int) -> int:
    """Return how many blocks of memory stay behind."""
    here = bench(window_s=60, window_calls=50)
    here.succeed(1_000)
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(calls):
        here.clock.advance_ns(number % 7)
        permit = here.breaker.acquire()
        permit.failure() if number % 5 == 0 else permit.success()
    del permit
    gc.collect()
    return sys.getallocatedblocks() - before


def test_cb37_calls_leave_nothing_behind() -> None:
    assert run_calls(50_000) < 1_000


@pytest.mark.long
@pytest.mark.timeout(600)
def test_cb37_million_calls_leave_nothing_behind() -> None:
    assert run_calls(1_000_000) < 1_000
