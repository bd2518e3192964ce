"""The description of a call that the policies go by, and what an attempt gets to work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeVar

from clients.resilience.outcome import Verdict

T = TypeVar("T")


class Priority(IntEnum):
    """Who may use the headroom of a limit."""

    NORMAL = 0
    RECOVERY = 1
    """Cancels and the queries that resolve an unknown outcome: they pass when everything else has to wait."""


@dataclass(frozen=True)
class Cost:
    """Units of one limit that a call is expected to use, such as `Cost("binance:spot:weight", 20)`."""

    limit: str
    units: int


@dataclass(frozen=True)
class CallSpec:
    """One kind of call. `target` and `group` name the breaker and the bulkhead; all four names are from fixed sets, never user input."""

    target: str
    """The other side: `binance:spot`, `bitmex`, `reference-price`."""
    group: str
    """Endpoint group that fails together: `market`, `orders`, `account`."""
    operation: str
    """For metrics and logs: `get_quote`, `place_order`."""
    idempotent: bool = True
    """Whether a repetition after an unknown outcome does no harm."""
    costs: tuple[Cost, ...] = ()
    priority: Priority = Priority.NORMAL
    deadline_s: float = 10.0
    """For everything together: waiting, attempts, delays."""


@dataclass(frozen=True)
class LimitReport:
    """What one answer says about the limits of its scope. Names that the rules do not have are ignored."""

    used: Mapping[str, int] = field(default_factory=dict)
    """Units that the other side has counted in the current interval, this call included."""
    remaining: Mapping[str, int] = field(default_factory=dict)
    """Tokens left in a bucket after this call."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    blocks: Mapping[str, float] = field(default_factory=dict)
    """Scope or limit -> seconds from now in which nothing may be sent."""


class LimitPermit(Protocol):
    """Leave to make one attempt. Exactly one of `settle` and `release` ends it; both may be called again without effect.

    A permit that is never ended (a crash) keeps its units until its call can no longer arrive, and one interval more.
    """

    def observe(self, report: LimitReport) -> None:
        """Say what the answer's headers told: the attempt calls it as soon as headers are there, of errors too. Blocks act at once."""
        ...

    def not_sent(self) -> None:
        """Say that nothing reached the other side: `settle` gives the units back."""
        ...

    async def settle(self, *, answered: bool) -> None:
        """End the attempt. Unless `answered` (or observed), the call may still arrive and counts as under way."""
        ...

    async def release(self) -> None:
        """End a permit without an attempt; the units are back."""
        ...


@dataclass(frozen=True)
class Attempt:
    """One attempt. The callable has to keep within `timeout_s`; the executor also enforces it."""

    number: int
    """From 1."""
    timeout_s: float
    correlation_id: str
    permit: LimitPermit | None = None
    """Of the limiter, where there is one: `permit.observe(report)` tells it what the answer's headers said."""


class Classifier(Protocol):
    """Judges what an attempt raised."""

    def __call__(self, error: BaseException) -> Verdict | None:
        """Return None for what is no failure of the call (a bug, a cancellation): it passes through untouched."""
        ...


class Executor(Protocol):
    """Runs calls under all policies: deadline, one retry layer, breaker, limiter, bulkhead; the implementation documents the order."""

    async def call(
        self, spec: CallSpec, attempt: Callable[[Attempt], Awaitable[T]], *, deadline_s: float | None = None
    ) -> T:
        """Return what the last attempt returned, or raise its error unchanged.

        Raises CallNotPermitted (breaker open), LimitReached (the limiter would have to wait past the deadline), BulkheadFull,
        DeadlineExpired (nothing was sent); all of them mean that no attempt is outstanding. Raises AttemptTimedOut (treat as
        Outcome.UNKNOWN) when an attempt did not keep its time. After an attempt whose outcome is unknown, an error that only says
        that a later one was not executed never hides it: the earlier one is raised.
        """
        ...
