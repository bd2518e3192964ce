"""The waiting of a limiter: who goes next and who gives up."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

from clients.logs import fields
from clients.resilience.call import Cost, Priority
from clients.resilience.errors import LimitReached
from clients.resilience.limiter import ScopeRules
from clients.resilience.limiter_permit import StoredPermit
from clients.resilience.limiter_state import BLOCK_S_MAX, Refusal, ScopeState
from clients.resilience.ports import MonotonicNs, Sleep

logger = logging.getLogger(__name__)

R = TypeVar("R")

WAITING_MAX: Final = 1000
"""Callers per scope and process that wait; the next one is refused."""


class StateStore(Protocol):
    """Keeps the state of one scope, for one process or for all."""

    @property
    def degraded(self) -> bool:
        """Whether this process counts alone although it should not."""
        ...

    async def transact(self, change: Callable[[ScopeState, int], R]) -> R:
        """Apply `change(state, now_ns)` as if nobody else did anything meanwhile, and return what it returned.

        `change` may be called several times, each time on a fresh state; the last call is the one that counts.
        """
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class LimitFill:
    """How full a limit is, for reports."""

    limit: str
    used: float
    size: int
    blocked_s: float


@dataclass(eq=False)
class _Waiter:
    number: int
    permit_id: str
    costs: tuple[Cost, ...]
    priority: Priority
    deadline_ns: int
    granted: asyncio.Future[None]
    refusal: Refusal | None = None

    @property
    def limits(self) -> frozenset[str]:
        """What it has to share with others; a free call only waits for blocks."""
        return frozenset(cost.limit for cost in self.costs if cost.units > 0)


@dataclass
class _Verdicts:
    granted: list[_Waiter] = field(default_factory=list)
    refused: list[tuple[_Waiter, Refusal]] = field(default_factory=list)


class QueuedLimiter:
    """Implements `Limiter` over one store per scope.

    Per scope and process one task asks the store on behalf of all who wait: recovery calls first, then in the order of asking. A call
    that does not fit holds back those behind it that need one of the limits it waits for, so that big ones are not starved by small
    ones; others pass.
    """

    def __init__(
        self,
        stores: Mapping[str, tuple[ScopeRules, StateStore]],
        *,
        poll_s: float = 0.25,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
        sleep: Sleep = asyncio.sleep,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._queues = {
            scope: ScopeQueue(rules, store, poll_s=poll_s, monotonic_ns=monotonic_ns, sleep=sleep, new_id=new_id)
            for scope, (rules, store) in stores.items()
        }
        self._by_name = {
            rule.name: self._queues[scope] for scope, (rules, _) in stores.items() for rule in rules.limits
        }
        self._by_name |= self._queues

    async def acquire(self, costs: Sequence[Cost], *, priority: Priority, deadline_s: float) -> StoredPermit:
        """See `Limiter.acquire`."""
        queues = {self._queue(cost.limit) for cost in costs}
        if len(queues) != 1 or any(cost.units < 0 or cost.limit in self._queues for cost in costs):
            raise ValueError(f"the costs of a call name limits of one scope and no negative units: {list(costs)!r}")
        return await queues.pop().acquire(tuple(costs), priority, deadline_s)

    async def resize(self, sizes: Mapping[str, int]) -> None:
        """See `Limiter.resize`."""
        for scope, queue in self._queues.items():
            ours = {name: size for name, size in sizes.items() if self._queue(name) is self._queues[scope]}
            if ours:
                await queue.change(_Resize(ours))

    async def block(self, name: str, seconds: float) -> None:
        """See `Limiter.block`."""
        queue = self._queue(name)
        queue.block(name, seconds)
        await queue.change(lambda state, now_ns: state.block(name, seconds, now_ns))

    async def fill(self) -> Sequence[LimitFill]:
        """Return how full every limit is."""
        found: list[LimitFill] = []
        for queue in self._queues.values():
            found += await queue.fill()
        return found

    @property
    def degraded(self) -> bool:
        """Whether any scope is counted by this process alone although it should be shared."""
        return any(queue.degraded for queue in self._queues.values())

    @property
    def waiting(self) -> int:
        """Number of callers that wait."""
        return sum(queue.waiting for queue in self._queues.values())

    async def close(self) -> None:
        """End the asking; whoever waits is refused."""
        for queue in self._queues.values():
            await queue.close()

    def _queue(self, name: str) -> ScopeQueue:
        try:
            return self._by_name[name]
        except KeyError:
            raise ValueError(f"no scope has a limit {name!r}; there are {', '.join(sorted(self._by_name))}") from None


@dataclass(frozen=True)
class _Resize:
    sizes: Mapping[str, int]

    def __call__(self, state: ScopeState, now_ns: int) -> None:
        state.resize(self.sizes)


class ScopeQueue:
    """The callers of one scope in this process."""

    def __init__(
        self,
        rules: ScopeRules,
        store: StateStore,
        *,
        poll_s: float,
        monotonic_ns: MonotonicNs,
        sleep: Sleep,
        new_id: Callable[[], str],
    ) -> None:
        self._rules = rules
        self._store = store
        self._poll_s = poll_s
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep
        self._new_id = new_id
        self._numbers = 0
        self._waiters: dict[int, _Waiter] = {}
        self._orphans: list[str] = []
        self._blocked: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._changes: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def degraded(self) -> bool:
        return self._store.degraded

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def acquire(self, costs: tuple[Cost, ...], priority: Priority, deadline_s: float) -> StoredPermit:
        """Queue up, and return when the store agrees."""
        if self._closed:
            raise LimitReached(f"the limiter of `{self._rules.scope}` is closed")
        if len(self._waiters) >= WAITING_MAX:
            raise LimitReached(
                f"{WAITING_MAX} calls wait for the limits of `{self._rules.scope}` already", retry_after_s=1.0
            )
        self._numbers += 1
        deadline_ns = self._monotonic_ns() + round(deadline_s * 1e9)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(self._numbers, self._new_id(), costs, priority, deadline_ns, granted)
        self._waiters[waiter.number] = waiter
        self._start()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                # Granted and cancelled in the same moment.
                self._give_back(waiter.permit_id)
            raise
        finally:
            if self._waiters.pop(waiter.number, None) is not None:
                self._wake.set()
        return StoredPermit(self, waiter.permit_id)

    async def change(self, change: Callable[[ScopeState, int], None]) -> None:
        """Apply a change to the end, even if the caller is cancelled meanwhile."""
        task = asyncio.create_task(self._store.transact(change))
        self._changes.add(task)
        task.add_done_callback(self._changed)
        await asyncio.shield(task)

    def block(self, name: str, seconds: float) -> None:
        """Hold calls back from now on, before the store knows."""
        until_ns = self._monotonic_ns() + round(min(max(seconds, 0.0), BLOCK_S_MAX) * 1e9)
        self._blocked[name] = max(self._blocked.get(name, 0), until_ns)

    async def fill(self) -> list[LimitFill]:
        def read(state: ScopeState, now_ns: int) -> list[LimitFill]:
            blocks = state.blocks_s(now_ns)
            everything_s = blocks.get(self._rules.scope, 0.0)
            return [
                LimitFill(
                    rule.name,
                    state.used(rule.name, now_ns),
                    state.size(rule.name),
                    max(everything_s, blocks.get(rule.name, 0.0)),
                )
                for rule in self._rules.limits
            ]

        return await self._store.transact(read)

    async def close(self) -> None:
        self._closed = True
        self._refuse_all(LimitReached(f"the limiter of `{self._rules.scope}` is closed"))
        self._wake.set()
        pending = self._changes | ({self._pump} if self._pump is not None else set())
        if pending:
            await asyncio.wait(pending)
        await self._store.aclose()

    def _start(self) -> None:
        self._wake.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())

    def _give_back(self, permit_id: str) -> None:
        self._orphans.append(permit_id)
        self._start()

    def _changed(self, task: asyncio.Task[None]) -> None:
        self._changes.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("limit not updated", extra=fields(scope=self._rules.scope, error=type(error).__name__))

    async def _run(self) -> None:
        """Ask the store until nobody waits any more."""
        while self._waiters or self._orphans:
            self._wake.clear()
            waiters = sorted(self._waiters.values(), key=lambda waiter: (-waiter.priority, waiter.number))
            orphans = list(self._orphans)
            try:
                verdicts = await self._store.transact(partial(self._judge, waiters, orphans))
            except Exception as exc:  # noqa: BLE001  (whatever it is, nobody may wait for ever because of it)
                self._refuse_all(exc)
                self._orphans.clear()
                return
            self._orphans = self._orphans[len(orphans) :]
            self._tell(verdicts)
            if self._waiters:
                await self._pause()

    def _judge(self, waiters: Sequence[_Waiter], orphans: Sequence[str], state: ScopeState, now_ns: int) -> _Verdicts:
        verdicts = _Verdicts()
        for permit_id in orphans:
            state.release(permit_id, now_ns)
        monotonic_ns = self._monotonic_ns()
        for name, until_ns in list(self._blocked.items()):
            if until_ns > monotonic_ns:
                state.block(name, (until_ns - monotonic_ns) / 1e9, now_ns)
            else:
                del self._blocked[name]
        stuck: dict[str, Refusal] = {}
        for waiter in waiters:
            if waiter.granted.done():
                continue
            behind = [stuck[name] for name in (self._rules.scope, *waiter.limits) if name in stuck]
            refusal = max(behind, key=lambda known: known.wait_s) if behind else None
            if refusal is None:
                refusal = state.admit(waiter.permit_id, waiter.costs, waiter.priority, now_ns)
            if refusal is None:
                verdicts.granted.append(waiter)
                continue
            verdicts.refused.append((waiter, refusal))
            if not math.isinf(refusal.wait_s):
                stuck |= dict.fromkeys(refusal.names, refusal)
        return verdicts

    def _tell(self, verdicts: _Verdicts) -> None:
        now_ns = self._monotonic_ns()
        for waiter in verdicts.granted:
            if waiter.granted.done():
                # Cancelled while the store was asked.
                self._orphans.append(waiter.permit_id)
            else:
                waiter.granted.set_result(None)
                self._waiters.pop(waiter.number, None)
        for waiter, refusal in verdicts.refused:
            waiter.refusal = refusal
            left_s = (waiter.deadline_ns - now_ns) / 1e9
            if not waiter.granted.done() and (left_s <= 0 or (refusal.certain and refusal.wait_s > left_s)):
                waiter.granted.set_exception(_limit_reached(refusal))
                self._waiters.pop(waiter.number, None)

    def _refuse_all(self, error: Exception) -> None:
        for waiter in self._waiters.values():
            if not waiter.granted.done():
                waiter.granted.set_exception(error)
        self._waiters.clear()

    async def _pause(self) -> None:
        """Wait until somebody's turn may have come: an answer, a moment, a deadline, or another process' doing."""
        now_ns = self._monotonic_ns()
        # What was not judged yet was woken for already; what is behind others needs no moment of its own.
        soonest_s = min(
            (waiter.refusal.wait_s for waiter in self._waiters.values() if waiter.refusal is not None), default=0.0
        )
        deadline_s = min((waiter.deadline_ns - now_ns) / 1e9 for waiter in self._waiters.values())
        pause = asyncio.ensure_future(self._sleep(max(0.001, min(soonest_s or self._poll_s, deadline_s, self._poll_s))))
        wake = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({pause, wake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            wake.cancel()


def _limit_reached(refusal: Refusal) -> LimitReached:
    names = ", ".join(sorted(refusal.names))
    if math.isinf(refusal.wait_s):
        return LimitReached(f"the call costs more than {names} ever allows; split it")
    return LimitReached(f"{names}: nothing is free for {refusal.wait_s:.2f} s", retry_after_s=refusal.wait_s)
