"""Files whose order everybody can see: row i has the bid i."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class MadeOutputs:
    """Both logs of made ticks whose latency is below the threshold."""

    mid_log: bytes
    error_log: bytes = b""


def made_outputs(rows: int, *, step_us: int = 1000) -> MadeOutputs:
    """What replaying `write_made_ticks(...)` has to write; the general reference takes long for many rows."""
    lines = []
    for row in range(1, rows + 1):
        seconds, us = divmod(row * step_us, 1_000_000)
        fraction = f"{us:06d}" if us % 1000 else f"{us // 1000:03d}"
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        lines.append(f"2025-01-01 {clock}.{fraction}, {row + 0.5!r}\n")
    return MadeOutputs("".join(lines).encode())
