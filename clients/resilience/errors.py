"""Errors that the policies raise themselves. Each says when it makes sense to come back; none leaves a call outstanding."""

from __future__ import annotations


class ResilienceError(Exception):
    """Root: the call was not made (any more). `retry_after_s` says when to come back; None when that is unknown."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class CallNotPermitted(ResilienceError):
    """The breaker is open."""


class LimitReached(ResilienceError):
    """The limiter would have to wait longer than the deadline allows."""


class BulkheadFull(ResilienceError):
    """Too many calls of this group are under way and waiting."""


class DeadlineExpired(ResilienceError):
    """The deadline passed before anything was sent."""


class AttemptTimedOut(Exception):
    """An attempt did not keep within its time and was cancelled. It may have been executed: treat it as Outcome.UNKNOWN.

    A backstop: a transport that keeps the time it is given raises its own error before.
    """
