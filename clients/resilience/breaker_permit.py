"""Leave to make one call, and how its end is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique
from types import TracebackType
from typing import Protocol


@unique
class Ending(Enum):
    """How an admitted call ended, as far as its breaker cares."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    """Says nothing about the other side, such as an error made before anything was sent."""
    CANCELLED = "cancelled"
    """Nobody waited for the end."""


def _never(subject: object) -> bool:
    return False


def _always(subject: object) -> bool:
    return True


@dataclass(frozen=True)
class BreakerRules:
    """How a permit used as a context, or a breaker's `call`, judges by itself. Ignoring wins over recording.

    An error that is neither ignored nor recorded counts as a success: the other side answered. A rule that raises makes the call
    count as a failure; the caller still gets the error or the result of the call.
    """

    ignore: Callable[[Exception], bool] = _never
    record: Callable[[Exception], bool] = _always
    failed_result: Callable[[object], bool] = _never

    def judge_error(self, error: BaseException) -> Ending:
        # A cancellation, a closed generator or an interrupt is about the caller, never about the other side.
        if not isinstance(error, Exception):
            return Ending.CANCELLED
        try:
            if self.ignore(error):
                return Ending.IGNORED
            return Ending.FAILURE if self.record(error) else Ending.SUCCESS
        except Exception:  # noqa: BLE001 - whatever a rule raises must not hide the error of the call
            return Ending.FAILURE

    def judge_result(self, result: object) -> Ending:
        try:
            return Ending.FAILURE if self.failed_result(result) else Ending.SUCCESS
        except Exception:  # noqa: BLE001 - as above, for its result
            return Ending.FAILURE


class Owner(Protocol):
    """The breaker, as its permits know it."""

    rules: BreakerRules

    def settle(self, permit: BreakerPermit, ending: Ending) -> None: ...


class BreakerPermit:
    """Leave for one call. Settle it exactly once: by one of four methods, or as a (sync or async) context; repeats do nothing.

    The call's duration is the time from the permit to its settlement, so take it right before sending.
    """

    __slots__ = ("_owner", "generation", "probe", "settled", "start_ns")

    def __init__(self, owner: Owner, *, generation: int, start_ns: int, probe: int | None) -> None:
        self._owner = owner
        self.generation = generation
        self.start_ns = start_ns
        self.probe = probe
        self.settled = False

    def success(self) -> None:
        """The other side did its part, even where it refused the request."""
        self._owner.settle(self, Ending.SUCCESS)

    def failure(self) -> None:
        """The other side failed."""
        self._owner.settle(self, Ending.FAILURE)

    def ignore(self) -> None:
        """The end says nothing about the other side: a probe's place is free again."""
        self._owner.settle(self, Ending.IGNORED)

    def cancel(self) -> None:
        """The caller went away, or nothing was sent: a probe's place is free again."""
        self._owner.settle(self, Ending.CANCELLED)

    def result(self, result: object) -> None:
        """Settle by the breaker's rule about results."""
        self._owner.settle(self, self._owner.rules.judge_result(result))

    def __enter__(self) -> BreakerPermit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.settle(self, Ending.SUCCESS if error is None else self._owner.rules.judge_error(error))

    async def __aenter__(self) -> BreakerPermit:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
