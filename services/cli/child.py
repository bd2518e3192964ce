"""One server as a child process: start it, learn that it serves, learn why it would not, stop it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from services.cli.nursery import Waiting
from services.runtime.child_python import module_command
from services.runtime.forked_process import Running
from services.runtime.parent_death import dying_with_parent
from services.runtime.private_files import private_opener, user_umask

STOP_GRACE_S: Final = 8.0
"""A server drains within 5 s; beyond this it is killed."""
READY_TIMEOUT_S: Final = 60.0
"""A server serves before its engine is ready, so even a loaded machine needs a fraction of this."""
READY_POLL_S: Final = 0.01
REFUSAL_BYTES: Final = 64 * 1024
"""How much of the end of a log is searched for a refusal."""


@dataclass(frozen=True)
class ChildSpec:
    """One server: how to start it, and where it says that it serves."""

    name: str
    module: str
    environment: Mapping[str, str]
    ready_file: Path
    log: Path | None = None
    """Where its output goes; None means to this process's."""
    waiting: Waiting | None = None
    """The process that its first life begins in; None where that is executed, too."""

    @property
    def where(self) -> str:
        """Where to read more, for the end of a sentence; empty where it went to the terminal already."""
        return f", see {self.log}" if self.log is not None else ""


class NotReady(Exception):
    """A server does not say in time that it serves."""


class Child:
    """The process of one server, again and again."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.announcement: dict[str, Any] = {}
        self._process: Running | None = None
        self._waiting = spec.waiting
        self._log_start = 0
        self._ready_s: float | None = None
        """Since when this life of it serves."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def spawn(self) -> None:
        """Start the process. Raises OSError when there is no room for it."""
        spec = self.spec
        self._ready_s = None
        spec.ready_file.unlink(missing_ok=True)
        environment = {**os.environ, **spec.environment, "MIDSTREAM_READY_FILE": str(spec.ready_file)}
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(_log_of(spec.log)) if spec.log is not None else None
            self._log_start = log.tell() if log is not None else 0
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                self._process = waiting.begin(environment, log)
                return
            spawning = asyncio.create_task(
                asyncio.create_subprocess_exec(
                    *dying_with_parent(module_command(spec.module)),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C reaches the whole foreground group; the servers wait for their SIGTERM so that they drain in order.
                    start_new_session=True,
                    umask=user_umask(),
                )
            )
            try:
                await asyncio.shield(spawning)
            finally:
                # Half a start cannot be cancelled: the process would be there, and nobody would know it.
                self._process = await spawning

    async def wait_ready(self) -> int | None:
        """Return None once it serves, else the exit code with which it ended before. Raises NotReady."""
        assert self._process is not None  # spawn() came first
        # Another process writes the file, so there is nothing to await but time.
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while self._process.returncode is None and not self.spec.ready_file.exists():
            if time.monotonic() > deadline_s:
                raise NotReady(f"the {self.name} server does not serve after {READY_TIMEOUT_S:g} s{self.spec.where}")
            await asyncio.sleep(READY_POLL_S)
        if self.spec.ready_file.exists():
            # It did serve; should it have ended since, whoever waits for its end learns of it.
            self.announcement = json.loads(self.spec.ready_file.read_text())
            self._ready_s = time.monotonic()
            return None
        return self._process.returncode

    async def wait_end(self, *, after_s: float, on_served: Callable[[], None]) -> int:
        """Return its exit code when it ends; `on_served` is told once it has served for `after_s`.

        One that does not say in time that it serves hangs, and is killed.
        """
        assert self._process is not None  # spawn() came first
        serving = asyncio.create_task(self._wait_served(after_s, on_served))
        try:
            code = await self._process.wait()
        finally:
            serving.cancel()
        if self._ready_s is None and self.spec.ready_file.exists():
            # For a moment only, shorter than between two looks.
            self._ready_s = time.monotonic()
        return code

    async def _wait_served(self, after_s: float, on_served: Callable[[], None]) -> None:
        try:
            if self._ready_s is None and await self.wait_ready() is not None:
                return
        except NotReady:
            self.kill()
            return
        await asyncio.sleep(after_s)
        on_served()

    @property
    def served_s(self) -> float:
        """For how long this life of it has served; 0.0 where it has not."""
        return 0.0 if self._ready_s is None else time.monotonic() - self._ready_s

    def reason(self) -> str:
        """Return the one plain line with which it would not start, from its log; empty where it went to the terminal already."""
        if self.spec.log is None:
            return ""
        with contextlib.suppress(OSError), self.spec.log.open("rb") as log:
            log.seek(max(self.spec.log.stat().st_size - REFUSAL_BYTES, self._log_start))
            lines = log.read().decode(errors="replace").splitlines()
            return next((line for line in reversed(lines) if line and not line.startswith("{")), "")
        return ""

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        self._send(signal.SIGKILL)

    async def stop(self, *, hastened: bool) -> bool:
        """Have it drain; tell whether it did in time. Killed otherwise, and at once where `hastened`."""
        if self._process is None or not self.running:
            return True
        self._send(signal.SIGKILL if hastened else signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False
        return True

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def _log_of(path: Path) -> BinaryIO:
    return open(path, "ab", opener=private_opener)
