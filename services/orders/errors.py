"""Reasons for which an order is denied before anything is sent. Each reason is a fixed word that travels beside the sentence."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from services.runtime.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidRequest,
    Metadata,
    MidstreamError,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)

REASON_KEY: Final = "midstream-reason"
"""Trailing metadata of gRPC and member of REST problems."""


@unique
class Reason(StrEnum):
    """The fixed words."""

    BAD_FIELD = "bad-field"
    KEY_REUSED = "idempotency-key-reused"
    CLIENT_ID_TAKEN = "client-order-id-taken"
    UNKNOWN_EXCHANGE = "unknown-exchange"
    UNKNOWN_SYMBOL = "unknown-symbol"
    NOT_TRADABLE = "instrument-not-tradable"
    UNSUPPORTED = "unsupported-by-market"
    QUANTITY = "quantity-filter"
    PRICE = "price-filter"
    NOTIONAL = "notional-filter"
    QUANTITY_LIMIT = "quantity-limit"
    NOTIONAL_LIMIT = "notional-limit"
    POSITION_LIMIT = "position-limit"
    OPEN_ORDERS_LIMIT = "open-orders-limit"
    ORDER_RATE = "order-rate"
    PRICE_MISSING = "price-missing"
    PRICE_STALE = "price-stale"
    PRICE_CROSSED = "price-crossed"
    PRICE_BAND = "price-band"
    KILL_SWITCH = "kill-switch"
    NOT_RECONCILED = "not-reconciled"
    ORDER_CLOSED = "order-closed"
    ORDER_BUSY = "order-busy"
    ORDER_HALTED = "order-halted"
    ORDER_UNKNOWN = "order-unknown"
    ORDER_KNOWN = "order-known"
    AMEND_REFUSED = "amend-refused"
    OVERLOADED = "overloaded"
    JOURNAL = "journal-unavailable"
    BEYOND_JOURNAL = "beyond-journal"


_INVALID: Final = frozenset(
    {
        Reason.BAD_FIELD,
        Reason.QUANTITY,
        Reason.PRICE,
        Reason.NOTIONAL,
        Reason.UNKNOWN_EXCHANGE,
        Reason.UNKNOWN_SYMBOL,
        Reason.UNSUPPORTED,
    }
)
_EXHAUSTED: Final = frozenset({Reason.ORDER_RATE, Reason.OVERLOADED})
_EXISTS: Final = frozenset({Reason.KEY_REUSED, Reason.CLIENT_ID_TAKEN})


def denied(reason: Reason, message: str, *, field: str = "", metadata: Metadata = ()) -> MidstreamError:
    """Return the error for a reason, of the kind that says who must act; `message` begins behind the field's name where there is one.

    `metadata` is what else travels beside the sentence.
    """
    metadata = ((REASON_KEY, reason.value), *metadata)
    if reason in _INVALID:
        return InvalidRequest(field, message, metadata=metadata)
    if reason in _EXHAUSTED:
        return ResourceExhausted(message, metadata=metadata)
    if reason in _EXISTS:
        return AlreadyExists(message, metadata=metadata)
    if reason is Reason.JOURNAL:
        return Unavailable(message, metadata=metadata)
    if reason is Reason.BEYOND_JOURNAL:
        return OutOfRange(message, metadata=metadata)
    return FailedPrecondition(message, metadata=metadata)


def reason_of(error: BaseException) -> str:
    """Return the word of an error; empty when it has none."""
    metadata = error.metadata if isinstance(error, MidstreamError) else ()
    return next((str(value) for key, value in metadata if key == REASON_KEY), "")
