"""The directories in which this machine has logs of a partition: it gets a new one where the sink went on elsewhere meanwhile.

Whoever takes a partition over begins at the position that the sink announced last. Logs that end there, or behind it, are continued;
others stay as they are, and a new segment begins: `p3`, then `p3.1`, `p3.2`. A segment that somebody writes to is left alone, be it a
sink that hangs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from services.price.engine.disk import PRIVATE_DIRECTORY
from services.price.engine.files import FileSystem
from services.price.engine.lock import DirectoryLock
from services.price.engine.position import Position, PositionFile
from services.runtime.private_files import make_private, private_directory


@dataclass(frozen=True)
class Segment:
    """A directory that this engine has the lock of."""

    directory: Path
    lock: DirectoryLock
    begin: Position | None
    """Where its logs begin when they are new; None is at the beginning of everything."""


def open_segment(base: Path, begin: Position | None) -> Segment:
    """Return the segment whose logs go on at `begin`, the newest one where that is not known. Raises StartRefused, and OSError."""
    existing = list(segments(base))
    for directory in reversed(existing):
        lock = locked(directory)
        if lock is None:
            continue
        if _goes_on(directory, begin):
            return Segment(directory, lock, begin)
        lock.release()
    return _new_segment(base, existing, begin)


def segments(base: Path) -> Iterator[Path]:
    """Yield the segments that are there, oldest first."""
    numbered = re.compile(re.escape(base.name) + r"\.([1-9][0-9]{0,8})")
    found = [base] if base.is_dir() else []
    if base.parent.is_dir():
        later = {
            int(match[1]): path
            for path in base.parent.iterdir()
            if (match := numbered.fullmatch(path.name)) is not None
        }
        found += [later[number] for number in sorted(later) if later[number].is_dir()]
    yield from found


def locked(directory: Path) -> DirectoryLock | None:
    """Take the lock of a directory; None where somebody has it. Raises OSError."""
    lock = open_lock(directory)
    if lock.acquire():
        return lock
    lock.release()
    return None


def open_lock(directory: Path) -> DirectoryLock:
    """Open the lock of a directory, made if need be. Raises OSError."""
    private = directory / PRIVATE_DIRECTORY
    private_directory(private)
    make_private(private / "lock", private / "position")
    return DirectoryLock(private)


def _goes_on(directory: Path, begin: Position | None) -> bool:
    with closing(PositionFile(directory / PRIVATE_DIRECTORY / "position", FileSystem())) as file:
        position = file.position
    if begin is None or position is None or position.is_empty:
        return True
    if (position.partition, position.partitions) != (begin.partition, begin.partitions):
        # Whoever opens it says what is wrong with it.
        return True
    return position.epoch == begin.epoch and position.sequence >= begin.sequence


def _new_segment(base: Path, existing: list[Path], begin: Position | None) -> Segment:
    if not existing:
        base.mkdir(parents=True, exist_ok=True)
        lock = locked(base)
        if lock is not None:
            return Segment(base, lock, begin)
    last = existing[-1].name.removeprefix(base.name).removeprefix(".") if existing else ""
    for number in count(int(last or 0) + 1):
        directory = base.with_name(f"{base.name}.{number}")
        try:
            # Only one of those who share a directory makes it.
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        lock = locked(directory)
        if lock is not None:
            return Segment(directory, lock, begin)
    raise AssertionError("counted to the end of numbers")
