"""Folders that last as long as a piece of work. What a killed process left is removed by the next one that makes such a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["scratch_directory"]

_PREFIX: Final = "midstream-scratch-"
_LOCK: Final = "in-use"
"""Held by whoever uses the folder: the system lets go of it however that process ends."""


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a private folder among the temporary files, and remove it at the end. Raises OSError when there is no room."""
    parent = Path(tempfile.gettempdir())
    _remove_left(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = -1
    try:
        # Locked before it has its name: a lock that can be had is one that was left.
        draft = folder / f".{_LOCK}"
        lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(folder / _LOCK)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def _remove_left(parent: Path) -> None:
    for folder in parent.glob(_PREFIX + "*"):
        # Each by itself: one that belongs to somebody else, or is being removed by somebody else, is none of our business.
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
