"""Names of the exchanges there are. A new one is a folder under `clients/exchanges/` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXCHANGES: Final[Mapping[str, str]] = {
    "binance": "clients.exchanges.binance",
    "bitmex": "clients.exchanges.bitmex",
    "bybit": "clients.exchanges.bybit",
}
"""Name -> package. Imported when it is used, so that a process pays only for the exchanges that it talks to."""

USED_BY_DEFAULT: Final = ("binance", "bitmex")
"""What servers talk to in the simulators unless a setting says otherwise.

Known is not used: a new exchange has to be named before anything is sent to it."""

CLOSED: Final[Mapping[str, str]] = {"bitmex": "BitMEX closed on 2026-09-23"}
"""Exchanges that do not exist any more, and what to say of them: their simulators and recordings do."""


def used_by_default(environment: str) -> tuple[str, ...]:
    """Return what servers talk to in `simulator`, `testnet` or `prod` unless a setting says otherwise."""
    return tuple(name for name in USED_BY_DEFAULT if environment == "simulator" or name not in CLOSED)


def url_variable(exchange: str) -> str:
    """Return the setting that says where all of an exchange is, which is where its simulator is."""
    return f"MIDSTREAM_{exchange.upper()}_URL"
