"""Read the address of a page, and write such an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Final
from urllib.parse import parse_qsl, urlencode

from clients.power.calendar import DeliveryHour, InvalidDelivery, delivery_hour
from services.reporting.engine.report import Selection
from services.reporting.web.http import BadQuery

__all__ = ["Address", "check_exact"]

NAME_CHARACTERS_MAX: Final = 128
LEGAL: Final[Mapping[str, tuple[str, ...]]] = {
    "trader": (),
    "market": (),
    "day": (),
    "hours": ("all",),
    "past": ("shown",),
    "quarters": ("all",),
    "show": ("positions",),
    "open": (),
}
"""Every parameter with its legal values; none are those that are looked up or parsed."""


@dataclass(frozen=True)
class Address:
    """What a page shows. Everything that a page remembers is here, so a bookmark remembers it too."""

    selection: Selection = Selection()  # noqa: RUF009  (frozen)
    opened: DeliveryHour | None = None
    """The period whose deals are shown."""
    past: bool = False
    """Hours of today that are over are shown one by one."""
    quarters: bool = False
    """Quarters of hours are shown below every hour."""
    positions: bool = False
    """Net positions by trader instead of results."""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Address:
        """Take the parameters. Raises BadQuery for one that cannot be."""
        for name in ("trader", "market"):
            if len(query.get(name, "")) > NAME_CHARACTERS_MAX:
                characters = len(query[name])
                raise BadQuery(f"`{name}` has {characters} characters; names have at most {NAME_CHARACTERS_MAX}")
        try:
            day = delivery_hour(query["day"], "00-01").day_text if query.get("day") else ""
            opened = _opened(query.get("open", ""))
        except InvalidDelivery as exc:
            raise BadQuery(str(exc)) from exc
        return cls(
            Selection(query.get("trader", ""), day, query.get("hours") == "all", query.get("market", "")),
            opened,
            past=query.get("past") == "shown",
            quarters=query.get("quarters") == "all",
            positions=query.get("show") == "positions",
        )

    @cached_property
    def text(self) -> str:
        """The parameters, always in the same order; nothing for what is usual."""
        return urlencode(self.fields)

    @cached_property
    def fields(self) -> dict[str, str]:
        """The parameters by name, without those that are as usual."""
        chosen = self.selection
        fields = {
            "trader": chosen.trader,
            "market": chosen.market,
            "day": chosen.day,
            "hours": "all" if chosen.all_hours else "",
            "past": "shown" if self.past else "",
            "quarters": "all" if self.quarters else "",
            "show": "positions" if self.positions else "",
            "open": "" if self.opened is None else f"{self.opened.day_text}.{self.opened.label}",
        }
        return {name: value for name, value in fields.items() if value}

    def with_selection(self, **changes: str | bool) -> Address:
        """Return the address with another selection; a period that is open stays so."""
        return replace(self, selection=replace(self.selection, **changes))  # type: ignore[arg-type]

    def with_opened(self, opened: DeliveryHour | None) -> Address:
        """Return the address with another period open."""
        return replace(self, opened=opened)


def check_exact(query_string: bytes) -> None:
    """Raise BadQuery for a name or value that an export does not know: what is misspelled would export everything.

    Pages are not so strict: links to them collect parameters on their way.
    """
    given = Counter(name for name, _ in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    for name, count in given.items():
        if name not in LEGAL:
            near = get_close_matches(name.lower()[:64], LEGAL, n=1)
            meant = f"; did you mean `{near[0]}`?" if near else ""
            raise BadQuery(f"`{name[:64]}` is no parameter{meant}; there are {', '.join(LEGAL)}")
        if count > 1:
            raise BadQuery(f"`{name}` is given {count} times, and may be given once")
    for name, value in parse_qsl(query_string.decode("latin-1")):
        if LEGAL[name] and value not in LEGAL[name]:
            raise BadQuery(f"`{name}` is `{value[:64]}`, legal is `{'`, `'.join(LEGAL[name])}`, or leave it out")


def _opened(text: str) -> DeliveryHour | None:
    if not text:
        return None
    day, _, hour = text.partition(".")
    return delivery_hour(day, hour)
