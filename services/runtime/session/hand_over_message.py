"""The hand-over of a report as a message; the engine, which makes reports, needs no messages."""

from __future__ import annotations

from protos.common.v1.market_pb2 import HandOver
from services.runtime.session.hand_over import HandOverReport


def hand_over_message(report: HandOverReport) -> HandOver | None:
    """Return the message; None when nobody asked for more than a switch."""
    fields = report.fields()
    return HandOver(**fields) if fields else None  # type: ignore[arg-type]  # the enums' numbers
