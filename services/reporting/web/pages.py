"""Turn a report into HTML. Everything is escaped by the templates; texts of other people never become markup."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clients.power.calendar import DeliveryHour, local_day
from services.reporting.engine.deals import DealRow
from services.reporting.engine.figures import Figures, from_e4, from_e10, plain
from services.reporting.engine.read_model import View
from services.reporting.engine.report import DayReport, HourRow, Report
from services.reporting.web.format import Number, amount, clock, day_name, money, number, signed
from services.reporting.web.query import Address

__all__ = ["DRILL_MAX", "Pages", "chart_of", "drill_of"]

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
DRILL_MAX: Final = 200
"""Deals shown below a period; the export has the others."""
TEAM: Final = "All traders"
MS: Final = 1_000_000


@dataclass(frozen=True)
class Link:
    """Somewhere else to look."""

    name: str
    query: str
    chosen: bool = False


@dataclass(frozen=True)
class Notice:
    """One sentence about what the figures rest on; `clock` says how the browser counts on from the time."""

    kind: str
    text: str
    time_ms: int = 0
    time: str = ""
    clock: str = "age"


class Pages:
    """Renders; holds nothing but compiled templates."""

    def __init__(self, asset: Callable[[str], str]) -> None:
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals["asset"] = asset
        self._page = environment.get_template("page.jinja")
        self._board = environment.get_template("board.jinja")
        self._deals = environment.get_template("deals.jinja")
        self._message = environment.get_template("message.jinja")

    def page(self, view: View, report: Report, address: Address, drill: dict[str, Any] | None) -> str:
        """Return the whole page."""
        return self._page.render(page=_page(view, report, address), drill=drill)

    def board(self, view: View, report: Report, address: Address) -> str:
        """Return the part that changes with every deal."""
        return self._board.render(page=_page(view, report, address))

    def deals(self, drill: dict[str, Any]) -> str:
        """Return the deals of one period."""
        return self._deals.render(drill=drill)

    def message(self, text: str, *, again: bool = False) -> str:
        """Return a page that says one thing; `again` makes the browser come back by itself."""
        return self._message.render(text=text, again=again)


def _page(view: View, report: Report, address: Address) -> dict[str, Any]:
    chosen = report.selection
    shown = date.fromisoformat(chosen.day or view.today)
    names = list(report.traders)
    if chosen.trader and chosen.trader not in names:
        names.append(chosen.trader)
    traders = [Link(TEAM, address.with_selection(trader="").text, not chosen.trader)]
    traders += [Link(name, address.with_selection(trader=name).text, name == chosen.trader) for name in names]

    def day_link(shift: int) -> Link:
        day = (shown + timedelta(days=shift)).isoformat()
        return Link(day_name(day), address.with_selection(day=day).text)

    toggle = Link(
        "Only hours with deals" if chosen.all_hours else "All hours",
        address.with_selection(all_hours=not chosen.all_hours).text,
    )
    return {
        "title": f"{chosen.trader or TEAM} - Power desk",
        "query": address.with_opened(None).text,
        "traders": traders,
        "before": day_link(-1),
        "after": day_link(1),
        "now": Link("", address.with_selection(day="").text),
        "is_now": not chosen.day,
        "day_name": day_name(chosen.day) if chosen.day else "",
        "toggle": toggle,
        "notices": _notices(view),
        "days": [_day(day, view, address) for day in report.days],
    }


def _notices(view: View) -> list[Notice]:
    notices = []
    snapshot, status = view.snapshot, view.snapshot.status
    if view.away:
        text = "The database does not answer. Everything here is as it was at"
        notices.append(_timed("bad", text, snapshot.as_of_ns))
    if status.trouble:
        notices.append(Notice("bad", f"Reference prices: {status.trouble}"))
    if view.late:
        notices.append(
            _timed("warn", "The next reference prices are late: they were due by", status.next_due_ns, "age")
        )
    elif status.next_due_ns:
        notices.append(_timed("info", "Next reference prices due by", status.next_due_ns, "due"))
    elif not status.last_answer_ns and not status.trouble:
        notices.append(Notice("info", "Nobody asks for reference prices yet: start power-etl."))
    if snapshot.gap_until_ns and local_day(snapshot.gap_until_ns).isoformat() == view.today:
        ended = clock(snapshot.gap_until_ns)
        text = f"The feed of deals was interrupted today, until {ended}: deals of that time may be missing."
        notices.append(Notice("warn", text))
    return notices


def _timed(kind: str, text: str, time_ns: int, kind_of_clock: str = "age") -> Notice:
    return Notice(kind, text, time_ns // MS, clock(time_ns), kind_of_clock)


def _day(day: DayReport, view: View, address: Address) -> dict[str, Any]:
    name = {view.today: "Today, ", view.tomorrow: "Tomorrow, "}.get(day.day, "") + day_name(day.day)
    who = f" of {address.selection.trader}" if address.selection.trader else ""
    return {
        "name": name,
        "rows": [_row(row, address) for row in day.rows],
        "total": _shared(day.total),
        "unpriced": _count(day.total.unpriced_deals),
        "mixed": any(row.figures.mixed for row in day.rows),
        "empty": f"No deals{who} for this day yet." if day.day >= view.today else f"No deals{who} on this day.",
    }


def _row(row: HourRow, address: Address) -> dict[str, Any]:
    hour, reference = row.hour, row.reference
    shown = _shared(row.figures) | {
        "id": f"{hour.day_text}.{hour.label}",
        "period": hour.label,
        "ambiguous": hour.ambiguous,
        "mixed": row.figures.mixed,
        "query": address.with_opened(hour).text,
        "reference": None if reference is None else number(from_e4(reference.value_e4)),
        "reference_ms": 0 if reference is None else reference.update_ns // MS,
        "reference_time": "" if reference is None else clock(reference.update_ns),
        "reference_state": str(row.state),
    }
    return shown | {"fingerprint": _fingerprint(row)}


def _fingerprint(row: HourRow) -> str:
    """What the browser compares to see which rows have changed."""
    text = repr((row.figures, None if row.reference is None else row.reference.value_e4))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _shared(figures: Figures) -> dict[str, Any]:
    average, per_mwh, euro = figures.average, figures.performance_per_mwh, figures.performance
    return {
        "average": None if average is None else number(average),
        "per_mwh": None if per_mwh is None else signed(per_mwh),
        "euro": Number("", 0, "") if euro is None else money(euro),
        "volume": _volume(figures),
        "deals": _count(figures.sums.deals),
    }


def _volume(figures: Figures) -> str:
    sums = figures.sums
    parts = [f"sold {amount(sums.sold.energy)}"] if sums.sold.deals else []
    if sums.bought.deals:
        parts.append(f"bought {amount(sums.bought.energy)}")
    return ", ".join(parts) + " MWh" if parts else "no deals"


def _count(deals: int) -> str:
    return "" if not deals else f"{deals:,} deal{'' if deals == 1 else 's'}".replace(",", "\u2009")


def drill_of(
    row: HourRow | None, hour: DeliveryHour, address: Address, deals: Sequence[DealRow], *, more: bool
) -> dict[str, Any]:
    """Return what the drill-down of a period shows: both sides, the reference, the newest deals."""
    figures = Figures() if row is None else row.figures
    reference = None if row is None else row.reference
    reference_e4 = None if reference is None else reference.value_e4
    sides = []
    for name, side, sign in (("Sold", figures.sums.sold, 1), ("Bought", figures.sums.bought, -1)):
        result = None if reference_e4 is None else sign * side.gain_e10(reference_e4)
        sides.append(
            {
                "name": name,
                "energy": amount(side.energy),
                "average": None if side.average is None else number(side.average),
                "result": None if result is None or not side.deals else money(from_e10(result)),
            }
        )
    return {
        "id": f"{hour.day_text}.{hour.label}",
        "title": f"{hour.label} on {day_name(hour.day_text)}",
        "who": (address.selection.trader or TEAM) + (", both hours of this name" if hour.ambiguous else ""),
        "query": address.text,
        "close_query": address.with_opened(None).text,
        "sides": sides,
        "reference": None if reference is None else number(from_e4(reference.value_e4)),
        "reference_ms": 0 if reference is None else reference.update_ns // MS,
        "reference_time": "" if reference is None else clock(reference.update_ns),
        "deals": [_deal(deal) for deal in deals],
        "more": more,
    }


def _deal(deal: DealRow) -> dict[str, Any]:
    return {
        "id": deal.id,
        "time": clock(deal.execution_time_ns),
        "trader": deal.trader_id,
        "side": "sell" if deal.sells else "buy",
        "quantity": number(from_e4(deal.quantity_e4)),
        "price": number(from_e4(deal.price_e4)),
        "flags": ", ".join(deal.flags),
    }


def chart_of(report: Report) -> dict[str, Any]:
    """Return the series of the chart. Numbers are texts: the drawing rounds them, nobody else does."""
    rows = [row for day in report.days for row in day.rows]
    return {
        "days": [{"name": day_name(day.day), "hours": len(day.rows)} for day in report.days if day.rows],
        "labels": [row.hour.label for row in rows],
        "own": [_text(row.figures.average) for row in rows],
        "reference": [None if row.reference is None else _text(from_e4(row.reference.value_e4)) for row in rows],
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
