"""Turn figures into HTML. Everything is escaped by the templates; texts of other people never become markup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.reporting.engine.positions import Matrix
from services.reporting.engine.read_model import View
from services.reporting.engine.report import Report
from services.reporting.web.board import board_of
from services.reporting.web.drill import TEAM
from services.reporting.web.format import clock, day_name
from services.reporting.web.matrix import matrix_rows
from services.reporting.web.notices import live_of, notices_of, signs_of
from services.reporting.web.query import Address

__all__ = ["Pages"]

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Link:
    """Somewhere else to look."""

    name: str
    query: str
    chosen: bool = False


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

    def page(
        self, view: View, report: Report, address: Address, drill: dict[str, Any] | None, matrix: Matrix | None
    ) -> str:
        """Return the whole page."""
        frame = _frame(view, report, address)
        return self._page.render(frame=frame, page=_board(view, report, address, matrix), drill=drill)

    def board(self, view: View, report: Report, address: Address, matrix: Matrix | None) -> str:
        """Return the part that changes with every deal."""
        return self._board.render(page=_board(view, report, address, matrix))

    def deals(self, drill: dict[str, Any]) -> str:
        """Return the deals of one period."""
        return self._deals.render(drill=drill)

    def message(self, text: str, *, again: bool = False) -> str:
        """Return a page that says one thing; `again` makes the browser come back by itself."""
        return self._message.render(text=text, again=again)


def _frame(view: View, report: Report, address: Address) -> dict[str, Any]:
    """Return what stays until another address is opened, or the day ends."""
    chosen = report.selection
    shown = date.fromisoformat(chosen.day or view.today)

    def day_link(shift: int) -> Link:
        day = (shown + timedelta(days=shift)).isoformat()
        return Link(day_name(day), address.with_selection(day=day).text)

    hours = "Hours with deals" if chosen.all_hours else "All hours"
    quarters = "Fold quarters" if address.quarters else "Quarters"
    views = [
        Link("Results", replace(address, positions=False).text, not address.positions),
        Link("Positions", replace(address, positions=True).text, address.positions),
    ]
    days = [day.day for day in report.days]
    return {
        "title": f"{chosen.trader or TEAM} - Power desk",
        "query": address.with_opened(None).text,
        "before": day_link(-1),
        "after": day_link(1),
        "now": Link("Today and tomorrow", address.with_selection(day="").text, not chosen.day),
        "day": chosen.day or view.today,
        "fields": {name: value for name, value in address.with_opened(None).fields.items() if name != "day"},
        "views": views,
        # Positions are those of periods with deals.
        "toggles": [
            *([] if address.positions else [Link(hours, address.with_selection(all_hours=not chosen.all_hours).text)]),
            Link(quarters, replace(address, quarters=not address.quarters).text),
        ],
        "days": [Link(day_name(day), address.with_selection(day=day).with_opened(None).text) for day in days],
    }


def _board(view: View, report: Report, address: Address, matrix: Matrix | None) -> dict[str, Any]:
    chosen = report.selection

    def links(field: str, names: tuple[str, ...], taken: str, everything: str) -> list[Link]:
        listed = [*names, *([taken] if taken and taken not in names else [])]
        found = [Link(name, address.with_selection(**{field: name}).text, name == taken) for name in listed]
        return [Link(everything, address.with_selection(**{field: ""}).text, not taken), *found]

    return {
        "query": address.with_opened(None).text,
        "today": view.today,
        "as_of": clock(view.snapshot.as_of_ns),
        "traders": links("trader", report.traders, chosen.trader, TEAM),
        "markets": links("market", report.markets, chosen.market, "All markets")
        if report.markets or chosen.market
        else [],
        "live": live_of(view),
        "notices": notices_of(view),
        "signs": signs_of(view),
        "unfold_query": replace(address, past=True).text,
        "fold_query": replace(address, past=False).text,
        "table": board_of(view, report, address) if matrix is None else None,
        "matrix": None if matrix is None else matrix_rows(view, matrix, address),
    }
