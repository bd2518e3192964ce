"""Wait for a condition in another process; never for a time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 10.0, what: str = "the condition") -> None:
    """Poll until `condition()` holds; fail the test when it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(0.005)


async def until(condition: Callable[[], bool], *, timeout_s: float = 10.0, what: str = "the condition") -> None:
    """As `wait_until`, for what changes in this event loop."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:g} s for {what}"
        await asyncio.sleep(0.001)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has reaped yet counts as ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        # Without /proc (macOS) the signal above is the answer.
        return Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] in ("Z", "X")
