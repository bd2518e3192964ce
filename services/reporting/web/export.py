"""CSV for spreadsheets. A spreadsheet runs what begins with =, +, - or @; texts that others chose must not become formulas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from services.reporting.engine.deals import DealRow
from services.reporting.engine.figures import from_e4, plain
from services.reporting.engine.report import Report

__all__ = ["DEALS_HEADER", "deals_lines", "performance_csv"]

PERFORMANCE_HEADER: Final = (
    "delivery_day", "delivery_hour", "trader", "deals", "bought_mwh", "sold_mwh", "average_price_eur_mwh",
    "reference_price_eur_mwh", "reference_updated", "reference_state", "performance_eur_mwh", "performance_eur",
)  # fmt: skip
DEALS_HEADER: Final = (
    "id", "delivery_day", "delivery_hour", "trader", "direction", "price_eur_mwh", "quantity_mw", "executed", "received", "flags",
)  # fmt: skip

_RISKY: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def performance_csv(report: Report) -> str:
    """Return the rows of a report; figures are exact, averages to eight digits."""
    trader = report.selection.trader or "all"
    lines = [_line(PERFORMANCE_HEADER)]
    for day in report.days:
        for row in day.rows:
            figures, reference = row.figures, row.reference
            per_mwh, euro, average = figures.performance_per_mwh, figures.performance, figures.average
            lines.append(
                _line(
                    (
                        day.day,
                        row.hour.label,
                        safe(trader),
                        str(figures.sums.deals),
                        plain(figures.sums.bought.energy),
                        plain(figures.sums.sold.energy),
                        "" if average is None else plain(average),
                        "" if reference is None else plain(from_e4(reference.value_e4)),
                        "" if reference is None else _moment(reference.update_ns),
                        str(row.state),
                        "" if per_mwh is None else plain(per_mwh),
                        "" if euro is None else plain(euro),
                    )
                )
            )
    return "".join(lines)


def deals_lines(deals: Iterable[DealRow], *, header: bool) -> str:
    """Return deals as lines."""
    lines = [_line(DEALS_HEADER)] if header else []
    lines += [
        _line(
            (
                safe(deal.id),
                deal.delivery_day,
                deal.delivery_hour,
                safe(deal.trader_id),
                "sell" if deal.sells else "buy",
                plain(from_e4(deal.price_e4)),
                plain(from_e4(deal.quantity_e4)),
                _moment(deal.execution_time_ns),
                _moment(deal.received_time_ns),
                safe(" ".join(deal.flags)),
            )
        )
        for deal in deals
    ]
    return "".join(lines)


def safe(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula and no viewer for a command."""
    shown = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
    return "'" + shown if text.lstrip().startswith(_RISKY) or text.startswith(_RISKY) else shown


def _line(cells: Sequence[str]) -> str:
    return ",".join(_quoted(cell) for cell in cells) + "\r\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ",\"\r\n ;'") else cell


def _moment(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC).isoformat().replace("+00:00", "Z")
