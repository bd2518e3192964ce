"""Start the servers and their Redis, restart what ends, and tell trouble that passes from what somebody has to mend.

A first start waits for trouble that passes, for a while, and refuses at once what waiting does not mend. What served once is
started again, ever later, whatever it says: an outage elsewhere must not take the other servers with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from services.cli.child import Child, ChildSpec, NotReady
from services.cli.restarts import FRUITLESS_MAX, POSTPONED, SERVED_S, End, Restarts
from services.runtime.embedded import EmbeddedRedis
from services.runtime.errors import StartRefused, is_passing

PATIENCE_S: Final = 60.0
"""How long a start waits for trouble that passes."""
SAY_S: Final = 5.0
"""How often one that waits says so."""
PROMPT_S: Final = 1.0
"""A pause that is longer is announced."""
REDIS_POLL_S: Final = 0.1
SIMULATED: Final = "sim-"
WATCHER: Final = "health"
REDIS: Final = "redis"
"""Asked for the progress of everything."""


class ChildRefused(Exception):
    """A server refused to start; the message is its reason and fix."""


class ChildFailed(Exception):
    """A server kept dying."""


class ChildPostponed(ChildFailed):
    """What keeps a server from starting did not pass in time."""


class Supervisor:
    """Owns the children. `progress` takes the name of one and returns anything that changes while its data flow.

    Where `all_vital`, nothing goes on without any of them: the first that restarts do not help ends everything. Otherwise such a
    server is left down, and tried again now and then; only when all are down there is nothing left to keep up.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        redis: EmbeddedRedis | None,
        restart_redis: Callable[[], EmbeddedRedis] | None = None,
        progress: Callable[[str], object] = lambda name: None,
        on_event: Callable[[str], None] = lambda line: None,
        on_down: Callable[[Mapping[str, str]], None] = lambda down: None,
        all_vital: bool = False,
    ) -> None:
        """`on_down` is told which servers are down, and why, whenever that changes."""
        self._children = [Child(spec) for spec in specs]
        self._redis = redis
        self._restart_redis = restart_redis
        self._progress = progress
        self._on_event = on_event
        self._on_down = on_down
        self._all_vital = all_vital
        self._random = Random()
        self._seen: dict[str, object] = {}
        self._down: dict[str, str] = {}
        """Servers that do not serve, and why."""
        self._given_up: set[str] = set()
        self._stopping = False
        self._hastened = False

    async def start(self) -> dict[str, dict[str, Any]]:
        """Start every server and wait until all serve; returns their announcements by name.

        Raises ChildRefused, ChildFailed or, where trouble that passes has not passed in time, ChildPostponed.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        spawned = [(child, await self._spawn(child)) for child in self._children]
        # At the same time, so that the first that fails is heard of while others still start.
        async with _first_failure() as waiting:
            waiting += [asyncio.create_task(self._begin(child, trouble, deadline_s)) for child, trouble in spawned]
        return {child.name: child.announcement for child in self._children}

    async def watch(self) -> None:
        """Restart what ends, until cancelled. Raises ChildRefused or ChildFailed."""
        async with _first_failure() as watchers:
            watchers += [asyncio.create_task(self._watch_child(child)) for child in self._children]
            if self._redis is not None:
                watchers.append(asyncio.create_task(self._watch_redis()))

    async def stop_servers(self) -> None:
        """Stop who watches the others, then the first, which feeds them, then these at the same time, then what they talk to.

        Redis stays. What ends before those who look at it would be an outage to them.
        """
        self._stopping = True
        watching = [child for child in self._children if child.name == WATCHER]
        left = [child for child in self._children if child not in watching]
        world = [child for child in left[1:] if child.name.startswith(SIMULATED)]
        others = [child for child in left[1:] if child not in world]
        for children in (watching, left[:1], others, world):
            await asyncio.gather(*(self._stop_child(child) for child in children))

    def hasten(self) -> None:
        """Kill the servers instead of letting them drain: what is committed stays, and the rest is settled at the next start."""
        self._hastened = True
        for child in self._children:
            child.kill()

    async def stop(self) -> None:
        """Stop the servers, then Redis."""
        await self.stop_servers()
        if self._redis is not None:
            self._redis.stop()

    async def _begin(self, child: Child, trouble: OSError | None, deadline_s: float) -> None:
        """Bring a spawned server to serve, waiting for trouble that passes."""
        restarts, said_s = Restarts(self._random), 0.0
        while True:
            code = await self._wait_ready(child) if trouble is None else POSTPONED
            if code is None:
                return
            if trouble is not None and not is_passing(trouble):
                raise ChildRefused(f"the {child.name} server cannot be started: {trouble}")
            end = End(code)
            reason = str(trouble or child.reason())
            if not end.postponed:
                self._raise_end(child, end, reason)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise ChildPostponed(
                    f"{reason or f'the {child.name} server cannot start now'}; that did not pass in {PATIENCE_S:g} s"
                    f"{child.spec.where}"
                )
            if time.monotonic() - said_s >= SAY_S:
                said_s = time.monotonic()
                self._on_event(
                    f"the {child.name} server cannot start yet{f' ({reason})' if reason else ''}: "
                    f"trying again for another {left_s:.0f} s"
                )
            await asyncio.sleep(restarts.pause_s(end))
            trouble = await self._spawn(child)

    async def _wait_ready(self, child: Child) -> int | None:
        try:
            return await child.wait_ready()
        except NotReady as exc:
            raise ChildFailed(str(exc)) from exc

    async def _spawn(self, child: Child) -> OSError | None:
        """Start the process of a server; return why there was no room for it."""
        try:
            await child.spawn()
        except OSError as exc:
            return exc
        return None

    async def _watch_child(self, child: Child) -> None:
        restarts = Restarts(self._random)
        trouble: OSError | None = None
        postponed_s: float | None = None
        while True:
            code = POSTPONED if trouble is not None else await self._wait_end(child)
            if self._stopping:
                return
            end = End(code, child.served_s, await self._has_progressed(child.name))
            pause_s = restarts.pause_s(end)
            reason = str(trouble or (child.reason() if end.postponed or end.refused else ""))
            postponed_s = (postponed_s or time.monotonic()) if end.postponed else None
            if self._all_vital:
                self._check_vital(child, end, restarts, reason, postponed_s)
            self._tell_end(child, end, restarts, reason, pause_s)
            await asyncio.sleep(pause_s)
            trouble = await self._spawn(child)

    async def _wait_end(self, child: Child) -> int:
        return await child.wait_end(after_s=SERVED_S, on_served=lambda: self._up(child.name))

    async def _has_progressed(self, name: str) -> bool:
        seen = await asyncio.to_thread(self._progress, name)
        progressed = seen != self._seen.get(name)
        self._seen[name] = seen
        return progressed

    def _check_vital(self, child: Child, end: End, restarts: Restarts, reason: str, postponed_s: float | None) -> None:
        if end.refused:
            self._raise_end(child, end, reason)
        if restarts.down:
            raise ChildFailed(f"{_ended(child, end)}{child.spec.where}; {_gave_up()}")
        if postponed_s is not None and time.monotonic() - postponed_s > PATIENCE_S:
            raise ChildPostponed(
                f"{reason or _ended(child, end)}; that did not pass in {PATIENCE_S:g} s{child.spec.where}"
            )

    def _tell_end(self, child: Child, end: End, restarts: Restarts, reason: str, pause_s: float) -> None:
        """Say what happened to a server, and what happens next. Raises ChildFailed when no server is left."""
        why = f"{_ended(child, end)}{f' ({reason})' if reason else ''}"
        again = _again(pause_s)
        if restarts.down:
            if child.name not in self._given_up:
                why += f", {restarts.fruitless} times in a row"
            self._down_with(child.name, why)
            self._given_up.add(child.name)
            if len(self._given_up) == len(self._children):
                raise ChildFailed(f"{_ended(child, end)}{child.spec.where}; {_gave_up()}")
            self._on_event(f"{why}{child.spec.where}: it stays down, {again}; the others go on")
            return
        if end.postponed or end.refused:
            self._down_with(child.name, why)
        self._on_event(f"{why}: {again}")

    def _down_with(self, name: str, why: str) -> None:
        if self._down.get(name) != why:
            self._down[name] = why
            self._on_down(dict(self._down))

    def _up(self, name: str) -> None:
        self._given_up.discard(name)
        if self._down.pop(name, None) is not None:
            self._on_down(dict(self._down))
            self._on_event(f"the {name} server serves again")

    def _raise_end(self, child: Child, end: End, reason: str) -> None:
        if end.refused:
            raise ChildRefused(reason or f"the {child.name} server refused to start{child.spec.where}")
        raise ChildFailed(f"{_ended(child, end)}{child.spec.where}")

    async def _watch_redis(self) -> None:
        restarts, trouble, began_s = Restarts(self._random), "", time.monotonic()
        while True:
            await asyncio.sleep(REDIS_POLL_S)
            if self._stopping or self._redis is None or (not trouble and self._redis.poll() is None):
                continue
            if self._restart_redis is None:
                raise ChildFailed("the embedded Redis ended")
            served_s = 0.0 if trouble else time.monotonic() - began_s
            pause_s = restarts.pause_s(
                End(self._redis.poll() or 0, served_s, progressed=await self._has_progressed(REDIS))
            )
            if self._all_vital and restarts.down:
                raise ChildFailed(f"the embedded Redis keeps ending{f': {trouble}' if trouble else ''}")
            self._on_event(
                f"the embedded Redis {f'does not start ({trouble})' if trouble else 'ended'}: {_again(pause_s)}"
            )
            await asyncio.sleep(pause_s)
            try:
                self._redis, trouble = await asyncio.to_thread(self._restart_redis), ""
            except (StartRefused, OSError) as exc:
                # Its disk may be full now and have room in a minute, and those who serve need what it holds.
                trouble = str(exc)
            began_s = time.monotonic()

    async def _stop_child(self, child: Child) -> None:
        if not await child.stop(hastened=self._hastened):
            self._on_event(f"the {child.name} server did not stop: it was killed")


def _ended(child: Child, end: End) -> str:
    if end.postponed:
        return f"the {child.name} server cannot start now"
    if end.refused:
        return f"the {child.name} server refused to start"
    return f"the {child.name} server ended with exit code {end.code}"


def _again(pause_s: float) -> str:
    return "starting it again" + (f" in {pause_s:.0f} s" if pause_s > PROMPT_S else "")


def _gave_up() -> str:
    return f"gave up after {FRUITLESS_MAX} restarts without progress"


@contextlib.asynccontextmanager
async def _first_failure() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Wait for all tasks that the block makes; raise what the first failure raised as it is, and cancel the others."""
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION) if tasks else (set(), None)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
