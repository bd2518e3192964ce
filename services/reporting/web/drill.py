"""What is shown of one period: both sides, the reference and how it came about, the newest deals with their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from clients.power.calendar import DeliveryHour
from clients.power.deals.model import REVISION_LAST
from services.reporting.engine.deals import DealRow, DealStatus
from services.reporting.engine.figures import Figures, from_e4, from_e10, plain
from services.reporting.engine.history import History, PricePoint
from services.reporting.engine.report import HourRow
from services.reporting.web.board import NO_PRICE, reference_of
from services.reporting.web.format import Number, clock, day_name, number, signed, unrounded
from services.reporting.web.query import Address

__all__ = ["DRILL_MAX", "TEAM", "drill_of"]

DRILL_MAX: Final = 200
"""Deals shown below a period; the export has the others."""
PRICES_MAX: Final = 24
"""Reference prices listed; the chart has more."""
TEAM: Final = "All traders"
MS: Final = 1_000_000


def drill_of(
    row: HourRow | None,
    hour: DeliveryHour,
    address: Address,
    deals: Sequence[DealRow],
    history: History,
    *,
    more: bool,
    now_ns: int,
) -> dict[str, Any]:
    """Return what the template shows."""
    figures = Figures() if row is None else row.figures
    reference = None if row is None else row.reference
    sides = []
    for name, side, sign in (("Sold", figures.sums.sold, 1), ("Bought", figures.sums.bought, -1)):
        result = None if reference is None or not side.deals else from_e10(sign * side.gain_e10(reference.value_e4))
        sides.append(
            {
                "name": name,
                "energy": number(side.energy),
                "average": None if side.average is None else number(side.average),
                "result": None if result is None else signed(result),
            }
        )
    return {
        "id": f"{hour.day_text}.{hour.label}",
        "hour_id": f"{hour.day_text}.{hour.whole_hour.label}",
        "title": f"{hour.label} on {day_name(hour.day_text)}",
        "who": (address.selection.trader or TEAM) + (", both hours of this name" if hour.ambiguous else ""),
        "query": address.text,
        "close_query": address.with_opened(None).text,
        "sides": sides,
        "net": None if row is None or not figures.sums.deals else signed(row.net_energy),
        "power": None if row is None or not figures.sums.deals else signed(row.net_power),
        "is_quarter": bool(hour.quarter),
        "price": NO_PRICE if row is None else reference_of(row, now_ns),
        "closes_ms": 0 if row is None else row.gate_closure_ns // MS,
        "closes": "" if row is None else clock(row.gate_closure_ns, seconds=False),
        "exact": _exact(row),
        "prices": [_price(point, before) for point, before in _last_prices(history)],
        "more_prices": max(0, len(history.prices) - PRICES_MAX),
        "deals": [_deal(deal) for deal in deals],
        "markets": any(deal.market for deal in deals),
        "more": more,
    }


def _exact(row: HourRow | None) -> list[tuple[str, str]]:
    """Return every figure with all its digits: those of the table are rounded."""
    if row is None or not row.figures.sums.deals:
        return []
    figures, sums = row.figures, row.figures.sums
    numbers = (
        ("Bought, MWh", sums.bought.energy),
        ("Sold, MWh", sums.sold.energy),
        ("Net position, MWh", row.net_energy),
        ("Net position, MW", row.net_power),
        ("Our average, EUR/MWh", figures.average),
        ("Average of buys, EUR/MWh", sums.bought.average),
        ("Average of sells, EUR/MWh", sums.sold.average),
        ("Reference, EUR/MWh", None if row.reference is None else from_e4(row.reference.value_e4)),
        ("Result, EUR/MWh", figures.performance_per_mwh),
        ("Result, EUR", figures.performance),
    )
    return [(name, plain(value)) for name, value in numbers if value is not None]


def _last_prices(history: History) -> list[tuple[PricePoint, PricePoint | None]]:
    points = history.prices
    pairs = [(point, points[at - 1] if at else None) for at, point in enumerate(points)]
    return pairs[-PRICES_MAX:][::-1]


def _price(point: PricePoint, before: PricePoint | None) -> dict[str, Any]:
    change = None if before is None else signed(from_e4(point.value_e4 - before.value_e4))
    return {"time": clock(point.since_ns), "value": number(from_e4(point.value_e4)), "change": change}


def _deal(deal: DealRow) -> dict[str, Any]:
    words = "" if deal.status is DealStatus.ACTIVE else str(deal.status)
    # A cancellation that names no revision is the last there can be.
    if 1 < deal.revision < REVISION_LAST:
        words = f"{words}, revision {deal.revision}".removeprefix(", ")
    if deal.superseded_ns:
        words += f" at {clock(deal.superseded_ns)}"
    return {
        "id": deal.id,
        "time": clock(deal.execution_time_ns),
        "trader": deal.trader_id,
        "market": deal.market,
        "side": "sell" if deal.sells else "buy",
        "quantity": Number(unrounded(from_e4(deal.quantity_e4)), ""),
        "price": Number(unrounded(from_e4(deal.price_e4)), ""),
        "flags": ", ".join(deal.flags),
        "counts": deal.counts,
        "words": words,
    }
