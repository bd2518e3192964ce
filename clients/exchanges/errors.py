"""Errors of exchanges, by who must act. Texts never hold a query string, a key or a signature."""

from __future__ import annotations

from dataclasses import dataclass, field

from clients.exchanges.endings import EndedBy
from clients.resilience.outcome import Outcome


@dataclass(frozen=True)
class Sent:
    """Evidence of a request whose outcome may be unknown: enough to decide when it can no longer arrive."""

    sent_wall_ns: int
    """Local wall clock when it left."""
    expires_server_time_ns: int | None
    """Binance: timestamp + recvWindow on the server's clock; the engine refuses it afterwards. None: no such bound (BitMEX)."""
    correlation_id: str = ""


@dataclass(eq=False)
class ExchangeError(Exception):
    """Root. `code` is the exchange's own (`-2010`, `HTTPError`), `text` its message, shortened and cleaned."""

    exchange: str
    operation: str
    outcome: Outcome
    text: str
    code: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None
    request_id: str = ""
    sent: Sent | None = None
    raw: bytes = field(default=b"", repr=False)
    """The answer's body, at most 4 KiB, for the journal."""

    ended_by: EndedBy | None = None
    """The refusal is how this exchange ends an order for that cause; others accept such an order and then end it."""

    def __post_init__(self) -> None:
        super().__init__(str(self))

    def __str__(self) -> str:
        code = f" {self.code}" if self.code else ""
        status = f" (HTTP {self.http_status})" if self.http_status is not None else ""
        return f"{self.exchange} {self.operation}: {self.outcome.value}{code}: {self.text}{status}"


class CallerMustAct(ExchangeError):
    """The request is wrong or refused: REJECTED, DUPLICATE, NOT_FOUND."""


class OperatorMustAct(ExchangeError):
    """Keys, permissions, clock: AUTH, CLOCK."""


class TryLater(ExchangeError):
    """The exchange cannot now: RETRYABLE, THROTTLED, MAINTENANCE."""


class OutcomeUnknown(ExchangeError):
    """It may have been executed: UNKNOWN. Never repeat an order because of it; ask first."""
