"""Net positions: periods down, traders across."""

from __future__ import annotations

from typing import Any

from services.reporting.engine.figures import from_e6
from services.reporting.engine.positions import DayPositions, Matrix
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
    return {
        "name": day_title(day.day, view),
        "totals": [_net(net) for net in day.net_e6],
        "team": _net(day.team_e6),
        "rows": [
            {
                "id": f"{day.day}.{row.period.label}",
                "label": row.period.label,
                "quarter": bool(row.period.quarter),
                "group": not row.period.quarter and row.period.hour in GROUPS,
                "query": address.with_opened(row.period).text,
                "nets": [_net(net) for net in row.net_e6],
                "team": _net(row.team_e6),
                "power": signed(row.power(row.team_e6)),
            }
            for row in day.rows
        ],
    }


def _net(net_e6: int) -> Number:
    return signed(from_e6(net_e6))
