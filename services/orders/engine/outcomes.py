"""Judge what a failed request means for the order that it was about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique

from clients.exchanges.endings import EndedBy
from clients.exchanges.errors import ExchangeError
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome


@unique
class Fate(Enum):
    """Outcome of a request, as far as it matters for its order."""

    NOT_DONE = auto()
    """Certainly not executed; it may be tried again, here or elsewhere."""
    UNUSABLE = auto()
    """Certainly not executed, and it will not be until an operator acts (key, permission)."""
    REFUSED = auto()
    """Understood and refused."""
    DUPLICATE = auto()
    """An order with this client id exists: ask and compare."""
    MISSING = auto()
    """The exchange does not know the order (yet)."""
    LOST = auto()
    """It may have been executed."""


@dataclass(frozen=True)
class Failure:
    """A failed request, judged."""

    fate: Fate
    text: str
    code: str = ""
    retry_after_s: float | None = None
    sent_wall_ns: int | None = None
    expires_server_ns: int | None = None
    raw: bytes = b""
    ended_by: EndedBy | None = None
    """Refused for a cause for which other exchanges accept an order and then end it."""


_FATES = {
    Outcome.RETRYABLE: Fate.NOT_DONE,
    Outcome.THROTTLED: Fate.NOT_DONE,
    Outcome.MAINTENANCE: Fate.NOT_DONE,
    Outcome.AUTH: Fate.UNUSABLE,
    # The client measures its clock again before it sends the next request.
    Outcome.CLOCK: Fate.NOT_DONE,
    Outcome.REJECTED: Fate.REFUSED,
    Outcome.DUPLICATE: Fate.DUPLICATE,
    Outcome.NOT_FOUND: Fate.MISSING,
    Outcome.UNKNOWN: Fate.LOST,
}


def judge(error: BaseException) -> Failure:
    """Return what a request's error means. Whatever is not known to be harmless is LOST: that only costs a query."""
    if isinstance(error, ExchangeError):
        sent = error.sent
        return Failure(
            fate=_FATES[error.outcome],
            text=f"{error.exchange}: {error.text}"[:500],
            code=error.code,
            retry_after_s=error.retry_after_s,
            sent_wall_ns=sent.sent_wall_ns if sent is not None else None,
            expires_server_ns=sent.expires_server_time_ns if sent is not None else None,
            raw=error.raw,
            ended_by=error.ended_by,
        )
    if isinstance(error, ResilienceError):
        # Each of them means that no attempt is outstanding.
        return Failure(Fate.NOT_DONE, error.message[:500], retry_after_s=error.retry_after_s)
    return Failure(Fate.LOST, f"no usable answer: {type(error).__name__}")
