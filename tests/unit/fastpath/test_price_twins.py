"""The price kernel spells every batch the same, whatever the processor has: see `FASTPATH_SIMD`."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path
from random import Random

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, MODE_LIVE, TickFrame, encode_batch
from fastpath.midprice import PriceKernel
from tests.support.imports import ROOT
from tests.unit.fastpath.frame_support import seed_of_this_run

MS = 1_000_000
SECOND = 1_000 * MS
DAY = 86_400 * SECOND
NEW_YEAR = 1_735_689_600 * SECOND  # 2025-01-01
BATCHES = 60
OPTIONS = [(threshold, log_arrival) for threshold in (20 * MS, 0, -3 * MS, 2**63 - 1) for log_arrival in (False, True)]


def price(random: Random) -> float:
    """Draw what venues quote, its neighbours, and what nobody quotes."""
    decimals = random.randrange(9)
    quoted = random.randrange(1, 10 ** random.randrange(1, 12)) / 10**decimals
    match random.randrange(12):
        case 0:
            return random.choice((math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-5, 9e7, 1.7e308, 5e-324, 1e16, -quoted))
        case 1:
            return math.nextafter(quoted, random.choice((math.inf, 0.0)))
        case 2:
            return random.random() * 10 ** random.randrange(9)
    return quoted


def random_block(random: Random) -> Block:
    """Draw ticks whose times cross seconds, years and 1970, and whose latencies are of every kind."""
    block = Block(Tickers())
    start = random.choice((NEW_YEAR, -2 * SECOND, 0, 2**62, NEW_YEAR - DAY))
    step = random.choice((0, 1, 1_000, 3 * MS, 5 * SECOND, DAY))
    unit = random.choice((1, 1_000, MS, SECOND))
    for number in range(random.choice((1, 7, 8, 9, 255, 256, 257, 600))):
        event = (start + number * step + random.randrange(-SECOND, SECOND)) // unit * unit
        latency = random.choice(
            (0, 20 * MS, 20 * MS + 1, 21 * MS, -5 * MS, 10**14, 10**14 - 1, 2**60, random.randrange(2**36))
        )
        bid = price(random)
        block.append_tick(
            f"T{random.randrange(5)}",
            event_time_ns=event,
            arrival_time_ns=event + latency,
            bid_price=bid,
            bid_amount=random.choice((0.0, 1.0, math.nan)),
            ask_price=random.choice((bid, bid * 1.001, price(random))),
            ask_amount=random.choice((0.0, 1.0, 1.0)),
        )
    return block


def written(seed: int) -> str:
    """Return a fingerprint of everything that the kernel makes of the batches of this seed."""
    random, whole = Random(seed), hashlib.sha256()
    kernels = [
        PriceKernel(latency_threshold_ns=threshold, log_arrival=log_arrival, with_csv=True)
        for threshold, log_arrival in OPTIONS
    ]
    for _ in range(BATCHES):
        block, mode = random_block(random), random.choice((MODE_HISTORICAL, MODE_HISTORICAL, MODE_LIVE))
        frame = TickFrame(encode_batch(block, 0, len(block), epoch="e", mode=mode, first_sequence=1, sources=[])[0])
        for kernel in kernels:
            kernel.process(frame, after_sequence=random.choice((0, 0, 3)))
            for text in (kernel.take_mid_text(), kernel.take_error_text(), kernel.take_csv_text()):
                whole.update(text)
            whole.update(kernel.take_mid_batch() + kernel.state())
    return whole.hexdigest()


def test_the_portable_spelling_writes_the_same() -> None:
    seed = seed_of_this_run()

    portable = subprocess.run(
        [sys.executable, "-m", "tests.unit.fastpath.test_price_twins", str(seed)],
        env=os.environ | {"FASTPATH_SIMD": "portable", "PYTHONPATH": str(ROOT)},
        cwd=Path(ROOT),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert portable.stdout.strip() == written(seed)


if __name__ == "__main__":
    print(written(int(sys.argv[1])))  # noqa: T201 - the answer to the test above
