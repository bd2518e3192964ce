"""Net positions: periods down, traders across."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from services.reporting.engine.figures import from_e6
from services.reporting.engine.positions import DayPositions, Matrix, PeriodPositions
from services.reporting.engine.read_model import View
from services.reporting.web.board import GROUPS, day_title
from services.reporting.web.format import Number, signed
from services.reporting.web.query import Address

__all__ = ["matrix_rows"]


def matrix_rows(view: View, matrix: Matrix, address: Address) -> dict[str, Any]:
    """Return what the template shows."""
    chosen = address.selection.trader
    return {
        "traders": [{"name": name, "chosen": name == chosen} for name in matrix.traders],
        "days": [_day(day, view, address) for day in matrix.days],
    }


def _day(day: DayPositions, view: View, address: Address) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for hour, found in groupby(day.rows, key=lambda row: row.period.whole_hour):
        parts = list(found)
        together = PeriodPositions(
            hour, tuple(sum(column) for column in zip(*(part.net_e6 for part in parts), strict=True))
        )
        quarters = any(part.period.quarter for part in parts)
        rows.append(_row(together, address) | {"quarters": sum(1 for part in parts if part.period.quarter)})
        if quarters and address.quarters:
            rows += [_row(part, address) | {"part": True} for part in parts]
    return {
        "name": day_title(day.day, view),
        "totals": [_net(net) for net in day.net_e6],
        "team": _net(day.team_e6),
        "rows": rows,
    }


def _row(row: PeriodPositions, address: Address) -> dict[str, Any]:
    """Return a row; the one of a part of an hour that is the whole hour is told from the hour's sum by its name."""
    return {
        "id": f"{row.period.day_text}.{row.period.label}",
        "label": row.period.label,
        "quarter": bool(row.period.quarter),
        "quarters": 0,
        "part": False,
        "group": not row.period.quarter and row.period.hour in GROUPS,
        "query": address.with_opened(row.period).text,
        "nets": [_net(net) for net in row.net_e6],
        "team": _net(row.team_e6),
        "power": signed(row.power(row.team_e6)),
    }


def _net(net_e6: int) -> Number:
    return signed(from_e6(net_e6))
