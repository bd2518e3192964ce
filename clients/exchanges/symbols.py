"""Unified symbols: `BTC/USDT`, `BTC/USDT:USDT`, `BTC/USD:BTC`, `BTC/USDT:USDT-261225`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from clients.exchanges.model import Instrument

_NEAR_MAX: Final = 5
_PARTS: Final = re.compile(r"([^/:]+)/([^/:]+?)(?::([^/:]+?)(?:-([0-9]{6}))?)?", re.ASCII)


@dataclass(frozen=True)
class SymbolParts:
    """What a unified symbol says."""

    base: str
    quote: str
    settle: str = ""
    """Empty for spot."""
    expiry: date | None = None
    """The day on which a dated contract ends."""


def symbol_parts(symbol: str) -> SymbolParts | None:
    """Take a unified symbol apart, never an exchange's own; None where it is none, or one of an option."""
    found = _PARTS.fullmatch(symbol)
    if found is None:
        return None
    base, quote, settle, day = found.groups()
    try:
        expiry = datetime.strptime(day, "%y%m%d").replace(tzinfo=UTC).date() if day else None
    except ValueError:
        return None
    return SymbolParts(base, quote, settle or "", expiry)


def expiry_day(symbol: str) -> date | None:
    """Return the day on which a contract ends, as its unified symbol says; None for what has no end."""
    parts = symbol_parts(symbol)
    return None if parts is None else parts.expiry


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
