"""Sorted runs of rows on disk, for what does not fit into memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services.replay.sources.errors import SourceFailed

RUN_BLOCK_BYTES = 256 * 1024


@dataclass
class SpilledRun:
    """Where the rest of one run stands in the file."""

    position: int
    end: int


class SpillFile:
    """One temporary file for all runs of a replay. It has no name: however the process ends, the disk is free again."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._descriptor: int | None = None
        self._size = 0

    def append(self, serialised: bytes) -> SpilledRun:
        """Write a run behind the others."""
        try:
            descriptor = self._open()
            view = memoryview(serialised)
            written = 0
            while written < len(view):
                written += os.pwrite(descriptor, view[written:], self._size + written)
        except OSError as error:
            where = self._directory or tempfile.gettempdir()
            raise SourceFailed(
                f"cannot write {len(serialised):,} bytes of rows to {where}: {error.strerror}; make room there"
            ) from error
        run = SpilledRun(self._size, self._size + len(serialised))
        self._size += len(serialised)
        return run

    def read(self, run: SpilledRun, count: int) -> bytes:
        """Read the next `count` bytes of a run; the caller moves `run.position` by what it used."""
        assert self._descriptor is not None
        wanted = min(count, run.end - run.position)
        block = os.pread(self._descriptor, wanted, run.position)
        if len(block) < wanted:
            raise SourceFailed("the file of spilled rows became shorter; something else writes it, start again")
        return block

    def close(self) -> None:
        """Free the disk."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            if self._directory is not None:
                self._directory.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix="midstream-rows-", dir=self._directory)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            self._descriptor = descriptor
        return self._descriptor
