"""The lock of an output directory: one sink writes there, a stopped holder keeps it, a dead one frees it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class DirectoryLock:
    """An flock on `<directory>/lock`. The file names its holder, for people; the kernel alone decides who holds it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> bool:
        """Try to take the lock; never waits."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return True

    def holder(self) -> str:
        """Say which process holds the lock, as far as it is known."""
        text = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
        return f"process {text}" if text.isdigit() else "another process"

    def release(self) -> None:
        os.close(self._descriptor)
