"""Unified symbols."""

from __future__ import annotations

import pytest

from clients.exchanges.symbols import near_matches, unified_symbol


@pytest.mark.quick
@pytest.mark.parametrize(
    ("base", "quote", "settle", "expiry_s", "symbol"),
    [
        ("BTC", "USDT", "", None, "BTC/USDT"),
        ("BTC", "USDT", "USDT", None, "BTC/USDT:USDT"),
        ("BTC", "USDC", "USDC", None, "BTC/USDC:USDC"),
        ("BTC", "USD", "BTC", None, "BTC/USD:BTC"),
        ("BTC", "USDT", "USDT", 1798185600, "BTC/USDT:USDT-261225"),
        ("ETH", "USD", "ETH", 1632470400, "ETH/USD:ETH-210924"),
    ],
)
def test_symbols_are_spelled_as_ccxt_spells_them(
    base: str, quote: str, settle: str, expiry_s: int | None, symbol: str
) -> None:
    expiry_ns = None if expiry_s is None else expiry_s * 1_000_000_000

    assert unified_symbol(base, quote, settle=settle, expiry_time_ns=expiry_ns) == symbol


def test_near_matches_are_few_and_bounded() -> None:
    known = [f"BTC/USDT:USDT-2612{day:02}" for day in range(10, 30)]

    assert len(near_matches("btc/usdt:usdt-261225", known)) == 5
    assert near_matches("x" * 1_000_000, known) == []
