"""What a process takes up, as the system counts it."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MIB = 1 << 20


@dataclass(frozen=True)
class Figures:
    """At one moment."""

    resident: int
    """Bytes."""
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Figures:
        """Look now."""
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        status = dict(line.split(":", 1) for line in lines)
        return cls(
            resident=int(status["VmRSS"].split()[0]) * 1024,
            descriptors=len(os.listdir(f"/proc/{pid}/fd")),
            threads=int(status["Threads"]),
        )

    def __str__(self) -> str:
        return f"rss={self.resident / MIB:.0f} MiB descriptors={self.descriptors} threads={self.threads}"


class Peak:
    """The most that a process takes up while a block runs; `.before` is what it had."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.before = self.most = Figures.of(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def grown(self) -> int:
        """Bytes above what it had."""
        return self.most.resident - self.before.resident

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._look()
            time.sleep(0.005)

    def _look(self) -> None:
        now = Figures.of(self._pid)
        self.most = Figures(
            max(self.most.resident, now.resident),
            max(self.most.descriptors, now.descriptors),
            max(self.most.threads, now.threads),
        )
