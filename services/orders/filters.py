"""Filters of lists, checked the same way for both faces: one that no order could match is a mistake, and says so."""

from __future__ import annotations

import difflib
from typing import Final

from clients.exchanges.model import InstrumentKind
from clients.exchanges.names import EXCHANGES
from services.orders.errors import Reason, denied

INT64_MAX: Final = (1 << 63) - 1


def exchange_filter(name: str) -> str:
    """Return the name as it is kept; empty is every exchange. One that is not used any more may still have orders."""
    if not name:
        return ""
    lower = name.lower()
    if lower not in EXCHANGES:
        near = difflib.get_close_matches(lower[:32], EXCHANGES, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise denied(
            Reason.UNKNOWN_EXCHANGE,
            f"is {name[:32]!r}, legal are {', '.join(EXCHANGES)}, or nothing for all{meant}",
            field="exchange",
        )
    return lower


def symbol_filter(symbol: str) -> str:
    """Return the symbol; empty is every symbol. It is spelled as orders spell it."""
    base, slash, quote = symbol.partition("/")
    if symbol and not (slash and base and quote and symbol == symbol.upper()):
        meant = f"; did you mean {symbol.upper()[:64]!r}?" if slash and base and quote else ""
        raise denied(
            Reason.BAD_FIELD,
            f"is {symbol[:64]!r}, which is no unified symbol like BTC/USDT, BTC/USDT:USDT or BTC/USD:BTC{meant}",
            field="symbol",
        )
    return symbol


def kind_filter(kind: str) -> str:
    """Return the kind of instruments; empty is every kind."""
    if kind and kind not in tuple(InstrumentKind):
        raise denied(Reason.BAD_FIELD, f"is {kind[:32]!r}, legal are {', '.join(InstrumentKind)}", field="kind")
    return kind


def sequence_filter(sequence: int) -> int:
    """Return a place in the journal; refuse what is no place in any."""
    if not 0 <= sequence <= INT64_MAX:
        raise denied(Reason.BAD_FIELD, f"must be from 0 to {INT64_MAX} (got {sequence})", field="after_sequence")
    return sequence


def period(field: str, from_ns: int, to_field: str, to_ns: int) -> tuple[int | None, int | None]:
    """Return the bounds, None for none; refuse those that nothing can be between."""
    for name, value in ((field, from_ns), (to_field, to_ns)):
        if not 0 <= value <= INT64_MAX:
            raise denied(Reason.BAD_FIELD, f"must be UTC nanoseconds from 0 to {INT64_MAX} (got {value})", field=name)
    if from_ns and to_ns and from_ns >= to_ns:
        raise denied(Reason.BAD_FIELD, f"is not before `{to_field}`: nothing can match", field=field)
    return from_ns or None, to_ns or None
