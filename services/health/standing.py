"""For how long readers of a queue have stood still."""

from __future__ import annotations

from collections.abc import Collection

from services.runtime.clock import Clock

Reader = tuple[str, str, int]
"""Session, name and partition."""


class Standing:
    """Remembers where readers were and since when, for as long as they exist."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._behind: dict[Reader, tuple[object, int]] = {}

    def seconds(self, reader: Reader, *, position: object, behind: bool) -> float:
        """Return for how long it has had something to read and has not moved; 0.0 when it has moved, or has nothing to read."""
        now_ns = self._clock.monotonic_ns()
        before, since_ns = self._behind.get(reader, (None, now_ns))
        if not behind or before != position:
            since_ns = now_ns
        self._behind[reader] = (position if behind else None), since_ns
        return (now_ns - since_ns) / 1e9

    def keep(self, readers: Collection[Reader]) -> None:
        """Forget every other one."""
        for reader in self._behind.keys() - set(readers):
            del self._behind[reader]
