"""Turn messages of the deals feed into deals; what is no deal says why. Nothing that arrives can raise.

A confirmation is the first revision of a deal. A `deal_correction` has all its fields again and a `revision` from 2 up; a
`deal_cancellation` may have nothing but `id` (and `revision`: without one it is final). The highest revision counts, in whatever
order they come.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from clients.power.calendar import InvalidDelivery, delivery_hour
from clients.power.deals.model import REVISION_LAST, Deal, Flag, Unusable, capped, deal_key
from clients.power.deals.values import (
    NumberText,
    is_rounded,
    read_choice,
    read_id,
    read_market,
    read_price_e4,
    read_quantity_e4,
    read_revision,
    read_time_ns,
    read_trader,
)

__all__ = ["KINDS", "ClockTolerance", "message_key", "parse_message"]

CONFIRMATIONS: Final = ("deal_confirmation", "trade_confirmation")
CORRECTIONS: Final = ("deal_correction", "trade_correction")
CANCELLATIONS: Final = ("deal_cancellation", "trade_cancellation")
KINDS: Final = CONFIRMATIONS + CORRECTIONS + CANCELLATIONS
VALUES: Final = ("price", "quantity", "direction", "delivery_day", "delivery_hour", "trader_id", "execution_time")
"""What a cancellation may leave out, all of it or nothing."""
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
        if kind in CANCELLATIONS:
            return _cancellation(kind, fields, received_ns, backfilled, tolerance)
        return _deal(kind, fields, received_ns, backfilled, tolerance)
    except _Refusal as exc:
        return Unusable(received_ns, capped(str(exc))[:300], capped(payload))


def message_key(payload: bytes | str) -> str | None:
    """Return how a message is named on the exchange's list (`Deal.key`), without a look at the rest of it; None for what is no deal."""
    try:
        kind, fields = _unpack(payload, binary=False)
        revision = _revision(kind, fields)
    except _Refusal:
        return None
    value = fields.get("id")
    return deal_key(value, revision) if type(value) is str else None


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
        raise _Refusal(f"holds {shown}, not one of {', '.join(KINDS)}")
    fields = value[kinds[0]]
    if not isinstance(fields, dict):
        raise _Refusal(f"`{kinds[0]}` is not an object")
    return kinds[0], fields


def _revision(kind: str, fields: dict[str, object]) -> int:
    if "revision" not in fields:
        if kind in CORRECTIONS:
            raise _Refusal("`revision` is missing: nobody could tell which correction is the newest")
        # A cancellation without number is the last word about a deal.
        return REVISION_LAST if kind in CANCELLATIONS else 1
    revision: int = _field(fields, "revision", read_revision)
    if revision == 1 and kind not in CONFIRMATIONS:
        raise _Refusal("`revision` is 1, which is the confirmation; corrections and cancellations count on from 2")
    return revision


def _cancellation(
    kind: str, fields: dict[str, object], received_ns: int, backfilled: bool, tolerance: ClockTolerance
) -> Deal:
    """Return what says that a deal does not stand; its id is enough."""
    if all(name in fields for name in VALUES):
        return replace(_deal(kind, fields, received_ns, backfilled, tolerance), canceled=True)
    flags = (Flag.BACKFILLED, Flag.NO_VALUES) if backfilled else (Flag.NO_VALUES,)
    return Deal(
        id=_field(fields, "id", read_id),
        price_e4=0,
        quantity_e4=0,
        direction=DIRECTIONS[0],
        delivery_day="",
        delivery_hour="",
        trader_id="",
        execution_time_ns=received_ns,
        received_time_ns=received_ns,
        flags=",".join(flags),
        raw_kind=kind,
        revision=_revision(kind, fields),
        canceled=True,
        market=read_market(fields.get("market")),
    )


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
    revision = _revision(kind, fields)
    # A revision says when the deal was executed, not itself: that is old by nature.
    flags.extend(_clock_flags(received_ns - execution_ns, backfilled or revision > 1, tolerance))
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
        revision=revision,
        market=read_market(fields.get("market")),
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
