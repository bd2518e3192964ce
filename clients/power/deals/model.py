"""Values of the deals feed: a deal, an unusable message with its reason, a gap."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final

__all__ = [
    "MARKET_CHARACTERS_MAX",
    "RAW_BYTES_MAX",
    "REVISION_LAST",
    "Deal",
    "Flag",
    "Gap",
    "Item",
    "Unusable",
    "capped",
    "deal_key",
]

RAW_BYTES_MAX: Final = 1000
"""What is kept of a message that cannot be used."""


REVISION_LAST: Final = 2**31 - 1
"""Revision of a cancellation that names none: nothing can come after it."""
MARKET_CHARACTERS_MAX: Final = 32


@unique
class Flag(StrEnum):
    """Oddities of a deal that is kept all the same. Stored in this order, separated by commas."""

    BACKFILLED = "backfilled"
    """Fetched after it had been missed: when it was received says nothing about its execution time."""
    NO_ZONE = "no_zone"
    """Its execution time names no zone; it was read as UTC."""
    HOURS_OFF = "hours_off"
    """Executed one or two whole hours before or after it was received: the mark of a clock in another zone."""
    FUTURE = "future"
    """Executed after it was received."""
    OLD = "old"
    """Executed long before it was received, although it came live."""
    AFTER_GATE = "after_gate"
    """Executed after its delivery had begun."""
    AMBIGUOUS_HOUR = "ambiguous_hour"
    """For the hour that happens twice in October; the feed cannot say which."""
    ROUNDED = "rounded"
    """Its price or quantity carried the noise of a binary float, which was rounded away."""
    NO_VALUES = "no_values"
    """A cancellation that names nothing but its deal; its values are those of the deal."""


@dataclass(frozen=True, slots=True)
class Deal:
    """A validated deal. Integers of 1/10,000 EUR/MWh and MW; times are UTC nanoseconds."""

    id: str
    price_e4: int
    quantity_e4: int
    direction: str
    """`buy` or `sell`."""
    delivery_day: str
    delivery_hour: str
    trader_id: str
    execution_time_ns: int
    received_time_ns: int
    flags: str
    raw_kind: str
    revision: int = 1
    """1 is the confirmation; corrections and cancellations count on."""
    canceled: bool = False
    """This revision says that the deal does not stand. Its other values may be missing then: see `complete`."""
    market: str = ""
    """As the exchange names it; empty when it does not."""

    @property
    def key(self) -> str:
        """Name of this revision on the exchange's list: a confirmation is named like its deal."""
        return deal_key(self.id, self.revision)

    @property
    def complete(self) -> bool:
        """False for a cancellation that names nothing but its deal."""
        return bool(self.delivery_day)


def deal_key(deal_id: str, revision: int) -> str:
    """Return how a revision of a deal is named on the exchange's list: `ID`, `ID#2`, `ID#canceled`."""
    if revision == 1:
        return deal_id
    return f"{deal_id}#{'canceled' if revision == REVISION_LAST else revision}"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A message that is no deal: why, and at most 1 kB of it, printable and storable everywhere."""

    received_time_ns: int
    reason: str
    raw: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which deals may have been missed for good. Without `since_ns` it began at the last committed deal."""

    since_ns: int | None
    until_ns: int
    reason: str


Item = Deal | Unusable | Gap
"""Whatever the feed hands on, in order of arrival."""


def capped(payload: bytes | str) -> str:
    """Return the beginning of a message as text that every database stores: control characters and bad bytes are escaped."""
    raw = payload if isinstance(payload, bytes) else payload[:RAW_BYTES_MAX].encode("utf-8", "surrogatepass")
    text = raw[:RAW_BYTES_MAX].decode("utf-8", "backslashreplace")
    text = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
    # Escapes are longer than what they stand for; a cut character at the end is left out.
    return text.encode("utf-8")[:RAW_BYTES_MAX].decode("utf-8", "ignore")
