"""Files whose order everybody can see: row i has the bid i."""

from __future__ import annotations

from pathlib import Path

MADE_START_NS = 1_735_689_600_000_000_000  # 2025-01-01
HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
MADE_TICKERS = ("AAA", "BBB", "CCC")


def write_made_ticks(path: Path, rows: int, *, step_us: int = 1000, latency_ms: float = 5) -> Path:
    """Write `rows` rows, `step_us` apart (rows x step below a day), bids 1, 2, 3, ..."""
    with path.open("w") as out:
        out.write(HEADER)
        for row in range(1, rows + 1):
            seconds, us = divmod(row * step_us, 1_000_000)
            clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{us:06d}"
            ticker = MADE_TICKERS[row % len(MADE_TICKERS)]
            out.write(f"{row},2025-01-01 {clock},{ticker},1,{row + 1},{row},1,{latency_ms}\n")
    return path
