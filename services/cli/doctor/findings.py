"""What a check says."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class Level(enum.StrEnum):
    """How bad something is."""

    OK = "ok"
    WARNING = "warning"
    """Servers start, and something is not as it should be."""
    FAULT = "fault"
    """A server does not start, or something does not work."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    fix: str = ""
    """What to do; empty where nothing has to be done."""
    page: str = ""
    """Where more about it is written."""


def ok(what: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Level.OK, what)


def warning(what: str, fix: str, page: str = "") -> Finding:
    """Return what deserves a look."""
    return Finding(Level.WARNING, what, fix, page)


def fault(what: str, fix: str, page: str = "") -> Finding:
    """Return what has to be mended."""
    return Finding(Level.FAULT, what, fix, page)


@dataclass(frozen=True)
class Patient:
    """What is examined: an environment, and the servers that would be started in it."""

    environment: Mapping[str, str]
    servers: Sequence[str]
    out: Path = field(default=Path("var"))
    """MIDSTREAM_OUT."""

    def set(self, name: str) -> str:
        """Return a variable, empty where it is not set."""
        return self.environment.get(name, "").strip()


Check = Callable[[Patient], Iterator[Finding]]
"""Says at least one thing; what it raises is told as a warning about itself."""
