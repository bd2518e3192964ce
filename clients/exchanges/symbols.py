"""Unified symbols: `BTC/USDT`, `BTC/USDT:USDT`, `BTC/USD:BTC`, `BTC/USDT:USDT-261225`."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from datetime import UTC, datetime


def unified_symbol(base: str, quote: str, *, settle: str = "", expiry_time_ns: int | None = None) -> str:
    """Return the symbol of an instrument; `settle` is empty for spot, the expiry is None for perpetuals."""
    symbol = f"{base}/{quote}"
    if settle:
        symbol += f":{settle}"
    if expiry_time_ns is not None:
        symbol += "-" + datetime.fromtimestamp(expiry_time_ns // 1_000_000_000, UTC).strftime("%y%m%d")
    return symbol


def near_matches(symbol: str, known: Collection[str]) -> list[str]:
    """Return up to five known symbols that whoever typed `symbol` may have meant."""
    return difflib.get_close_matches(symbol.upper()[:64], known, n=5, cutoff=0.6)
