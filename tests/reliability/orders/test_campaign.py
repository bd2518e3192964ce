"""A randomised campaign in virtual time: at the end our books are the exchanges', and nothing was sent again before proof."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.exchange_rules import BINANCE, BITMEX, BYBIT, TOY, ExchangeRules
from tests.support.order_campaign import Campaign, Tally
from tests.support.virtual_time import VirtualLoop, run_virtual

REAL = (BINANCE, BITMEX)
LIVING = (BINANCE, BYBIT)
OTHER = (TOY, BITMEX)
PAIRS = pytest.mark.parametrize("rules", [REAL, LIVING, OTHER], ids=["real", "living", "other"])


def run(seed: int, *, orders: int, kills: int, rules: Sequence[ExchangeRules]) -> Tally:
    print(f"seed={seed} orders={orders} kills={kills}")  # noqa: T201  (how to run a failure again)

    async def main(loop: VirtualLoop) -> Tally:
        return await Campaign(loop, seed, orders=orders, kills=kills, rules=rules).run()

    return run_virtual(main)


@pytest.mark.cases(3)
@PAIRS
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_books_are_equal_after_a_campaign(seed: int, rules: Sequence[ExchangeRules]) -> None:
    tally = run(seed, orders=150, kills=4, rules=rules)

    assert tally.placed > 50
    assert tally.unknown > 3
    assert tally.kills == 4


@pytest.mark.nightly
@PAIRS
@pytest.mark.parametrize("seed", range(100, 103))
def test_books_are_equal_after_a_long_campaign(seed: int, rules: Sequence[ExchangeRules]) -> None:
    tally = run(seed, orders=800, kills=15, rules=rules)

    assert tally.placed > 300
    assert tally.unknown > 30
