"""Sort arrivals into what is new, what comes again, and which revision of a deal counts, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clients.power.deals.model import Deal, Flag, Unusable, capped
from clients.power.store.schema import ACTIVE, CANCELED

__all__ = ["CONTENT", "Arrival", "KnownDeals", "Revision", "SortedOut"]

CONTENT: Final = (
    "price_e4",
    "quantity_e4",
    "direction",
    "delivery_day",
    "delivery_hour",
    "trader_id",
    "execution_time_ns",
)
"""What two messages of one revision have to agree on."""


@dataclass(frozen=True)
class Arrival:
    """A deal and whether the feed delivered it, as opposed to a look at the exchange's list."""

    deal: Deal
    by_feed: bool


@dataclass
class Revision:
    """A row of the table, as far as sorting needs it."""

    revision: int
    values: tuple[Any, ...]
    """CONTENT and market; of a cancellation without values, those of the deal as far as they are known."""
    status: str
    bare: bool
    """A cancellation that named nothing but its deal."""
    position: int
    received_ns: int
    superseded_by: int | None = None
    superseded_ns: int | None = None
    deal: Deal | None = None
    """Set where it is not in the table yet."""
    changed: bool = False
    """Set where it is, and what it says there has to be changed."""
    filled: bool = False
    """Set where the change is to its values."""

    @property
    def canceled(self) -> bool:
        return self.status == CANCELED


@dataclass
class SortedOut:
    """Arrivals by what becomes of them."""

    new: list[Arrival] = field(default_factory=list)
    again: list[Arrival] = field(default_factory=list)
    conflicts: list[Unusable] = field(default_factory=list)


class KnownDeals:
    """The revisions of the deals of one batch: those of the table, and what arrives."""

    def __init__(self, known: Mapping[str, Sequence[Revision]], last_position: int) -> None:
        self._deals = {deal_id: {found.revision: found for found in rows} for deal_id, rows in known.items()}
        self._position = last_position

    def sort_out(self, arrivals: Iterable[Arrival]) -> SortedOut:
        """Take arrivals in their order; of one revision the first counts."""
        found = SortedOut()
        for arrival in arrivals:
            deal = arrival.deal
            revisions = self._deals.setdefault(deal.id, {})
            before = revisions.get(deal.revision)
            if before is None:
                self._add(revisions, deal)
                found.new.append(arrival)
            elif _says_the_same(before, deal):
                found.again.append(arrival)
            elif arrival.by_feed:
                # Once, when the feed says it; the list says it again after every start.
                reason = f"deal {capped(deal.key)[:64]} was confirmed before with other values; the first is kept"
                found.conflicts.append(Unusable(deal.received_time_ns, reason, capped(str(deal))))
        return found

    def added(self) -> list[Revision]:
        """Return what has to be inserted, in order of arrival."""
        rows = (row for revisions in self._deals.values() for row in revisions.values() if row.deal is not None)
        return sorted(rows, key=lambda row: row.position)

    def changed(self) -> list[tuple[str, Revision]]:
        """Return what has to be updated, with the deal's id."""
        return [
            (deal_id, row)
            for deal_id, revisions in self._deals.items()
            for row in revisions.values()
            if row.changed and row.deal is None
        ]

    def _add(self, revisions: dict[int, Revision], deal: Deal) -> None:
        self._position += 1
        row = Revision(
            revision=deal.revision,
            values=(*(getattr(deal, name) for name in CONTENT), deal.market),
            status=CANCELED if deal.canceled else ACTIVE,
            bare=deal.canceled and not deal.complete,
            position=self._position,
            received_ns=deal.received_time_ns,
            deal=deal,
        )
        if revisions:
            top = revisions[max(revisions)]
            if row.revision > top.revision:
                top.superseded_by, top.superseded_ns, top.changed = row.position, row.received_ns, True
            else:
                # It comes late, or out of order: a newer one counts already.
                row.superseded_by, row.superseded_ns = top.position, row.received_ns
        revisions[row.revision] = row
        _fill_in(revisions)


def _fill_in(revisions: Mapping[int, Revision]) -> None:
    """Let cancellations without values say what they cancel: the newest values before them."""
    values: tuple[Any, ...] | None = None
    for _, row in sorted(revisions.items()):
        if not row.bare:
            values = row.values
        elif values is not None and row.values != values:
            row.values, row.changed, row.filled = values, True, True


def _says_the_same(before: Revision, deal: Deal) -> bool:
    if before.canceled != deal.canceled:
        return False
    if before.bare or not deal.complete:
        # Cancellations of one number mean the same, with or without values.
        return True
    return before.values[: len(CONTENT)] == tuple(getattr(deal, name) for name in CONTENT)


def is_bare(flags: str) -> bool:
    """Tell from a row's flags whether it is a cancellation that came without values."""
    return Flag.NO_VALUES in flags.split(",")
