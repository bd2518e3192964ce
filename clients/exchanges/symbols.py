"""Unified symbols: `BTC/USDT`, `BTC/USDT:USDT`, `BTC/USD:BTC`, `BTC/USDT:USDT-261225`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from clients.exchanges.model import Instrument

_NEAR_MAX: Final = 5


def unified_symbol(base: str, quote: str, *, settle: str = "", expiry_time_ns: int | None = None) -> str:
    """Return the symbol of an instrument; `settle` is empty for spot, the expiry is None for perpetuals."""
    symbol = f"{base}/{quote}"
    if settle:
        symbol += f":{settle}"
    if expiry_time_ns is not None:
        symbol += "-" + datetime.fromtimestamp(expiry_time_ns // 1_000_000_000, UTC).strftime("%y%m%d")
    return symbol


def near_matches(symbol: str, known: Mapping[str, Instrument]) -> list[str]:
    """Return up to five known symbols that whoever typed `symbol` may have meant: first those that the exchange itself spells so."""
    typed = symbol.upper()[:64]
    own = [name for name, instrument in known.items() if instrument.exchange_symbol.upper() == typed]
    close = difflib.get_close_matches(typed, known, n=_NEAR_MAX, cutoff=0.6)
    return list(dict.fromkeys(own + close))[:_NEAR_MAX]
