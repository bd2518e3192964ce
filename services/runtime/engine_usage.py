"""What an engine takes of the machine: its own process, where the system tells of others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from services.runtime.figures import Figure, Values

__all__ = ["USAGE_FIGURES", "EngineMetrics", "EngineUsage"]

CPU: Final = Figure(
    "midstream_engine_cpu_seconds_total",
    "counter",
    "User and system CPU time of the engine's process; begins again with it",
)
MEMORY: Final = Figure("midstream_engine_memory_bytes", "gauge", "Resident memory of the engine's process", born=False)
USAGE_FIGURES: Final = (CPU, MEMORY)

PROC: Final = Path("/proc")
_UTIME, _STIME = 11, 12
"""Places behind the name of the program, which may hold spaces itself."""


class FollowedFigure(Protocol):
    """A figure that is read when somebody scrapes."""

    def follow(self, read: Callable[[], Values], /) -> None: ...


class EngineMetrics(Protocol):
    """Where figures of an engine go: those of its process, or those of one session of many (SessionMetrics)."""

    def declare(self, figures: Iterable[Figure]) -> None: ...

    def measured(self, figure: Figure) -> FollowedFigure: ...

    def add(self, name: str, amount: float = 1.0) -> None: ...

    def take(self, values: Mapping[str, Any], *, origin: str) -> None: ...


class EngineUsage:
    """Reads /proc when somebody scrapes; without it, or without an engine, nothing is known."""

    def __init__(self, metrics: EngineMetrics, *, proc: Path = PROC) -> None:
        self.pid = 0
        """Of the engine that runs; 0: none does."""
        self._proc = proc
        metrics.measured(CPU).follow(self.cpu)
        metrics.measured(MEMORY).follow(self.memory)

    def cpu(self) -> Values:
        """Return the seconds of CPU time."""
        fields = self._read("stat").rpartition(")")[2].split()
        if len(fields) <= _STIME:
            return {}
        return {(): (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")}

    def memory(self) -> Values:
        """Return the bytes that are resident."""
        fields = self._read("statm").split()
        return {(): int(fields[1]) * os.sysconf("SC_PAGE_SIZE")} if len(fields) > 1 else {}

    def _read(self, name: str) -> str:
        pid = self.pid
        if not pid:
            return ""
        try:
            return (self._proc / str(pid) / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            # It has ended, or the system has no such files.
            return ""
