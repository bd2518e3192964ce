"""Read the locks that lie beside the lists of pins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
RUN: Final = "requirements.lock"
BUILD: Final = "requirements/build.lock"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


class BadLock(Exception):
    """A lock that cannot be read; says which and what to do."""


@dataclass(frozen=True)
class Pin:
    """One package at one version, in whichever of its published files."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """SHA-256 of every file that the version was published in."""
    lock: str

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path, root: Path = ROOT) -> list[Pin]:
    """Return the pins of one lock. Raises BadLock for a file without any."""
    name = path.relative_to(root).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise BadLock(f"{name} cannot be read ({exc}); run `make lock`") from exc
    found = _PIN.findall(text)
    if len(found) != text.count("=="):
        raise BadLock(f"{name} holds {text.count('==')} pins, of which {len(found)} have hashes; run `make lock`")
    return [
        Pin(canonical(each), version, tuple(re.findall(r"sha256:(\w+)", hashes)), name)
        for each, version, hashes in found
    ]


def read_locks(root: Path = ROOT) -> list[Pin]:
    """Return the pins of every lock there is."""
    paths = sorted(path for pattern in ("*.lock", "*/*.lock") for path in root.glob(pattern))
    if not paths:
        raise BadLock(f"there is no lock in {root}; run `make lock`")
    return [pin for path in paths for pin in read_lock(path, root)]
