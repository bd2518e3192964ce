"""How late a paced loop wakes: `python -m benchmarks.pacing_probe ours|event|sleep|asyncio SEED DEADLINES`; prints {"p50_us", "p99_us"}.

The deadlines are absolute, 2 ms apart on average; the same seed gives the same ones.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Final

from services.replay.engine.pacing import PacingClock, WakeableWaiter, use_precise_timers
from services.runtime.clock import SystemClock

GAP_MEAN_NS: Final = 2_000_000
BEGIN_NS: Final = 20_000_000


def main() -> None:
    """Wait for every deadline in turn."""
    how, random, count = sys.argv[1], Random(int(sys.argv[2])), int(sys.argv[3])
    clock, pacing = SystemClock(), PacingClock(1.0)
    arrivals_ns = itertools.accumulate(
        (round(random.expovariate(1.0) * GAP_MEAN_NS) for _ in range(count)), initial=BEGIN_NS
    )
    pacing.begin(0, clock.monotonic_ns())
    deadlines_ns = [pacing.deadline_ns(arrival_ns) for arrival_ns in arrivals_ns][1:]
    late_ns = []
    if how == "asyncio":
        late_ns = asyncio.run(_play(deadlines_ns))
    else:
        wait_until = _own(clock) if how == "ours" else _event() if how == "event" else _sleep
        for deadline_ns in deadlines_ns:
            wait_until(deadline_ns)
            late_ns.append(clock.monotonic_ns() - deadline_ns)
    late_ns.sort()
    p50_ns, p99_ns = (late_ns[round((count - 1) * share)] for share in (0.5, 0.99))
    print(json.dumps({"p50_us": p50_ns / 1000, "p99_us": p99_ns / 1000}))


def _own(clock: SystemClock) -> Callable[[int], None]:
    use_precise_timers()
    return WakeableWaiter(threading.Event(), clock).wait_until


def _event() -> Callable[[int], None]:
    """Return what a wait that can be woken costs without a look at the clock before the deadline."""
    use_precise_timers()
    wake = threading.Event()

    def wait_until(deadline_ns: int) -> None:
        remaining_ns = deadline_ns - time.monotonic_ns()
        if remaining_ns > 0:
            wake.wait(remaining_ns / 1e9)

    return wait_until


async def _play(deadlines_ns: list[int]) -> list[int]:
    """Wait as a player does that lives in an event loop."""
    late_ns = []
    for deadline_ns in deadlines_ns:
        remaining_ns = deadline_ns - time.monotonic_ns()
        if remaining_ns > 0:
            await asyncio.sleep(remaining_ns / 1e9)
        late_ns.append(time.monotonic_ns() - deadline_ns)
    return late_ns


def _sleep(deadline_ns: int) -> None:
    remaining_ns = deadline_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns / 1e9)


if __name__ == "__main__":
    main()
