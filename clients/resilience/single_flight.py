"""One call for everybody who asks for the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from clients.resilience.errors import BulkheadFull, DeadlineExpired, ResilienceError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class FlightCancelled(ResilienceError):
    """The shared call cancelled itself; whoever waited for it was not cancelled."""


@dataclass(eq=False)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0
    trace: TracebackType | None = None


class SingleFlight(Generic[K, T]):
    """Joins concurrent calls with equal keys.

    The call is nobody's own: it runs in a task, so cancelling whoever came first, or anybody else, leaves the others their answer. It
    is cancelled when the last one has gone, and after `timeout_s`, when all get one DeadlineExpired. Everybody gets the same result
    or the same error; nothing is kept once the call has ended, an error least of all. At most `keys_max` calls are under way.
    """

    def __init__(self, *, timeout_s: float = 30.0, keys_max: int = 10_000) -> None:
        self._timeout_s = timeout_s
        self._keys_max = keys_max
        self._flights: dict[K, _Flight[T]] = {}

    @property
    def under_way(self) -> int:
        """Number of calls under way."""
        return len(self._flights)

    async def run(self, key: K, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the call for this key returns; `call` is used only if none is under way."""
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._keys_max:
                raise BulkheadFull(f"{self._keys_max} different calls are under way already; come back later")
            flight = _Flight(asyncio.create_task(self._bounded(call)))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _: self._forget(key, flight))
        flight.waiting += 1
        try:
            await asyncio.wait({flight.task})
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                # A newcomer starts its own call instead of joining one that is being cancelled.
                self._forget(key, flight)
                flight.task.cancel()
        if flight.task.cancelled():
            raise FlightCancelled("the call that this one had joined was cancelled; ask again")
        if (error := flight.task.exception()) is not None:
            # One object for all: without this its traceback would grow by everybody's frames.
            raise error.with_traceback(flight.trace)
        return flight.task.result()

    async def _bounded(self, call: Callable[[], Awaitable[T]]) -> T:
        expired = asyncio.timeout(self._timeout_s)
        try:
            async with expired:
                return await call()
        except TimeoutError as exc:
            if not expired.expired():
                raise
            raise DeadlineExpired(f"no answer within {self._timeout_s:g} s") from exc

    def _forget(self, key: K, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            # Seen, even if everybody has gone: asyncio would complain about it otherwise.
            error = flight.task.exception()
            flight.trace = None if error is None else error.__traceback__
