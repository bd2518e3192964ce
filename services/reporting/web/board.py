"""The table: rows of a report in groups, hours that are over folded, quarters below their hour."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from clients.power.calendar import DeliveryHour
from services.reporting.engine.figures import Figures, from_e4, from_e6, total
from services.reporting.engine.read_model import View
from services.reporting.engine.report import DayReport, HourRow, ReferenceState, Report
from services.reporting.web.format import clock, counted, day_name, number, signed
from services.reporting.web.query import Address

__all__ = ["GROUPS", "NO_PRICE", "board_of", "day_title", "reference_of"]

MS: Final = 1_000_000
FOLDED_MIN: Final = 2
"""One hour that is over takes as much room as the line that would hide it."""
NO_PRICE: Final[dict[str, Any]] = {
    "reference": None, "state": "none", "words": "none yet", "short": "none yet", "time_ms": 0, "time": "", "of_hour": False,
}  # fmt: skip
"""What is shown where there is no reference price."""
GROUPS: Final = (8, 20)
"""Where a line is drawn: peak hours are from 8 to 20."""


def board_of(view: View, report: Report, address: Address) -> dict[str, Any]:
    """Return everything that the table shows."""
    days = [_day(day, view, address) for day in report.days]
    return {
        "days": days,
        "revised": any(row["revised"] for day in days for row in day["rows"]),
        "unpriced": any(day["unpriced"] for day in days),
        "mixed": any(row["mixed"] for day in days for row in day["rows"]),
        "unconfirmed": any(row["state"] == ReferenceState.CLOSED for day in days for row in day["rows"]),
        "markets": bool(report.markets),
    }


def _day(day: DayReport, view: View, address: Address) -> dict[str, Any]:
    now_ns = view.snapshot.as_of_ns
    name = day_title(day.day, view)
    who = f" of {address.selection.trader}" if address.selection.trader else ""
    hours = [(hour, list(parts)) for hour, parts in groupby(day.rows, key=lambda row: row.hour.whole_hour)]
    over = [hour for hour, _ in hours if hour.end_ns <= now_ns] if day.day == view.today else []
    folded = len(over) if len(over) >= FOLDED_MIN and not address.past else 0
    rows: list[dict[str, Any]] = []
    for hour, parts in hours[folded:]:
        rows += _hour(hour, parts, address, now_ns)
    return {
        "day": day.day,
        "name": name,
        "rows": rows,
        "past": _past([part for _, parts in hours[:folded] for part in parts], folded) if folded else None,
        "unfolded": len(over) >= FOLDED_MIN and address.past,
        "now": _now_line(rows, now_ns) if day.day == view.today and hours else None,
        "total": _shared(day.total),
        "unpriced": day.total.unpriced_deals,
        "any": bool(hours),
        "empty": f"No deals{who} for this day yet." if day.day >= view.today else f"No deals{who} on this day.",
    }


def day_title(day: str, view: View) -> str:
    """Return the name of a day; what is near needs no year."""
    near = {view.today: "Today", view.tomorrow: "Tomorrow"}.get(day)
    return day_name(day) if near is None else f"{near}, {day_name(day).rsplit(' ', 1)[0]}"


def _past(parts: list[HourRow], hours: int) -> dict[str, Any]:
    label = f"{parts[0].hour.whole_hour.label[:2]}-{parts[-1].hour.whole_hour.label[3:]}"
    return _shared(total(part.figures for part in parts)) | {"label": label, "hours": hours}


def _now_line(rows: list[dict[str, Any]], now_ns: int) -> dict[str, Any]:
    """Return before which row the present lies, and which period closes next: of an hour that has closed it may be a quarter."""
    before = next((row["id"] for row in rows if row["open"]), "")
    leaves = (row for row in rows if not row["quarters"])
    following = next((row for row in leaves if row["closes_ms"] * MS > now_ns), None)
    return {
        "before": before,
        "label": "" if following is None else following["period"],
        "closes_ms": 0 if following is None else following["closes_ms"],
        "closes": "" if following is None else following["closes"],
    }


def _hour(hour: DeliveryHour, parts: list[HourRow], address: Address, now_ns: int) -> Iterator[dict[str, Any]]:
    """Yield the row of an hour; where quarters of it are traded, the row is the sum, and its parts stand below it."""
    quarters = [part for part in parts if part.hour.quarter]
    if not quarters:
        yield _row(parts[0], address, now_ns) | {"quarters": 0, "parent": ""}
        return
    whole = next((part for part in parts if not part.hour.quarter), None)
    # A quarter without a price of its own has its hour's.
    priced = next((part for part in parts if not part.hour.quarter or part.reference_of_hour), None)
    shown = address.quarters or (address.opened is not None and address.opened.whole_hour == hour)
    open_ns = [part.gate_closure_ns for part in parts if part.gate_closure_ns > now_ns]
    sum_row = HourRow(
        hour,
        total(part.figures for part in parts),
        None if priced is None else priced.reference,
        ReferenceState.NONE if priced is None else priced.state,
        markets=tuple(sorted({market for part in parts for market in part.markets})),
        # Of what can still be traded the next to close; the row is over with the last of it.
        gate_closure_ns=min(open_ns, default=max(part.gate_closure_ns for part in parts)),
    )
    head = _row(sum_row, address, now_ns) | {"quarters": len(quarters), "parent": "", "shown": shown}
    if head["reference"] is None and any(part.reference for part in quarters):
        head |= {"words": "by quarter", "short": "by quarter"}
    yield head
    if whole is not None and whole.figures.sums.deals:
        yield _row(whole, address, now_ns) | {
            "id": f"{head['id']}.hour", "parent": head["id"], "quarters": 0, "shown": shown, "label": "whole hour",
        }  # fmt: skip
    for part in quarters:
        yield _row(part, address, now_ns) | {"parent": head["id"], "quarters": 0, "shown": shown}


def _row(row: HourRow, address: Address, now_ns: int) -> dict[str, Any]:
    hour, sums = row.hour, row.figures.sums
    revised = [text for text in (_revised(sums.corrected, "corrected"), _revised(sums.canceled, "canceled")) if text]
    shown = _shared(row.figures) | reference_of(row, now_ns)
    return shown | {
        "id": f"{hour.day_text}.{hour.label}",
        "label": hour.label,
        "period": hour.label,
        "ambiguous": hour.ambiguous,
        "mixed": row.figures.mixed,
        "group": not hour.quarter and hour.hour in GROUPS,
        "revised": sums.corrected + sums.canceled,
        "revisions": ", ".join(revised),
        "markets": ", ".join(row.markets),
        "query": address.with_opened(hour).text,
        "power": signed(row.net_power_with_hour) if hour.quarter else None,
        "open": row.gate_closure_ns > now_ns,
        "closes_ms": row.gate_closure_ns // MS,
        "closes": clock(row.gate_closure_ns, seconds=False),
        "fingerprint": _fingerprint(row),
    }


def _revised(deals: int, how: str) -> str:
    return f"{deals} {how}" if deals else ""


def reference_of(row: HourRow, now_ns: int) -> dict[str, Any]:
    """Return the reference price of a row and how far it is to be trusted."""
    reference, state = row.reference, row.state
    if reference is None:
        words = "no price" if row.hour.end_ns <= now_ns else "none yet"
        return NO_PRICE | {"state": str(state), "words": words, "short": words}
    words = short = {ReferenceState.FINAL: "final", ReferenceState.STALE: "stale"}.get(state, "")
    if state is ReferenceState.CLOSED:
        seen = clock(reference.update_ns, seconds=False)
        words, short = f"last seen {seen}, final not confirmed", f"{seen} not final"
    return {
        "reference": number(from_e4(reference.value_e4)),
        "state": str(state),
        "words": words,
        "short": short,
        "time_ms": reference.update_ns // MS,
        "time": clock(reference.update_ns),
        "of_hour": row.reference_of_hour,
    }


def _fingerprint(row: HourRow) -> str:
    """What the browser compares to see which rows have changed."""
    text = repr((row.figures, None if row.reference is None else row.reference.value_e4))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _shared(figures: Figures) -> dict[str, Any]:
    average, per_mwh, euro, sums = figures.average, figures.performance_per_mwh, figures.performance, figures.sums
    return {
        "average": None if average is None else number(average),
        "per_mwh": None if per_mwh is None else signed(per_mwh),
        "euro": None if euro is None else signed(euro),
        "bought": number(sums.bought.energy) if sums.bought.deals else None,
        "sold": number(sums.sold.energy) if sums.sold.deals else None,
        "net": signed(from_e6(sums.net_e6)) if sums.deals else None,
        "count": counted(sums.deals, "deal"),
    }
