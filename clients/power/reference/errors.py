"""Errors of the provider of reference prices, and what each means for a retry or a breaker."""

from __future__ import annotations

from clients.http.transport import NotSent, ResponseLost
from clients.resilience.outcome import Outcome, Verdict

__all__ = ["ProviderError", "ProviderRefused", "ProviderThrottled", "ProviderUnavailable", "UnusableAnswer", "classify"]


class ProviderError(Exception):
    """Root. Texts name status and field, never a whole answer."""


class ProviderRefused(ProviderError):
    """The request is not one that the provider takes; the same again is refused again."""


class ProviderThrottled(ProviderError):
    """The quota was exceeded in the provider's eyes."""

    def __init__(self, message: str, *, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderUnavailable(ProviderError):
    """The provider is down, or says so."""


class UnusableAnswer(ProviderError):
    """The answer cannot be read, or is not about what was asked for."""


def classify(error: BaseException) -> Verdict | None:
    """Judge what an attempt raised; every request is a read, so repeating one does no harm."""
    match error:
        case NotSent():
            return Verdict(Outcome.RETRYABLE, counts_against_server=True)
        case ResponseLost():
            return Verdict(Outcome.UNKNOWN, counts_against_server=True)
        case ProviderThrottled():
            return Verdict(Outcome.THROTTLED, retry_after_s=error.retry_after_s)
        case ProviderUnavailable():
            return Verdict(Outcome.RETRYABLE, counts_against_server=True)
        case UnusableAnswer():
            # Asking again at once would bring the same; the next round asks anyway.
            return Verdict(Outcome.REJECTED, counts_against_server=True)
        case ProviderRefused():
            return Verdict(Outcome.REJECTED)
    return None
