"""Instruments that an exchange does not list any more: they have ended, and what was ordered of them can still be asked about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Final

from clients.exchanges.model import Instrument, InstrumentKind, Payout
from clients.exchanges.symbols import SymbolParts, symbol_parts

UNLISTED_MAX: Final = 10_000
"""The first ones are forgotten beyond that."""

_NOT_KNOWN: Final = Decimal(0)


class Unlisted:
    """What was listed once, by market and the exchange's symbol."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Instrument] = {}

    def left(self, instruments: Iterable[Instrument]) -> None:
        """Keep what has left a list."""
        for made in instruments:
            self._keep(replace(made, tradable=False, listed=False))

    def recall(self, instrument: Instrument) -> None:
        """Keep what somebody knows from before, unless more is known of it."""
        if (instrument.market, instrument.exchange_symbol) not in self._kept:
            self._keep(instrument)

    def by_exchange_symbol(self, market: str, exchange_symbol: str) -> Instrument | None:
        """Return the one that the exchange called so."""
        return self._kept.get((market, exchange_symbol))

    def by_symbol(self, symbol: str) -> Instrument | None:
        """Return the one with a unified symbol; the newest where an exchange has used it twice."""
        return next((made for made in reversed(self._kept.values()) if made.symbol == symbol), None)

    def _keep(self, instrument: Instrument) -> None:
        self._kept[instrument.market, instrument.exchange_symbol] = instrument
        if len(self._kept) > UNLISTED_MAX:
            del self._kept[next(iter(self._kept))]


def recalled(exchange: str, market: str, exchange_symbol: str, symbol: str) -> Instrument | None:
    """Return an instrument of which the names alone are known, as a journal has them; None for a symbol that is not unified.

    That is what it takes to ask about its orders. Its steps, bounds and sizes are 0, which is not known, and its end is the
    beginning of the day on which it ended.
    """
    parts = symbol_parts(symbol)
    if parts is None:
        return None
    end = None if parts.expiry is None else datetime.combine(parts.expiry, time(), UTC)
    return Instrument(
        exchange=exchange,
        market=market,
        exchange_symbol=exchange_symbol,
        symbol=symbol,
        kind=_kind(parts),
        payout=_payout(parts),
        base=parts.base,
        quote=parts.quote,
        settle=parts.settle or parts.quote,
        price_tick=_NOT_KNOWN,
        lot_size=_NOT_KNOWN,
        quantity_min=_NOT_KNOWN,
        quantity_max=None,
        market_lot_size=None,
        price_min=None,
        price_max=None,
        notional_min=None,
        contract_size=_NOT_KNOWN,
        multiplier=_NOT_KNOWN,
        expiry_time_ns=None if end is None else round(end.timestamp()) * 1_000_000_000,
        tradable=False,
        listed=False,
    )


def _kind(parts: SymbolParts) -> InstrumentKind:
    if not parts.settle:
        return InstrumentKind.SPOT
    return InstrumentKind.PERPETUAL if parts.expiry is None else InstrumentKind.DELIVERY


def _payout(parts: SymbolParts) -> Payout:
    if not parts.settle:
        return Payout.SPOT
    return {parts.quote: Payout.LINEAR, parts.base: Payout.INVERSE}.get(parts.settle, Payout.QUANTO)
