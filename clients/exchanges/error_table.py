"""Judge an exchange's errors by an ordered table, one row per signal, each with the place that documents it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from clients.exchanges.endings import EndedBy
from clients.exchanges.errors import (
    CallerMustAct,
    ExchangeError,
    OperatorMustAct,
    OutcomeUnknown,
    TryLater,
)
from clients.resilience.outcome import Outcome, Verdict

_CLASSES: Final[dict[Outcome, type[ExchangeError]]] = {
    Outcome.REJECTED: CallerMustAct,
    Outcome.DUPLICATE: CallerMustAct,
    Outcome.NOT_FOUND: CallerMustAct,
    Outcome.AUTH: OperatorMustAct,
    Outcome.CLOCK: OperatorMustAct,
    Outcome.RETRYABLE: TryLater,
    Outcome.THROTTLED: TryLater,
    Outcome.MAINTENANCE: TryLater,
    Outcome.UNKNOWN: OutcomeUnknown,
}

_SERVER_TROUBLE: Final = frozenset({Outcome.RETRYABLE, Outcome.UNKNOWN, Outcome.MAINTENANCE})


@dataclass(frozen=True)
class Signal:
    """What an unsuccessful answer says."""

    market: str
    operation: str
    reads: bool
    """The request changes nothing (GET), so a lost or failed one can be repeated."""
    status: int
    code: str = ""
    text: str = ""


@dataclass(frozen=True)
class ErrorRow:
    """One row: every condition that is given has to hold; one that is not given holds always."""

    outcome: Outcome
    source: str
    """The page or sheet and section that says so."""
    code: str = ""
    statuses: range | None = None
    text: str = ""
    """Part of the message, compared without case."""
    markets: Collection[str] = ()
    operations: Collection[str] = ()
    reads: bool | None = None
    ended_by: EndedBy | None = None
    """The refusal is the end of an order for that cause, which other exchanges accept first. No condition."""

    def matches(self, signal: Signal) -> bool:
        """Tell whether the row is about this signal."""
        return (
            (not self.code or self.code == signal.code)
            and (self.statuses is None or signal.status in self.statuses)
            and (not self.text or self.text.lower() in signal.text.lower())
            and (not self.markets or signal.market in self.markets)
            and (not self.operations or signal.operation in self.operations)
            and (self.reads is None or self.reads == signal.reads)
        )


class ErrorTable:
    """Rows in order: the first that matches decides. The last row has to match everything."""

    def __init__(self, rows: Sequence[ErrorRow]) -> None:
        if not rows or rows[-1] != ErrorRow(rows[-1].outcome, rows[-1].source):
            raise ValueError("the last row of an error table has to match everything")
        self.rows = tuple(rows)

    def row_of(self, signal: Signal) -> ErrorRow:
        """Return the row that decides about the signal."""
        return next(row for row in self.rows if row.matches(signal))


def error_class(outcome: Outcome) -> type[ExchangeError]:
    """Return the class that says who must act."""
    return _CLASSES[outcome]


def classify(error: BaseException) -> Verdict | None:
    """Judge an attempt's error for the executor; None for anything that is not an exchange's answer or absence of one.

    A request that the exchange refused says nothing against its health. Throttling by a 5xx (overload) does, by a 429 does not.
    """
    if not isinstance(error, ExchangeError):
        return None
    against = error.outcome in _SERVER_TROUBLE or (
        error.outcome is Outcome.THROTTLED and error.http_status is not None and error.http_status >= 500
    )
    return Verdict(error.outcome, counts_against_server=against, retry_after_s=error.retry_after_s)
