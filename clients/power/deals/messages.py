"""Turn messages of the deals feed into deals; what is no deal says why. Nothing that arrives can raise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from clients.power.calendar import InvalidDelivery, delivery_hour
from clients.power.deals.model import Deal, Flag, Unusable, capped
from clients.power.deals.values import (
    NumberText,
    is_rounded,
    read_choice,
    read_id,
    read_price_e4,
    read_quantity_e4,
    read_time_ns,
    read_trader,
)

__all__ = ["KINDS", "ClockTolerance", "message_id", "parse_message"]

KINDS: Final = ("deal_confirmation", "trade_confirmation")
DIRECTIONS: Final = ("buy", "sell")
CHARACTERS_MAX: Final = 64 * 1024
"""A confirmation has some 300."""
HOUR_NS: Final = 3_600_000_000_000


@dataclass(frozen=True)
class ClockTolerance:
    """Distances of the exchange's stamps from our clock beyond which a deal is flagged. No deal is refused for its time."""

    future_ns: int = 5_000_000_000
    old_ns: int = 600_000_000_000
    hours_ns: int = 300_000_000_000
    """How close to one or two whole hours counts as a clock in another zone."""


_TOLERANCE: Final = ClockTolerance()


class _Refusal(Exception):
    """Why a message is no deal."""


def parse_message(
    payload: bytes | str,
    received_ns: int,
    *,
    binary: bool = False,
    backfilled: bool = False,
    tolerance: ClockTolerance = _TOLERANCE,
) -> Deal | Unusable:
    """Return the deal, or why the message is none. Never raises, whatever arrives."""
    try:
        kind, fields = _unpack(payload, binary)
        return _deal(kind, fields, received_ns, backfilled, tolerance)
    except _Refusal as exc:
        return Unusable(received_ns, capped(str(exc))[:300], capped(payload))


def message_id(payload: bytes | str) -> str | None:
    """Return the id in a message, without a look at the rest of it; None for what is no confirmation."""
    try:
        _, fields = _unpack(payload, binary=False)
    except _Refusal:
        return None
    value = fields.get("id")
    return value if type(value) is str else None


def _unpack(payload: bytes | str, binary: bool) -> tuple[str, dict[str, object]]:
    if binary:
        raise _Refusal("a binary frame; confirmations are text")
    if len(payload) > CHARACTERS_MAX:
        raise _Refusal(f"{len(payload)} characters; a confirmation has at most {CHARACTERS_MAX}")
    try:
        text = payload if isinstance(payload, str) else payload.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _Refusal(f"no UTF-8 at byte {exc.start}") from exc
    try:
        value, end = _DECODER.raw_decode(text, _skip(text, 0))
    except json.JSONDecodeError as exc:
        raise _Refusal(f"no JSON: {exc.msg} at character {exc.pos}") from exc
    except RecursionError as exc:
        raise _Refusal("no JSON: nested too deeply") from exc
    if _skip(text, end) != len(text):
        raise _Refusal(f"no JSON: more text at character {end}")
    if not isinstance(value, dict):
        raise _Refusal("not an object; a confirmation is one, with its kind as a key")
    kinds = [kind for kind in KINDS if kind in value]
    # Further keys beside the kind are a newer feed's; two kinds would be two deals in one.
    if len(kinds) != 1:
        shown = ", ".join(ascii(key)[:40] for key in list(value)[:5]) or "nothing"
        raise _Refusal(f"holds {shown}, not one of {' or '.join(KINDS)}")
    fields = value[kinds[0]]
    if not isinstance(fields, dict):
        raise _Refusal(f"`{kinds[0]}` is not an object")
    return kinds[0], fields


def _deal(kind: str, fields: dict[str, object], received_ns: int, backfilled: bool, tolerance: ClockTolerance) -> Deal:
    deal_id = _field(fields, "id", read_id)
    price_e4 = _field(fields, "price", read_price_e4)
    quantity_e4 = _field(fields, "quantity", read_quantity_e4)
    direction = _field(fields, "direction", lambda value: read_choice(value, DIRECTIONS))
    trader_id = _field(fields, "trader_id", read_trader)
    execution_ns, zoned = _field(fields, "execution_time", read_time_ns)
    day, hour = (_field(fields, name, _plain_text) for name in ("delivery_day", "delivery_hour"))
    try:
        delivery = _delivery(day, hour)
    except InvalidDelivery as exc:
        raise _Refusal(f"`delivery_day` and `delivery_hour`: {exc}") from exc
    flags = []
    if backfilled:
        flags.append(Flag.BACKFILLED)
    if not zoned:
        flags.append(Flag.NO_ZONE)
    flags.extend(_clock_flags(received_ns - execution_ns, backfilled, tolerance))
    if execution_ns >= delivery.gate_closure_ns:
        flags.append(Flag.AFTER_GATE)
    if delivery.ambiguous:
        flags.append(Flag.AMBIGUOUS_HOUR)
    if is_rounded(fields["price"]) or is_rounded(fields["quantity"]):
        flags.append(Flag.ROUNDED)
    return Deal(
        id=deal_id,
        price_e4=price_e4,
        quantity_e4=quantity_e4,
        direction=direction,
        delivery_day=delivery.day,
        delivery_hour=delivery.hour,
        trader_id=trader_id,
        execution_time_ns=execution_ns,
        received_time_ns=received_ns,
        flags=",".join(flags),
        raw_kind=kind,
    )


@dataclass(frozen=True)
class _Delivery:
    """The part of an hour that a deal needs; a day has few of them, so they are kept."""

    day: str
    hour: str
    gate_closure_ns: int
    ambiguous: bool


@lru_cache(maxsize=4096)
def _delivery(day: str, hour: str) -> _Delivery:
    found = delivery_hour(day, hour)
    return _Delivery(found.day_text, found.label, found.gate_closure_ns(), found.ambiguous)


def _clock_flags(age_ns: int, backfilled: bool, tolerance: ClockTolerance) -> list[Flag]:
    """Judge an execution time by when it was received. What was fetched later is old by nature, but never from the future."""
    flags = []
    if not backfilled or age_ns < 0:
        hours = round(abs(age_ns) / HOUR_NS)
        if hours in (1, 2) and abs(abs(age_ns) - hours * HOUR_NS) <= tolerance.hours_ns:
            flags.append(Flag.HOURS_OFF)
    if age_ns < -tolerance.future_ns:
        flags.append(Flag.FUTURE)
    elif age_ns > tolerance.old_ns and not backfilled:
        flags.append(Flag.OLD)
    return flags


def _field(fields: dict[str, object], name: str, read: Callable[[object], Any]) -> Any:
    if name not in fields:
        raise _Refusal(f"`{name}` is missing")
    try:
        return read(fields[name])
    except ValueError as exc:
        raise _Refusal(f"`{name}` {exc}") from exc


def _plain_text(value: object) -> str:
    if type(value) is not str:
        raise ValueError("is not text")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _Refusal("a key stands twice in one object: which of the two is meant?")
    return values


def _no_constant(name: str) -> object:
    raise _Refusal(f"no JSON: {name} is no number")


def _skip(text: str, start: int) -> int:
    """Return where the next character that is no space stands."""
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start


# Numbers keep their text: a float would round them, and thousands of digits would have to be converted first.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=NumberText, parse_int=NumberText, parse_constant=_no_constant
)
