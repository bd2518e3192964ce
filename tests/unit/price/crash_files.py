"""A disk that loses power: what was not synced may be there, be torn, be missing, in any combination."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from services.price.engine.files import RESULT, FileSystem


class CrashFiles(FileSystem):
    """Writes nothing until it is synced; `lose_power` applies a random part of what waits."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: dict[int, list[tuple[bytes, int] | int]] = {}
        self._sizes: dict[int, int] = {}
        self.syncs_until_crash = -1
        """Counts down with every operation that reaches the disk; at 0 the power is lost."""

    def open(self, path: Path, mode: int = RESULT) -> int:
        descriptor = super().open(path, mode)
        self._waiting[descriptor] = []
        self._sizes[descriptor] = os.fstat(descriptor).st_size
        return descriptor

    def close(self, descriptor: int) -> None:
        # What waits stays waiting: closing makes nothing durable.
        self._waiting.setdefault(descriptor, [])

    def size(self, descriptor: int) -> int:
        return self._sizes[descriptor]

    def write(self, descriptor: int, content: bytes, offset: int) -> None:
        self._waiting[descriptor].append((bytes(content), offset))
        self._sizes[descriptor] = max(self._sizes[descriptor], offset + len(content))

    def truncate(self, descriptor: int, length: int) -> None:
        self._waiting[descriptor].append(length)
        self._sizes[descriptor] = length

    def sync(self, descriptor: int) -> None:
        self._count_down()
        for operation in self._waiting[descriptor]:
            self._apply(descriptor, operation)
        self._waiting[descriptor].clear()

    def replace(self, source: Path, target: Path) -> None:
        self._count_down()
        super().replace(source, target)

    def _count_down(self) -> None:
        if self.syncs_until_crash == 0:
            self.lose_power()
            raise PowerLost
        self.syncs_until_crash -= 1

    def lose_power(self) -> None:
        """Apply a random subset of the waiting operations, in random order, some of them torn."""
        for descriptor, operations in self._waiting.items():
            kept = [operation for operation in operations if self._random.random() < 0.5]
            self._random.shuffle(kept)
            for operation in kept:
                if isinstance(operation, tuple) and self._random.random() < 0.5:
                    content, offset = operation
                    start, stop = sorted(self._random.choices(range(len(content) + 1), k=2))
                    operation = (content[start:stop], offset + start)
                self._apply(descriptor, operation)
            os.close(descriptor)
        self._waiting.clear()

    @staticmethod
    def _apply(descriptor: int, operation: tuple[bytes, int] | int) -> None:
        if isinstance(operation, int):
            os.ftruncate(descriptor, operation)
        else:
            os.pwrite(descriptor, *operation)


class PowerLost(Exception):
    """The power went while something was made durable."""
