"""Outcomes of a failed call for whoever made it: the one vocabulary that errors, retries, breakers and orders share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Outcome(StrEnum):
    """What is known about a call that did not succeed."""

    RETRYABLE = "retryable"
    """It was not executed, or repeating it does no harm: transport trouble before the request left, a failed read."""
    THROTTLED = "throttled"
    """Refused by a limit, not executed; wait for the server's hint."""
    REJECTED = "rejected"
    """Understood and refused; the same request is refused again."""
    UNKNOWN = "unknown"
    """It may have been executed: the answer was lost. Only a query can tell."""
    DUPLICATE = "duplicate"
    """Its client id exists already: fetch, compare, adopt."""
    NOT_FOUND = "not_found"
    """What it names does not exist, or cannot be seen yet."""
    AUTH = "auth"
    """Key, signature or permission; an operator must act."""
    CLOCK = "clock"
    """Outside the receive window, not executed; estimate the clock offset again and sign anew, once."""
    MAINTENANCE = "maintenance"
    """The other side says that it is not available for now; not executed."""


@dataclass(frozen=True)
class Verdict:
    """How a failed attempt is judged.

    `counts_against_server` is what a breaker records: a refused request is the caller's fault and never opens it.
    `retry_after_s` is the server's hint, measured from now; None without one. Negative or not a number (one that cannot be read, or
    says not to come back): not repeated.
    """

    outcome: Outcome
    counts_against_server: bool = False
    retry_after_s: float | None = None
