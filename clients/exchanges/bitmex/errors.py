"""The table that judges BitMEX's errors. Its texts are all there is to go by, so they are matched loosely."""

from __future__ import annotations

from typing import Final

from clients.exchanges.error_table import ErrorRow, ErrorTable
from clients.resilience.outcome import Outcome

_SHEET: Final = "bitmex.md, section 7"
_CANCELLING: Final = "bitmex.md, section 3, cancelling"
_AMENDING: Final = "bitmex.md, section 3, amending"

OVERLOAD_WAIT_S: Final = 0.5
"""Least wait after load shedding (section 7)."""


def status(code: int) -> range:
    """Return the range of one status."""
    return range(code, code + 1)


ERRORS: Final = ErrorTable(
    [
        # Load shedding says itself that the request did not reach the engine; any other 503 may come from in front of or behind it.
        ErrorRow(Outcome.THROTTLED, _SHEET, statuses=status(503), text="currently overloaded"),
        ErrorRow(Outcome.THROTTLED, _SHEET, statuses=status(429)),
        ErrorRow(Outcome.AUTH, _SHEET, statuses=status(403)),
        ErrorRow(Outcome.CLOCK, _SHEET, statuses=status(401), text="expired"),
        ErrorRow(Outcome.CLOCK, _SHEET, statuses=status(400), text="request has expired"),
        ErrorRow(Outcome.AUTH, _SHEET, statuses=status(401)),
        ErrorRow(Outcome.AUTH, _SHEET, statuses=status(400), text="invalid api key"),
        ErrorRow(Outcome.AUTH, _SHEET, statuses=status(400), text="signature not valid"),
        ErrorRow(Outcome.DUPLICATE, _SHEET, statuses=range(400, 500), text="duplicate clordid"),
        # The order is closed, or was never seen: either way a query tells, and there is nothing left to amend or cancel.
        ErrorRow(Outcome.NOT_FOUND, _AMENDING, statuses=range(400, 500), text="invalid ordstatus"),
        ErrorRow(Outcome.NOT_FOUND, _AMENDING, statuses=range(400, 500), text="invalid orderid"),
        ErrorRow(Outcome.NOT_FOUND, _AMENDING, statuses=range(400, 500), text="invalid origclordid"),
        ErrorRow(
            Outcome.NOT_FOUND,
            _CANCELLING,
            statuses=range(400, 500),
            text="invalid clordid",
            operations=("cancel_order",),
        ),
        ErrorRow(Outcome.NOT_FOUND, _CANCELLING, statuses=range(400, 500), text="existing state"),
        ErrorRow(Outcome.NOT_FOUND, _CANCELLING, statuses=range(400, 500), text="not found"),
        ErrorRow(Outcome.NOT_FOUND, _SHEET, statuses=status(404)),
        # Amending to what it is already: the target may be reached, which only comparing tells.
        ErrorRow(Outcome.DUPLICATE, _AMENDING, statuses=status(400), text="unchanged", operations=("amend_order",)),
        ErrorRow(Outcome.DUPLICATE, _AMENDING, statuses=status(400), text="no change", operations=("amend_order",)),
        ErrorRow(Outcome.REJECTED, "recorded: order_error-insufficient-balance", statuses=status(400), code="19000"),
        ErrorRow(Outcome.REJECTED, _SHEET, statuses=status(400), text="insufficient available balance"),
        ErrorRow(Outcome.UNKNOWN, _SHEET, statuses=status(408), reads=False),
        ErrorRow(Outcome.RETRYABLE, _SHEET, statuses=status(408), reads=True),
        ErrorRow(Outcome.REJECTED, _SHEET, statuses=range(400, 500)),
        ErrorRow(Outcome.RETRYABLE, _SHEET, reads=True),
        # 502, 503, 504 and whatever else: it may have been executed.
        ErrorRow(Outcome.UNKNOWN, _SHEET),
    ]
)
