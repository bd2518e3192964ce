"""How late a paced loop wakes: `python -m benchmarks.pacing_probe ours|sleep SEED DEADLINES`; prints {"p50_us", "p99_us"}.

The deadlines are absolute, 2 ms apart on average; the same seed gives the same ones.
"""

from __future__ import annotations

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
    wait_until = _own(clock) if how == "ours" else _sleep
    pacing.begin(0, clock.monotonic_ns())
    arrival_ns, late_ns = BEGIN_NS, []
    for _ in range(count):
        arrival_ns += round(random.expovariate(1.0) * GAP_MEAN_NS)
        deadline_ns = pacing.deadline_ns(arrival_ns)
        wait_until(deadline_ns)
        late_ns.append(clock.monotonic_ns() - deadline_ns)
    late_ns.sort()
    p50_ns, p99_ns = (late_ns[round((count - 1) * share)] for share in (0.5, 0.99))
    print(json.dumps({"p50_us": p50_ns / 1000, "p99_us": p99_ns / 1000}))


def _own(clock: SystemClock) -> Callable[[int], None]:
    use_precise_timers()
    return WakeableWaiter(threading.Event(), clock).wait_until


def _sleep(deadline_ns: int) -> None:
    remaining_ns = deadline_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns / 1e9)


if __name__ == "__main__":
    main()
