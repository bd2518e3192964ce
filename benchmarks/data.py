"""Seeded ticks for the benchmarks: eight files like recordings of perpetual swaps, cached under build/bench-data.

Arrivals are Poisson, 278 ticks per second over all files; latencies are lognormal (median 20 ms, sigma 0.7), so that rows
change places within and across files. Half of the files have millisecond timestamps, half microseconds; prices have one to
five decimals. No event lies on a whole second and no latency is a whole millisecond: with that, polars can write both logs
with its fastest formats, and its text is equal to ours byte by byte.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

SEED: Final = 20251003
FILES: Final = 8
VERSION: Final = 1
"""Part of the cache's name; a change of the generator changes it."""
START_US: Final = 1_759_449_600_000_000
TICKS_PER_SECOND: Final = 278.0
LATENCY_MEDIAN_MS: Final = 20.0
LATENCY_SIGMA: Final = 0.7
SECOND_US: Final = 1_000_000
MILLISECOND_US: Final = 1_000
CACHE: Final = Path(__file__).resolve().parents[1] / "build" / "bench-data"

# Name, base price, decimals of a price.
INSTRUMENTS: Final = (
    ("BTC-USDT-SWAP@BINANCE", 120_584.6, 1),
    ("ETH-USDT-SWAP@BINANCE", 4_487.35, 2),
    ("SOL-USDT-SWAP@OKEX", 234.612, 3),
    ("XPL-USDT-SWAP@BITGET", 9.3341, 4),
    ("DOGE-USDT-SWAP@BYBIT", 2.58712, 5),
    ("BTC-USDT-SWAP@GATE-IO", 120_581.2, 1),
    ("ETH-USDT-SWAP@KUCOIN", 4_487.41, 2),
    ("SOL-USDT-SWAP@HTX", 234.598, 3),
)


@dataclass(frozen=True)
class Ticks:
    """One generated data set."""

    count: int
    paths: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(os.path.getsize(path) for path in self.paths)


def make_ticks(count: int, cache: Path = CACHE) -> Ticks:
    """Return `count` ticks (rounded down to a multiple of the files) from the cache, or generate them."""
    rows = count // FILES
    directory = cache / f"v{VERSION}-{rows * FILES}"
    done = directory / "done.json"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for number in range(FILES):
            _write_file(directory / f"{number}.csv", number, rows)
        done.write_text(json.dumps({"seed": SEED, "ticks": rows * FILES}))
    return Ticks(rows * FILES, tuple(str(directory / f"{number}.csv") for number in range(FILES)))


def warm(data: Ticks) -> None:
    """Read every file once, so that all competitors find it in the page cache."""
    buffer = bytearray(1 << 20)
    for path in data.paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def _write_file(path: Path, number: int, rows: int) -> None:
    random = np.random.default_rng([SEED, number])
    ticker, base, decimals = INSTRUMENTS[number]
    resolution_us = MILLISECOND_US if number % 2 == 0 else 1
    event_us = START_US + np.cumsum(random.exponential(SECOND_US * FILES / TICKS_PER_SECOND, rows)).astype(np.int64)
    event_us -= event_us % resolution_us
    event_us[event_us % SECOND_US == 0] += resolution_us
    latency_us = np.rint(MILLISECOND_US * random.lognormal(np.log(LATENCY_MEDIAN_MS), LATENCY_SIGMA, rows)).astype(
        np.int64
    )
    latency_us[latency_us % MILLISECOND_US == 0] += 1
    # Whole price steps: a price never carries more decimals than its venue quotes.
    scale = 10**decimals
    mid_steps = round(base * scale) + np.cumsum(random.integers(-1, 2, rows))
    spread_steps = random.integers(1, 4, rows)
    bid = (mid_steps - spread_steps // 2) / scale
    ask = (mid_steps - spread_steps // 2 + spread_steps) / scale
    frame = pl.DataFrame(
        {
            "index": np.arange(rows),
            "timestamp": event_us,
            "ticker": pl.Series([ticker]).new_from_index(0, rows),
            "ask_amount": np.rint(random.uniform(1, 100_000, rows)) / 100,
            "ask_price": ask,
            "bid_price": bid,
            "bid_amount": np.rint(random.uniform(1, 100_000, rows)) / 100,
            "latency": latency_us / 1000,
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
    digits = 3 if resolution_us == MILLISECOND_US else 6
    frame.write_csv(path, datetime_format=f"%Y-%m-%d %H:%M:%S%.{digits}f")
