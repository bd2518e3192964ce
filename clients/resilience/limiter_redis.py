"""Limits shared by all processes through Redis.

A scope's state is one text under `midstream:limits:NAMESPACE:SCOPE`. A change computes the next text from the one that is known here
and swaps it in by a script that refuses when another process was faster: then it is computed again from theirs. One round trip as a
rule, no locks that a dead process could hold, and the same counting as in memory. Times are those of the Redis server.

Without Redis each process goes on alone with a small share of every limit, says so loudly, and hands in what it used when Redis is
back. A Redis that comes back empty is given the state that is known here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import redis.asyncio
from redis.exceptions import RedisError

from clients.logs import fields
from clients.resilience.limiter import ScopeRules
from clients.resilience.limiter_queue import QueuedLimiter
from clients.resilience.limiter_state import BLOCK_S_MAX, ScopeState
from clients.resilience.ports import MonotonicNs, Sleep, WallNs

logger = logging.getLogger(__name__)

R = TypeVar("R")

PREFIX: Final = "midstream:limits:"
ATTEMPTS_MAX: Final = 50
"""Lost races per change; more means that something is wrong with Redis or with who else writes the key."""
RETRY_S: Final = 1.0
"""How often a lost Redis is tried again."""
REMIND_S: Final = 60.0

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")

# A script, and no transaction: that takes three more round trips before every call to an exchange. Whatever Redis says to it, this
# process goes on alone, so nothing rests on how an engine words a script's error.
_SWAP: Final = """
local stored = redis.call('GET', KEYS[1])
local now = redis.call('TIME')
if (stored or '') ~= ARGV[1] then
  return {0, stored or '', now[1], now[2]}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {1, '', now[1], now[2]}
"""


class Unusable(Exception):
    """Redis answers, but its key cannot be shared: every attempt lost its race, or the text is not ours."""


class RedisStore:
    """Keeps one scope in Redis. The client must not retry by itself; it is not closed here."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        rules: ScopeRules,
        *,
        namespace: str,
        share: float = 0.125,
        timeout_s: float = 1.0,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
        wall_ns: WallNs = time.time_ns,
    ) -> None:
        if _NAME.fullmatch(namespace) is None or _NAME.fullmatch(rules.scope) is None:
            raise ValueError(f"a key cannot be made of {namespace!r} and {rules.scope!r}; names are a-z 0-9 _ . : -")
        if not 0 < share <= 1:
            raise ValueError(f"`share` = {share!r} is not a part of a limit")
        if (retry := client.get_retry()) is not None and retry.get_retries() != 0:
            raise ValueError("the Redis client retries by itself; make it with Retry(NoBackoff(), 0)")
        self._rules = rules
        self._key = f"{PREFIX}{namespace}:{rules.scope}"
        self._share = share
        self._timeout_s = timeout_s
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()
        self._swap: Callable[..., Awaitable[Any]] = client.register_script(_SWAP)
        longest_s = max((rule.interval_s for rule in rules.limits), default=0.0)
        self._ttl_ms = round((max(BLOCK_S_MAX, 2 * longest_s) + rules.flight_s) * 1000)
        self._lock = asyncio.Lock()
        self._stored: str | None = None
        """What Redis held when it was last seen; None before."""
        self._known = ""
        """The newest state that is known here, also when Redis lost it."""
        self._alone: ScopeState | None = None
        self._retry_ns = 0
        self._remind_ns = 0

    @property
    def degraded(self) -> bool:
        """Whether Redis is away, and this process counts alone."""
        return self._alone is not None

    async def transact(self, change: Callable[[ScopeState, int], R]) -> R:
        """See `StateStore.transact`. Never raises because of Redis."""
        async with self._lock:
            if self._alone is not None and self._monotonic_ns() < self._retry_ns:
                return change(self._alone, self._now_ns())
            try:
                result = await self._shared(change)
            except (RedisError, OSError, TimeoutError, Unusable) as exc:
                return change(self._go_alone(exc), self._now_ns())
            if self._alone is not None:
                logger.info("limits are shared again", extra=fields(key=self._key))
                self._alone = None
            return result

    async def aclose(self) -> None:
        return

    async def _shared(self, change: Callable[[ScopeState, int], R]) -> R:
        alone_now_ns = self._now_ns()
        if self._stored is None:
            # Learn what is there, and the server's time, before anything is computed from them.
            self._see(await self._ask("\x00", ""))
        for _ in range(ATTEMPTS_MAX):
            state = self._restored()
            now_ns = self._now_ns()
            if self._alone is not None:
                state.absorb(self._alone, alone_now_ns, now_ns)
            result = change(state, now_ns)
            wanted = json.dumps(state.dump(), separators=(",", ":"))
            swapped, stored = await self._ask(self._stored or "", wanted)
            if swapped:
                self._stored = self._known = wanted
                return result
            self._see((swapped, stored))
        raise Unusable(f"{ATTEMPTS_MAX} attempts lost their race")

    def _see(self, answer: tuple[bool, str]) -> None:
        stored = answer[1]
        if stored:
            self._restored(stored)
        self._stored = stored
        # Nothing there although something was: Redis lost it. What is known here is the best that there is.
        self._known = stored or self._known

    def _restored(self, stored: str | None = None) -> ScopeState:
        text = self._known if stored is None else stored
        state = ScopeState(self._rules)
        try:
            if text:
                state.restore(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise Unusable(f"the state under {self._key} cannot be read: {exc}") from exc
        return state

    async def _ask(self, expected: str, wanted: str) -> tuple[bool, str]:
        asked_ns = self._monotonic_ns()
        async with asyncio.timeout(self._timeout_s):
            swapped, stored, seconds, microseconds = await self._swap(
                keys=[self._key], args=[expected, wanted, self._ttl_ms]
            )
        server_ns = int(seconds) * 10**9 + int(microseconds) * 1000
        # The server's time was read between question and answer: that bounds how far its clock is from ours.
        lowest_ns, highest_ns = server_ns - self._monotonic_ns(), server_ns - asked_ns
        self._offset_ns = min(max(self._offset_ns, lowest_ns), highest_ns)
        return bool(swapped), stored.decode() if isinstance(stored, bytes) else str(stored)

    def _now_ns(self) -> int:
        return self._monotonic_ns() + self._offset_ns

    def _go_alone(self, cause: Exception) -> ScopeState:
        now_ns = self._monotonic_ns()
        if self._alone is None:
            self._alone = ScopeState(self._rules, share=self._share)
            if self._known:
                self._alone.seed(self._restored(), self._now_ns())
            self._remind_ns = now_ns
        if now_ns >= self._remind_ns:
            logger.error(
                "limits are not shared",
                extra=fields(
                    problem="what Redis holds cannot be used" if isinstance(cause, Unusable) else "Redis is away",
                    key=self._key,
                    error=str(cause)[:200] if isinstance(cause, Unusable) else type(cause).__name__,
                    share=self._share,
                ),
            )
            self._remind_ns = now_ns + round(REMIND_S * 1e9)
        # It may come back with something else, or nothing.
        self._stored = None
        self._retry_ns = now_ns + round(RETRY_S * 1e9)
        return self._alone


def redis_limiter(
    client: redis.asyncio.Redis,
    scopes: Sequence[ScopeRules],
    *,
    namespace: str,
    share: float = 0.125,
    monotonic_ns: MonotonicNs = time.monotonic_ns,
    wall_ns: WallNs = time.time_ns,
    sleep: Sleep = asyncio.sleep,
) -> QueuedLimiter:
    """Return a limiter for everybody who uses the same Redis and namespace.

    The namespace is what makes limits different: the environment, and a name for the address or account where there are several.
    `share` is what a process takes of each limit while Redis is away: one divided by the number of processes, or less.
    """
    stores = {
        rules.scope: (
            rules,
            RedisStore(client, rules, namespace=namespace, share=share, monotonic_ns=monotonic_ns, wall_ns=wall_ns),
        )
        for rules in scopes
    }
    return QueuedLimiter(stores, monotonic_ns=monotonic_ns, sleep=sleep)
