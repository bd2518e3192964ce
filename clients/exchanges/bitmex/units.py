"""Convert currencies, money and times between BitMEX's spelling and ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from clients.exchanges.exact_json import MalformedAnswer

_CURRENCIES: Final = {"XBT": "BTC", "XBt": "BTC", "USDt": "USDT", "Gwei": "ETH", "LAMp": "SOL"}
"""What is not simply upper case: Bitcoin's old code, and the smallest units in which balances and fees are counted."""

_DECIMALS: Final = {"BTC": 8, "USDT": 6, "ETH": 9, "SOL": 9}
"""Digits of the smallest unit."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def currency(code: str) -> str:
    """Return the unified code of a currency."""
    return _CURRENCIES.get(code, code.upper())


def money(minor_units: Decimal, unified: str) -> Decimal | None:
    """Return an amount that is stated in a currency's smallest unit; None where that unit is not known."""
    digits = _DECIMALS.get(unified)
    return None if digits is None else minor_units.scaleb(-digits)


def time_ns(value: object, name: str) -> int:
    """Return a time of the API (`2024-12-12T17:27:51.774Z`) in nanoseconds UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise MalformedAnswer(f"`{name}` is not a time: {str(value)[:40]!r}")
    return ((moment - _EPOCH) // timedelta(microseconds=1)) * 1000


def time_text(ns: int, *, up: bool = False) -> str:
    """Return a time as the API reads it, in milliseconds, rounded down or `up`."""
    milliseconds = -(-ns // 1_000_000) if up else ns // 1_000_000
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"
