"""Read the provider's answers: strict about types and ranges, liberal about styles."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final

from clients.power.calendar import DeliveryHour, InvalidDelivery, delivery_hour
from clients.power.reference.errors import UnusableAnswer
from clients.power.store.schema import E4, STAMP_AHEAD_NS_MAX

__all__ = ["Observation", "read_answer"]

VALUE_E4_MAX: Final = 1_000_000 * E4
"""EUR/MWh; what is beyond is a unit that somebody mixed up."""
UNITS: Final = frozenset({"euro/mwh", "eur/mwh", "€/mwh", "euro", "eur", "€"})
STAMP_MIN: Final = datetime(2000, 1, 1, tzinfo=UTC)
STAMP_MAX: Final = datetime(2100, 1, 1, tzinfo=UTC)
SHOWN_MAX: Final = 60

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Observation:
    """One answer about one hour. `value_e4` and `update_ns` are None together: the provider has no price yet."""

    hour: DeliveryHour
    value_e4: int | None
    unit: str
    update_ns: int | None
    observed_ns: int
    """Our clock, when the answer was complete."""
    rounded: bool = False
    """The provider sent more than four digits behind the point."""

    @property
    def ahead(self) -> bool:
        """Whether the stamp lies in the future: then it says nothing about the value's age."""
        return self.update_ns is not None and self.update_ns > self.observed_ns + STAMP_AHEAD_NS_MAX

    @property
    def since_ns(self) -> int | None:
        """What it is ranked by: the stamp, or where that lies in the future, when we saw it."""
        return self.observed_ns if self.ahead else self.update_ns

    @property
    def state(self) -> str:
        """How it is filed."""
        return "none" if self.value_e4 is None else "rounded" if self.rounded else "value"


def read_answer(body: bytes, hour: DeliveryHour, *, observed_ns: int) -> Observation:
    """Read the body of a good answer. Raises UnusableAnswer, naming what is wrong."""
    fields = _object(body)
    _check_hour(fields, hour)
    unit = _unit(fields.get("unit"))
    value, stamp = fields.get("value"), fields.get("last_update")
    if value is None:
        return Observation(hour, None, unit, None, observed_ns)
    value_e4, rounded = _value(value)
    if stamp is None:
        raise UnusableAnswer("`value` without `last_update`: nobody can tell how old it is")
    return Observation(hour, value_e4, unit, _stamp(stamp), observed_ns, rounded)


def no_price(hour: DeliveryHour, *, observed_ns: int) -> Observation:
    """Return what an answer without any price means."""
    return Observation(hour, None, "", None, observed_ns)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body, parse_float=str, parse_int=str, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise UnusableAnswer(f"not a JSON object: {type(exc).__name__}") from exc
    if not isinstance(found, dict):
        raise UnusableAnswer("a JSON object was expected")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands there twice")
    return fields


def _check_hour(fields: dict[str, Any], hour: DeliveryHour) -> None:
    day, label = fields.get("delivery_day"), fields.get("delivery_hour")
    if day is None and label is None:
        return
    try:
        named = delivery_hour(day, label) if isinstance(day, str) and isinstance(label, str) else None
    except InvalidDelivery:
        named = None
    if named != hour:
        raise UnusableAnswer(f"about {_shown(day)} {_shown(label)}, but {hour.day_text} {hour.label} was asked for")


def _unit(unit: Any) -> str:
    if unit is None:
        return ""
    if not isinstance(unit, str) or unit.strip().lower() not in UNITS:
        raise UnusableAnswer(f"`unit` is {_shown(unit)}, expected euro/mwh")
    return unit.strip().lower()


def _value(value: Any) -> tuple[int, bool]:
    # Numbers arrive as their text: a float would already have lost what was written. Texts that are numbers are taken, too.
    if not isinstance(value, str) or len(value) > 40 or not _NUMBER.fullmatch(value.strip()):
        raise UnusableAnswer(f"`value` is {_shown(value)}, expected a number")
    try:
        scaled = Decimal(value.strip()) * E4
    except InvalidOperation as exc:
        raise UnusableAnswer(f"`value` is {_shown(value)}, expected a number") from exc
    if abs(scaled) > VALUE_E4_MAX:
        raise UnusableAnswer(f"`value` is {_shown(value)}, beyond a million EUR/MWh")
    # Named, because libraries in the same process set the rounding of all who name none.
    whole = scaled.to_integral_value(ROUND_HALF_EVEN)
    return int(whole), whole != scaled


def _stamp(stamp: Any) -> int:
    if not isinstance(stamp, str) or len(stamp) > 40:
        raise UnusableAnswer(f"`last_update` is {_shown(stamp)}, expected a time like 2023-02-21T07:10:20+00:00")
    try:
        moment = datetime.fromisoformat(stamp.strip())
    except ValueError as exc:
        raise UnusableAnswer(f"`last_update` is {_shown(stamp)}, not a time") from exc
    # Without a zone it is UTC, as everywhere.
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not STAMP_MIN <= moment < STAMP_MAX:
        raise UnusableAnswer(f"`last_update` is {_shown(stamp)}, not a year of ours")
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1_000


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."
