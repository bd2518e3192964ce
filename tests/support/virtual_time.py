"""An event loop whose time passes only when everything waits: an hour of timers runs in milliseconds, in the right order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

START_NS: Final = 1_760_000_000_000_000_000
"""Wall time at which a virtual loop begins: 2025-10-09 08:53:20 UTC."""


class _IdleSelector(selectors.DefaultSelector):
    """Reports what is ready at once; where the loop would sleep, its time jumps instead."""

    def __init__(self) -> None:
        super().__init__()
        self.jump: Callable[[float], None] = lambda seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # Nothing is scheduled: only a real socket or another thread can go on.
            return super().select(1.0)
        self.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Also the clock of what runs in it: pass `loop.monotonic_ns`, `loop.wall_ns`, and `asyncio.sleep` to the code under test.

    Real sockets work, but a peer in another process sees no time pass: use it for code whose transport is a fake.
    """

    def __init__(self) -> None:
        selector = _IdleSelector()
        self._virtual_ns = 1_000_000_000
        self._wall_offset_ns = START_NS - self._virtual_ns
        super().__init__(selector)
        selector.jump = self._jump

    def time(self) -> float:
        return self._virtual_ns / 1e9

    def monotonic_ns(self) -> int:
        """Virtual monotonic time."""
        return self._virtual_ns

    def wall_ns(self) -> int:
        """Virtual UTC."""
        return self._virtual_ns + self._wall_offset_ns

    def jump_wall_ns(self, nanoseconds: int) -> None:
        """Step the wall clock alone, as an adjustment of the system time does."""
        self._wall_offset_ns += nanoseconds

    def _jump(self, seconds: float) -> None:
        # A nanosecond more than asked: a timer due exactly now would otherwise be one rounding error early for ever.
        self._virtual_ns += max(0, round(seconds * 1e9)) + 1


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main(loop)` to its end in a fresh virtual loop; every task it left behind is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(main(loop))
