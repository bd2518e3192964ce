"""Unified symbols."""

from __future__ import annotations

import pytest

from clients.exchanges.symbols import near_matches, unified_symbol
from tests.support.fake_exchange import instrument


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
    known = {symbol: instrument("x", symbol) for symbol in (f"BTC/USDT:USDT-2612{day:02}" for day in range(10, 30))}

    assert len(near_matches("btc/usdt:usdt-261225", known)) == 5
    assert near_matches("x" * 1_000_000, known) == []


def test_what_the_exchange_itself_calls_so_is_near_however_it_looks() -> None:
    known = {
        "BTC/USDT": instrument("x", "BTC/USDT", exchange_symbol="XBTUSDT"),
        "BTC/USD:BTC": instrument("x", "BTC/USD:BTC", exchange_symbol="XBTUSD"),
    }

    assert near_matches("xbtusd", known)[0] == "BTC/USD:BTC"
