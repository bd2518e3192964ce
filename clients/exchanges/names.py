"""Names of the exchanges there are. A new one is a folder under `clients/exchanges/` and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

EXCHANGES: Final[Mapping[str, str]] = {
    "binance": "clients.exchanges.binance",
    "bitmex": "clients.exchanges.bitmex",
    "bybit": "clients.exchanges.bybit",
}
"""Name -> package. Imported when it is used, so that a process pays only for the exchanges that it talks to."""

USED_BY_DEFAULT: Final = ("binance", "bybit", "bitmex")
"""What servers talk to unless a setting says otherwise, in their order; those that have closed in the simulators only.

Known is not used: a new exchange has to be named before anything is sent to it."""

CLOSED: Final[Mapping[str, str]] = {"bitmex": "2026-09-23"}
"""Exchanges that have closed for good, and when (UTC): their simulators and recordings go on."""


def used_by_default(environment: str) -> tuple[str, ...]:
    """Return what servers talk to in `simulator`, `testnet` or `prod` unless a setting says otherwise."""
    return tuple(name for name in USED_BY_DEFAULT if environment == "simulator" or name not in CLOSED)


def closure(exchange: str) -> str:
    """Say that an exchange has closed for good; empty where it has not."""
    return f"{exchange} closed for good on {CLOSED[exchange]}" if exchange in CLOSED else ""


def check_open(names: Iterable[str], environment: str) -> None:
    """Raise ValueError where an exchange is meant to be real that has closed, with the date and what to do."""
    if environment == "simulator":
        return
    for name in names:
        if said := closure(name):
            raise ValueError(f"{said}: leave it out, or use its simulator with MIDSTREAM_EXCHANGES=simulator")


def url_variable(exchange: str) -> str:
    """Return the setting that says where all of an exchange is, which is where its simulator is."""
    return f"MIDSTREAM_{exchange.upper()}_URL"
