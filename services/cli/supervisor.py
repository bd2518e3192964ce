"""Start the servers and their Redis, restart what dies, and give up when that does not help."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from services.runtime.backoff import full_jitter
from services.runtime.child_python import module_command
from services.runtime.embedded import EmbeddedRedis
from services.runtime.parent_death import dying_with_parent

RESTARTS_WITHOUT_PROGRESS_MAX = 5
STABLE_S = 30.0
"""A child that stayed up this long made progress, whatever it does."""
SERVED_S = 2.0
"""One that served this long is worth starting again, however often somebody kills it; but ever later, until it is stable."""
RESTART_DELAY_S_MAX = 5.0
STOP_GRACE_S = 8.0
"""A server drains within 5 s; beyond this it is killed."""
READY_TIMEOUT_S = 60.0
"""A server serves before its engine is ready, so even a loaded machine needs a fraction of this."""
READY_POLL_S = 0.01
REFUSAL_BYTES = 64 * 1024
"""How much of the end of a log is searched for a refusal."""
REFUSED = 2


@dataclass(frozen=True)
class ChildSpec:
    """One server: how to start it, and where it says that it serves."""

    name: str
    module: str
    environment: Mapping[str, str]
    ready_file: Path
    log: Path | None = None
    """Where its output goes; None means to this process's."""


@dataclass
class _Child:
    spec: ChildSpec
    process: asyncio.subprocess.Process | None = None
    started_s: float = 0.0
    restarts: int = 0
    """Since it was stable or data flowed; decides how long the next one waits."""
    fruitless: int = 0
    """Those among them after which it did not serve for long."""
    progress: object = None
    announcement: dict[str, Any] = field(default_factory=dict)


class ChildRefused(Exception):
    """A server refused to start; the message is its reason and fix."""


class ChildFailed(Exception):
    """A server kept dying."""


class Supervisor:
    """Owns the children. `progress` returns anything that changes while data flows; it decides whether restarts help."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        redis: EmbeddedRedis | None,
        restart_redis: Callable[[], EmbeddedRedis] | None = None,
        progress: Callable[[], object] = lambda: None,
        on_event: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._redis = redis
        self._restart_redis = restart_redis
        self._redis_restarts = 0
        self._redis_progress: object = None
        self._progress = progress
        self._on_event = on_event
        self._random = Random()
        self._stopping = False
        self._hastened = False

    async def start(self) -> dict[str, dict[str, Any]]:
        """Start every server and wait until all serve; returns their announcements by name."""
        for child in self._children:
            await self._spawn(child)
        # At the same time, so that the first that fails is heard of while others still start.
        async with _first_failure() as waiting:
            for child in self._children:
                waiting.append(asyncio.create_task(self._wait_ready(child)))
        return {child.spec.name: child.announcement for child in self._children}

    async def watch(self) -> None:
        """Restart what dies, until cancelled. Raises ChildRefused or ChildFailed."""
        async with _first_failure() as watchers:
            watchers += [asyncio.create_task(self._watch_child(child)) for child in self._children]
            if self._redis is not None:
                watchers.append(asyncio.create_task(self._watch_redis()))

    async def stop_servers(self) -> None:
        """Stop the first server, which feeds the others, then these at the same time; Redis stays."""
        self._stopping = True
        for children in (self._children[:1], self._children[1:]):
            await asyncio.gather(*(self._stop_child(child) for child in children))

    def hasten(self) -> None:
        """Kill the servers instead of letting them drain: what is committed stays, and the rest is settled at the next start."""
        self._hastened = True
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()

    async def stop(self) -> None:
        """Stop the servers, then Redis."""
        await self.stop_servers()
        if self._redis is not None:
            self._redis.stop()

    async def _spawn(self, child: _Child) -> None:
        spec = child.spec
        spec.ready_file.unlink(missing_ok=True)
        environment = {**os.environ, **spec.environment, "MIDSTREAM_READY_FILE": str(spec.ready_file)}
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(spec.log.open("ab")) if spec.log is not None else None
            spawning = asyncio.create_task(
                asyncio.create_subprocess_exec(
                    *dying_with_parent(module_command(spec.module)),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C reaches the whole foreground group; the servers wait for their SIGTERM so that they drain in order.
                    start_new_session=True,
                )
            )
            try:
                await asyncio.shield(spawning)
            finally:
                # Half a start cannot be cancelled: the process would be there, and nobody would know it.
                child.process = await spawning
                child.started_s = time.monotonic()

    async def _wait_ready(self, child: _Child) -> None:
        assert child.process is not None  # _spawn came first
        # Another process writes the file, so there is nothing to await but time.
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while child.process.returncode is None and not child.spec.ready_file.exists():
            if time.monotonic() > deadline_s:
                raise ChildFailed(
                    f"the {child.spec.name} server does not serve after {READY_TIMEOUT_S:g} s{_where(child.spec)}"
                )
            await asyncio.sleep(READY_POLL_S)
        if child.spec.ready_file.exists():
            # It did serve; should it have ended since, watch() starts it again.
            child.announcement = json.loads(child.spec.ready_file.read_text())
        elif child.process.returncode is not None:
            self._raise_exit(child)

    def _raise_exit(self, child: _Child) -> None:
        assert child.process is not None
        code = child.process.returncode
        where = _where(child.spec)
        if code == REFUSED:
            raise ChildRefused(_refusal(child.spec) or f"the {child.spec.name} server refused to start{where}")
        raise ChildFailed(f"the {child.spec.name} server ended with exit code {code}{where}")

    async def _watch_child(self, child: _Child) -> None:
        while True:
            assert child.process is not None
            code = await child.process.wait()
            if self._stopping:
                return
            if code == REFUSED:
                self._raise_exit(child)
            progress = await asyncio.to_thread(self._progress)
            if time.monotonic() - child.started_s > STABLE_S or progress != child.progress:
                child.restarts = child.fruitless = 0
            elif _has_served(child.spec):
                child.fruitless = 0
            child.progress = progress
            child.restarts += 1
            child.fruitless += 1
            if child.fruitless > RESTARTS_WITHOUT_PROGRESS_MAX:
                raise ChildFailed(
                    f"the {child.spec.name} server ended with exit code {code}{_where(child.spec)}; gave up after "
                    f"{RESTARTS_WITHOUT_PROGRESS_MAX} restarts without progress"
                )
            self._on_event(f"the {child.spec.name} server ended with exit code {code}: starting it again")
            delay_s = full_jitter(child.restarts, base_s=0.1, cap_s=RESTART_DELAY_S_MAX, random=self._random)
            await asyncio.sleep(delay_s)
            await self._spawn(child)

    async def _watch_redis(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self._stopping or self._redis is None or self._redis.poll() is None:
                continue
            if self._restart_redis is None:
                raise ChildFailed("the embedded Redis ended")
            progress = await asyncio.to_thread(self._progress)
            self._redis_restarts = 1 if progress != self._redis_progress else self._redis_restarts + 1
            self._redis_progress = progress
            if self._redis_restarts > RESTARTS_WITHOUT_PROGRESS_MAX:
                raise ChildFailed("the embedded Redis keeps ending")
            self._on_event("the embedded Redis ended: starting it again")
            self._redis = await asyncio.to_thread(self._restart_redis)

    async def _stop_child(self, child: _Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL if self._hastened else signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await process.wait()
        except TimeoutError:
            self._on_event(f"the {child.spec.name} server does not stop: killing it")
            process.kill()
            await process.wait()


def _has_served(spec: ChildSpec) -> bool:
    """Tell whether a child that has just ended served for a while: its file says since when."""
    try:
        return time.time() - spec.ready_file.stat().st_mtime >= SERVED_S
    except FileNotFoundError:
        return False


def _where(spec: ChildSpec) -> str:
    return f", see {spec.log}" if spec.log is not None else ""


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


def _refusal(spec: ChildSpec) -> str:
    """The one plain line with which a server refused, from its log; empty where it went to the terminal already."""
    if spec.log is None:
        return ""
    with spec.log.open("rb") as log:
        log.seek(max(spec.log.stat().st_size - REFUSAL_BYTES, 0))
        lines = log.read().decode(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line and not line.startswith("{")), "")
