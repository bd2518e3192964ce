"""Files of ticks in the layouts that people bring: made ones always, and real ones where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

SHARED = Path(os.environ.get("MIDSTREAM_SHARED", Path(__file__).parents[3] / "shared"))
REAL = SHARED / "data" / "real"
REAL_LIVE = REAL / "assignment" / "live_data.csv"
LIVE_ROWS = 30_000
SOURCES = ["made", *(["real"] if REAL.is_dir() else [])]
"""What a test over tick files is run with."""
EXCHANGES = ("BINANCE", "BITMEX", "HTX", "COINBASEINT")
OTHER_KINDS = {
    "snapshots": "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount",
    "trades": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "deltas": "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
}
"""Headers of Tardis files that hold no quotes."""


def live_file(source: str, folder: Path) -> Path:
    """Return 30,000 quotes as a live recorder leaves them: sorted by event time, without latencies."""
    return REAL_LIVE if source == "real" else _write(folder / "live.csv", _live_lines())


def quote_files(source: str, folder: Path) -> list[Path]:
    """Return files of quotes in the layout of Tardis, sorted by arrival."""
    if source == "real":
        return sorted(REAL.glob("tardis/*quotes*.csv"))
    return [_write(folder / f"made_quotes_{number}.csv", _quote_lines(number)) for number in (1, 2)]


def late_latencies(source: str) -> list[str]:
    """Return latencies above the threshold, as somebody's log spelled them."""
    if source == "real":
        lines = (REAL / "assignment" / "peer_errors.log").read_text(encoding="utf-8").splitlines()
        return [line.split(" as latency ")[1].split("ms")[0] for line in lines]
    chooser = Random("latencies")
    return [repr(20 + chooser.expovariate(0.3)) for _ in range(500)]


def over_sources() -> pytest.MarkDecorator:
    """Run a test over made files and, where they are at hand, over real ones: argument `source`."""
    return pytest.mark.parametrize("source", SOURCES)


def _write(path: Path, lines: Iterator[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _live_lines() -> Iterator[str]:
    yield ",index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount"
    chooser = Random("a live recorder")
    ms = 0
    for row in range(LIVE_ROWS):
        ms += chooser.choice((0, 0, 0, 0, 0, 1))
        name = f"C{chooser.randrange(700)}-USDT-SWAP@{chooser.choice(EXCHANGES)}"
        bid = round(10 ** chooser.uniform(-6, 5), 8)
        ask = bid * (1 + chooser.choice((1e-5, 1e-4, 1e-3)))
        # Now and then a side is empty, written as zero.
        bid_text, amount = ("0.0", "0.0") if row % 5000 == 77 else (repr(bid), repr(chooser.randrange(1, 9000) / 4))
        clock = f"2026-01-01 09:{ms // 60_000:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}000"
        yield f"{row},{LIVE_ROWS - 1 - row},{clock},{name},{chooser.randrange(1, 500)}.0,{ask!r},{bid_text},{amount}"


def _quote_lines(number: int) -> Iterator[str]:
    yield "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
    chooser = Random(number)
    arrival_us = 1_767_258_000_000_000 + number
    for _ in range(40):
        arrival_us += chooser.randrange(1, 400_000)
        event_us = arrival_us - 1000 * chooser.randrange(4, 180)
        bid = 61_250 + chooser.randrange(-50, 50) / 2
        sizes = chooser.randrange(1, 9000), chooser.randrange(1, 9000)
        yield f"made-swap,BTC-USD-{number},{event_us},{arrival_us},{sizes[0]},{bid + 0.5},{bid},{sizes[1]}"
