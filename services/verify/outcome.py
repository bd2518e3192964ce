"""What becomes of one record: which line of which log, and under which name it is counted."""

from __future__ import annotations

import math
from typing import NamedTuple

from services.verify.spelling import escape_controls, format_latency, format_timestamp


class Quote(NamedTuple):
    """The prices of a row; NaN is none."""

    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float


class Outcome(NamedTuple):
    """One line, and under which name of the report it is counted; `also` is `crossed`, `locked` or empty."""

    kind: str
    line: str
    also: str = ""


def of_tick(event_ns: int, arrival_ns: int, quote: Quote, *, threshold_ns: int, log_arrival: bool) -> Outcome:
    """Return what a usable row leads to."""
    stamp = format_timestamp(arrival_ns if log_arrival else event_ns)
    latency_ns = arrival_ns - event_ns
    if latency_ns > threshold_ns:
        spelled, limit = format_latency(latency_ns), format_latency(threshold_ns)
        return Outcome("latency_filtered", f"No mid price at {stamp} as latency {spelled}ms is bigger than {limit}ms\n")
    sides = (("bid", quote.bid_price, quote.bid_amount), ("ask", quote.ask_price, quote.ask_amount))
    missing = " and ".join(name for name, price, amount in sides if _is_missing(price, amount))
    if missing:
        return Outcome("missing_side", f"No mid price at {stamp} as {missing} price is missing\n")
    mid = 0.5 * (quote.bid_price + quote.ask_price)
    if math.isinf(mid):
        return Outcome("missing_side", f"No mid price at {stamp} as bid + ask is beyond the range of a float64\n")
    also = "crossed" if quote.bid_price > quote.ask_price else "locked" if quote.bid_price == quote.ask_price else ""
    return Outcome("mids", f"{stamp}, {mid!r}\n", also)


def of_rejection(source: str, line: int, reason: str) -> Outcome:
    """Return what an unusable row leads to."""
    return Outcome("rejected", f"Rejected {escape_controls(source)}:{line}: {escape_controls(reason)}\n")


def _is_missing(price: float, amount: float) -> bool:
    return math.isnan(price) or (price == 0 and amount == 0)
