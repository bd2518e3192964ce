"""Commands of callers, checked field by field. Both faces make these, so both refuse the same with the same words."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from clients.exchanges.trading import OrderType, Side, TimeInForce
from services.orders.domain import Order
from services.orders.errors import Reason, denied
from services.orders.journal.codec import encode
from services.runtime.access import Role

VALID_FOR_MS: Final = 10_000
VALID_FOR_MS_MAX: Final = 60_000
REASON_CHARACTERS_MAX: Final = 300
EVIDENCE_CHARACTERS_MAX: Final = 500
EXCHANGE_ID_CHARACTERS_MAX: Final = 64

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_KEY: Final = re.compile(r"[!-~]{1,128}")
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


@dataclass(frozen=True)
class Caller:
    """Name, owner and roles of whoever asks, as authentication found out."""

    name: str
    owner: str
    roles: frozenset[Role] = frozenset({Role.TRADE})

    @property
    def sees(self) -> str | None:
        """Whose orders the caller may see; None for everyone's."""
        return None if Role.ADMIN in self.roles else self.owner

    def wants(self, order: Order, *, exchange: str = "", symbol: str = "") -> bool:
        """Whether the caller may see an order, and it is one of those that were asked for; empty is any."""
        return (
            self.sees in (None, order.owner)
            and (not exchange or order.exchange == exchange)
            and (not symbol or order.symbol == symbol)
        )


@dataclass(frozen=True)
class PlaceCommand:
    """A new order."""

    idempotency_key: str
    exchange: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    reduce_only: bool = False
    client_order_id: str = ""
    valid_for_ms: int = VALID_FOR_MS
    resend_if_not_placed: bool = False

    @property
    def body_hash(self) -> str:
        """Hash of everything but the key: what has to be the same when the key is. Decimals count by value, 0.0010 is 0.001."""
        price = None if self.price is None else _bare(self.price)
        return _hash(replace(self, quantity=_bare(self.quantity), price=price, idempotency_key=""))

    @property
    def typed_hash(self) -> str:
        """The same with decimals as they were typed, as keys of before this was the same are kept."""
        return _hash(replace(self, idempotency_key=""))


def _hash(command: PlaceCommand) -> str:
    return hashlib.sha256(encode(command).encode()).hexdigest()


@dataclass(frozen=True)
class AmendCommand:
    """Absolute targets; None keeps what is."""

    order_id: str
    quantity: Decimal | None
    price: Decimal | None
    valid_for_ms: int


@dataclass(frozen=True)
class SettleCommand:
    """An operator's word about an order: it is not at the exchange, or it is there under this id."""

    order_id: str
    reason: str
    exchange_order_id: str = ""
    evidence: str = ""
    """Where it can be looked up again: a ticket, a file, an address; empty for none."""


def settle_command(
    *, order_id: str, not_there: bool, exchange_order_id: str, reason: str, evidence: str = ""
) -> SettleCommand:
    """Return the command; raise InvalidRequest naming the first field that is unusable."""
    if not_there == bool(exchange_order_id):
        raise _bad("not_there", "or `exchange_order_id` is required, and not both")
    if len(exchange_order_id) > EXCHANGE_ID_CHARACTERS_MAX or not exchange_order_id.isprintable():
        raise _bad("exchange_order_id", f"must have up to {EXCHANGE_ID_CHARACTERS_MAX} printable characters")
    if not reason.strip():
        raise _bad("reason", "is required: say how you know")
    if len(reason) > REASON_CHARACTERS_MAX:
        raise _bad("reason", f"must have at most {REASON_CHARACTERS_MAX} characters")
    if len(evidence) > EVIDENCE_CHARACTERS_MAX or not evidence.isprintable():
        raise _bad("evidence", f"must have up to {EVIDENCE_CHARACTERS_MAX} printable characters")
    return SettleCommand(order_id, reason.strip(), exchange_order_id, evidence.strip())


def place_command(
    *,
    idempotency_key: str,
    exchange: str,
    symbol: str,
    side: Side | None,
    type_: OrderType | None,
    quantity: str,
    price: str = "",
    time_in_force: TimeInForce | None = None,
    post_only: bool = False,
    reduce_only: bool = False,
    client_order_id: str = "",
    valid_for_ms: int = 0,
    resend_if_not_placed: bool = False,
) -> PlaceCommand:
    """Return the command; raise InvalidRequest naming the first field that is unusable."""
    if _KEY.fullmatch(idempotency_key) is None:
        raise _bad("idempotency_key", "is required: 1 to 128 printable ASCII characters without spaces")
    if not exchange:
        raise _bad("exchange", "is required")
    if not symbol:
        raise _bad("symbol", "is required")
    if side is None:
        raise _bad("side", "is required: BUY or SELL")
    if type_ is None:
        raise _bad("type", "is required: MARKET or LIMIT")
    if client_order_id and _CLIENT_ID.fullmatch(client_order_id) is None:
        raise _bad("client_order_id", "must have up to 64 characters of A-Z a-z 0-9 . _ : / -")
    amount = decimal_field("quantity", quantity)
    limit: Decimal | None = None
    if type_ is OrderType.LIMIT:
        limit = decimal_field("price", price)
        time_in_force = time_in_force or TimeInForce.GTC
        if post_only and time_in_force is not TimeInForce.GTC:
            raise _bad("time_in_force", f"is {time_in_force}, a post-only order rests: it must be GTC")
    else:
        if price:
            raise _bad("price", "is for LIMIT orders")
        if time_in_force is not None:
            raise _bad("time_in_force", "is for LIMIT orders")
        if post_only:
            raise _bad("post_only", "is for LIMIT orders")
    return PlaceCommand(
        idempotency_key,
        exchange.upper() if exchange.upper() == "ANY" else exchange.lower(),
        symbol,
        side,
        type_,
        amount,
        limit,
        time_in_force,
        post_only,
        reduce_only,
        client_order_id,
        valid_for(valid_for_ms),
        resend_if_not_placed,
    )


def amend_command(*, order_id: str, quantity: str, price: str, valid_for_ms: int) -> AmendCommand:
    """Return the command, empty texts standing for what is to stay; raise InvalidRequest naming the first unusable field."""
    if not quantity and not price:
        raise _bad("quantity", "or `price` is required")
    return AmendCommand(
        order_id,
        decimal_field("quantity", quantity) if quantity else None,
        decimal_field("price", price) if price else None,
        valid_for(valid_for_ms),
    )


def decimal_field(field: str, text: str) -> Decimal:
    """Return a positive decimal; refuse everything that is not plain digits with at most one point."""
    if _DECIMAL.fullmatch(text) is None:
        raise _bad(
            field, f"must be a positive decimal like 0.001, with at most 20 digits on either side (got {text[:48]!r})"
        )
    value = Decimal(text)
    if value <= 0:
        raise _bad(field, f"must be above zero (got {text})")
    return value


def valid_for(milliseconds: int) -> int:
    """Return how long a request may be sent; 0 stands for the default."""
    if not 0 <= milliseconds <= VALID_FOR_MS_MAX:
        raise _bad("valid_for_ms", f"must be up to {VALID_FOR_MS_MAX} (got {milliseconds})")
    return milliseconds or VALID_FOR_MS


def _bare(value: Decimal) -> Decimal:
    """Return the same number without trailing zeros, to the last digit: `normalize` rounds to 28 of them."""
    text = f"{value:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def _bad(field: str, problem: str) -> Exception:
    return denied(Reason.BAD_FIELD, problem, field=field)
