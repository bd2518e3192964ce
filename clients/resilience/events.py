"""Events of the policies: services turn these into metrics and health reports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from clients.logs import fields
from clients.resilience.breaker_config import BreakerEvent
from clients.resilience.call import CallSpec
from clients.resilience.outcome import Outcome

logger = logging.getLogger(__name__)


@unique
class Refuser(StrEnum):
    """Which policy did not let a call out."""

    BREAKER = "breaker"
    LIMITER = "limiter"
    BULKHEAD = "bulkhead"
    DEADLINE = "deadline"


@unique
class Ended(StrEnum):
    """How a call ended, with all of its attempts."""

    SUCCESS = "success"
    FAILED = "failed"
    """Its last attempt failed in a way that the classifier knows."""
    REFUSED = "refused"
    """A policy refused it before anything was sent."""
    CANCELLED = "cancelled"
    BROKEN = "broken"
    """Something raised what the classifier does not know: a bug."""


@unique
class GaveUp(StrEnum):
    """Why a failed attempt was the last."""

    NOT_RETRYABLE = "not retryable"
    ATTEMPTS = "attempts used up"
    DEADLINE = "no time left for another"
    BUDGET = "retry budget used up"
    HINT = "the server says not to come back, or not in time"
    REFUSED = "the next was not let out"
    NESTED = "the outer call retries"
    RESYNC = "the clock could not be measured again"


@dataclass(frozen=True)
class AttemptEnded:
    """One attempt came to its end; `outcome` is None for a success, and for what the classifier does not know (`known` False)."""

    spec: CallSpec
    number: int
    duration_s: float
    outcome: Outcome | None
    known: bool = True


@dataclass(frozen=True)
class RetryScheduled:
    """Another attempt will be made after `delay_s`. `reason` is None where the breaker is waited for."""

    spec: CallSpec
    reason: Outcome | None
    delay_s: float


@dataclass(frozen=True)
class Throttled:
    """The other side said that we ask too often: every one of these is a limit that we did not know well enough."""

    spec: CallSpec
    retry_after_s: float | None


@dataclass(frozen=True)
class CallRefused:
    """A policy did not let a call, or a further attempt of it, out."""

    spec: CallSpec
    by: Refuser
    retry_after_s: float | None


@dataclass(frozen=True)
class CallEnded:
    """A call came to its end. `text` says for people what was tried; it holds names and figures only, never an error's own text."""

    spec: CallSpec
    ended: Ended
    attempts: int
    elapsed_s: float
    outcome: Outcome | None = None
    gave_up: GaveUp | None = None
    text: str = ""


CallEvent = AttemptEnded | RetryScheduled | Throttled | CallRefused | CallEnded
Event = CallEvent | BreakerEvent
Observer = Callable[[Event], None]
"""Must return quickly. What it raises is logged and changes nothing."""


class Observers:
    """Tells several observers; one that fails harms neither the others nor the call."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._failed: set[int] = set()

    def __call__(self, event: Event) -> None:
        for place, observer in enumerate(self._observers):
            try:
                observer(event)
            except Exception:
                # Once per observer: one that is broken is broken for every call.
                if place not in self._failed:
                    self._failed.add(place)
                    logger.exception("observer of calls failed", extra=fields(observer=observer))
