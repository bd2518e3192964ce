"""The engine of a server: started as a child, its figures taken over, its trouble told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.runtime.engine_process import EngineProcess
from services.runtime.engine_usage import USAGE_FIGURES, EngineMetrics, EngineUsage
from services.runtime.figures import Figure

__all__ = ["ENGINE_FIGURES", "EngineHost"]

RESTARTS: Final = "midstream_engine_restarts_total"
_RESTARTS: Final = Figure(RESTARTS, "counter", "Times the engine was started again")
ENGINE_FIGURES: Final = (_RESTARTS, *USAGE_FIGURES)
"""Of every server with an engine; what an engine reports is declared beside it."""

ENGINE_STOP_S: Final = 4.0
"""Time an engine gets to drain; below the grace period that supervisors give a server."""

SILENT_S: Final = 3.5
"""An engine says something twice a second: one that has missed seven times hangs. With two looks it is told within five seconds."""
LOOK_S: Final = 0.5
_STARTING: Final = "the engine is starting"


def _ignore(report: dict[str, Any]) -> None:
    pass


class EngineHost:
    """Runs `module` as a child process, so that serving never disturbs its pace.

    `on_trouble` hears what keeps the engine from working, and "" when it works; `on_progress` every report of progress. An engine
    that works and falls silent is trouble, too: a process that is stopped, or waits for a disk, says nothing of itself.
    """

    def __init__(
        self,
        module: str,
        config: dict[str, object],
        *,
        metrics: EngineMetrics,
        figures: Sequence[Figure] = (),
        on_trouble: Callable[[str], None],
        on_progress: Callable[[dict[str, Any]], None] = _ignore,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`figures` are those that the engine reports."""
        metrics.declare((_RESTARTS, *figures))
        self._usage = EngineUsage(metrics)
        self._module = module
        self._config = config
        self._metrics = metrics
        self._on_trouble = on_trouble
        self._on_progress = on_progress
        self._process: EngineProcess | None = None
        self._monotonic_s = monotonic_s
        self._heard_s = monotonic_s()
        self._trouble = ""
        self._overdue = False
        self._silent = False
        self._pid = 0
        self._starts = 0

    @property
    def refusal(self) -> str | None:
        """The sentence with which the engine refused; None while it has not."""
        return None if self._process is None else self._process.refusal

    @property
    def silent_s(self) -> float:
        """For how long an engine that works or starts has said nothing; 0 while that is no longer than it may be."""
        return self._monotonic_s() - self._heard_s if self._silent else 0.0

    async def start(self) -> None:
        self._tell(_STARTING)
        self._process = EngineProcess(self._module, self._config, on_report=self._on_report)
        await self._process.start()

    async def run(self) -> int:
        """Wait for the end of the engine that cannot be started again; return the exit code of the server."""
        assert self._process is not None  # start() came first
        listening = asyncio.create_task(self._listen_for_silence())
        try:
            return await self._process.run()
        finally:
            listening.cancel()

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop(ENGINE_STOP_S)

    async def _listen_for_silence(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Tell of an engine that works and has not been heard of for too long."""
        silent_s = self._monotonic_s() - self._heard_s
        if (self._trouble and self._trouble != _STARTING) or silent_s <= SILENT_S:
            self._overdue = False
        elif not self._overdue:
            # What it said while this process itself was stopped is read before the next look.
            self._overdue = True
        elif not self._silent:
            self._silent = True
            what = f"{_STARTING} and has" if self._trouble else "the engine has"
            self._on_trouble(f"{what} said nothing for {silent_s:.0f} s: it was stopped, or waits for its disk")

    def _on_report(self, report: dict[str, Any]) -> None:
        self._heard_s = self._monotonic_s()
        if self._silent:
            self._silent = False
            self._on_trouble(self._trouble)
        match report:
            case {"event": "started", "pid": pid}:
                self._pid = self._usage.pid = int(pid)
                self._starts += 1
                if self._starts > 1:
                    self._metrics.add(RESTARTS)
            case {"event": "ready" | "consuming"}:
                self._tell("")
            case {"event": "unavailable" | "stopped" | "refused" | "failed", "message": text} | {
                "event": "standby" | "connecting",
                "reason": text,
            }:
                self._tell(str(text))
            case {"event": "exited", "code": code}:
                self._usage.pid = 0
                # What it said before it ended tells more than that it ended.
                self._tell(self._trouble or (f"the engine ended with code {code}" if code else "the engine has ended"))
            case {"event": "progress" | "figures", "figures": figures}:
                self._metrics.take(figures, origin=str(self._pid))
                if report["event"] == "progress":
                    self._on_progress(report)

    def _tell(self, trouble: str) -> None:
        self._trouble = trouble
        self._on_trouble(trouble)
