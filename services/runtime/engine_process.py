"""The server's end of the line to its engine: start it, pass reports on, restart it when it crashes."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.child_python import module_command
from services.runtime.connection import redacted
from services.runtime.errors import StartPostponed, StartRefused
from services.runtime.forked_process import Running
from services.runtime.log_fields import fields
from services.runtime.printable import printable
from services.runtime.private_files import user_umask
from services.runtime.waiting_engine import take

logger = logging.getLogger(__name__)

REPORT_BYTES_MAX = 4 * 1024 * 1024
"""Longest report line; a longer one is a bug of the engine, and it is restarted."""

RESTARTS_MAX = 5
"""Restarts without progress before the server gives up."""

EXIT_REFUSED = StartRefused.exit_code
EXIT_POSTPONED = StartPostponed.exit_code


class EngineProcess:
    """One engine child process, in one event loop.

    `on_report` is called in the loop with every report, and with two of the host's own: {"event":"started","pid"} and
    {"event":"exited","code","restarting"}. A restarted engine gets the same config.
    """

    def __init__(
        self,
        module: str,
        config: Mapping[str, object],
        *,
        on_report: Callable[[dict[str, Any]], None],
        backoff: BackoffPolicy | None = None,
        random: Random | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._module = module
        self._config = json.dumps(dict(config)).encode() + b"\n"
        self._on_report = on_report
        self._backoff = Backoff(Random() if random is None else random, backoff or BackoffPolicy(0.2, 5.0))
        self._environment = None if environment is None else dict(environment)
        self._process: Running | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._killed = False
        self.refusal: str | None = None
        """The sentence with which the engine refused, for the one line the operator sees."""
        self.failure: str | None = None
        """That with which it failed for good: starting it again would hide what the operator asked to be told."""

    @property
    def pid(self) -> int | None:
        """Process id of the running engine."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start the child; `run` supervises it."""
        process = self._process = await self._begin()
        logger.info("engine started", extra=fields(module=self._module, pid=process.pid))
        self._send(process, self._config)
        self._on_report({"event": "started", "pid": process.pid})

    async def _begin(self) -> Running:
        waiting = take(self._module) if self._environment is None else None
        if waiting is not None:
            return await waiting.attach(REPORT_BYTES_MAX)
        return await asyncio.create_subprocess_exec(
            *module_command(self._module),
            stdin=PIPE,
            stdout=PIPE,
            limit=REPORT_BYTES_MAX,
            env=self._environment,
            # A group of its own: Ctrl-C in a terminal goes to the server, which drains the engine in order.
            process_group=0,
            # What it writes for users is as readable as they want it; what it keeps for itself it makes private itself.
            umask=user_umask(),
        )

    async def run(self) -> int:
        """Supervise until the engine ends for good; return the exit code for the server process."""
        try:
            return await self._supervise()
        finally:
            self._ended.set()

    async def stop(self, timeout_s: float) -> None:
        """Have the engine drain; kill it when that takes longer than `timeout_s`. Harmless when repeated."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._send(process, b'{"command":"stop"}\n')
        try:
            await asyncio.wait_for(process.wait(), timeout_s)
        except TimeoutError:
            logger.error("engine killed: it did not drain in time", extra=fields(waited_s=timeout_s, pid=process.pid))
            self._killed = True
            process.kill()
            await process.wait()

    async def _supervise(self) -> int:
        while True:
            if self._process is None:
                await self.start()
            code = await self._follow()
            stopping = self._stopping.is_set()
            final = self._final_code(code, stopping)
            self._on_report({"event": "exited", "code": code, "restarting": final is None})
            if final is not None:
                return final
            delay_s = self._backoff.next_s()
            logger.warning(
                "engine restarts",
                extra=fields(module=self._module, code=code, attempt=self._backoff.attempt, delay_s=round(delay_s, 3)),
            )
            try:
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            except TimeoutError:
                await self.start()
            else:
                return 0

    def _final_code(self, code: int, stopping: bool) -> int | None:
        """Return the server's exit code, or None when the engine is to be restarted."""
        if code == 0:
            return 0
        if code == EXIT_REFUSED:
            return self._refused(code)
        if self.failure is not None:
            print(printable(redacted(self.failure)), file=sys.stderr)  # noqa: T201  (as for a refusal)
            return 1
        if stopping:
            return 1
        if self._backoff.attempt >= RESTARTS_MAX:
            logger.error(
                "engine given up", extra=fields(module=self._module, code=code, restarts=self._backoff.attempt)
            )
            # Whoever started this server has more patience than it.
            return self._refused(code) if code == EXIT_POSTPONED else 1
        return None

    def _refused(self, code: int) -> int:
        if self.refusal is not None:
            print(printable(redacted(self.refusal)), file=sys.stderr)  # noqa: T201  (the one line of a refusal)
        return code

    async def _follow(self) -> int:
        """Pass reports on until the child has ended; return its exit code."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                logger.error(
                    "engine killed: its report is too long", extra=fields(bytes_max=REPORT_BYTES_MAX, pid=process.pid)
                )
                process.kill()
                break
            if not line:
                break
            self._handle(line)
        return await process.wait()

    def _handle(self, line: bytes) -> None:
        try:
            report = json.loads(line)
        except ValueError:
            report = None
        if not isinstance(report, dict) or "event" not in report:
            logger.warning("engine report ignored: not a JSON object with an event", extra=fields(length=len(line)))
            return
        if report["event"] == "progress":
            self._backoff.reset()
        elif report["event"] == "refused":
            self.refusal = str(report.get("message", "the engine refused without a message"))
        elif report["event"] == "failed":
            self.failure = str(report.get("message", "the engine failed without a message"))
        self._on_report(report)

    @staticmethod
    def _send(process: Running, line: bytes) -> None:
        """Write one line to the child; a child that is gone already shows in its exit code."""
        if process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(line)
