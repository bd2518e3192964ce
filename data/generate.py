"""Write the sample data: `python data/generate.py [DIRECTORY]`.

`historical_sample.csv` holds some ten seconds of quotes with latencies, `live_sample.csv` what the feed simulator sends
after them. Both look like recordings of perpetual swaps: bursts of quotes that share a millisecond, prices from 4e-08
to 1e+05, books that are one-sided, locked or crossed for a moment, and in the historical file a few lines that nobody
can use. The same seed gives the same bytes on every machine: only `random()` is drawn, and what comes out of exp, log
and cos is rounded before it is used.
"""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

SEED = 20251002
HISTORICAL_START = datetime(2025, 10, 2, 23, 59, 47, 286000)  # noqa: DTZ001 - as in the files: naive, UTC by context
HISTORICAL_ROWS = 20_000
HISTORICAL_SPAN_US = 9_990_000
LIVE_ROWS = 3_000
LIVE_SPAN_US = 9_000_000
HEADER = ",index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount"

# Base price, decimals of a price, typical size.
INSTRUMENTS = {
    "BTC-USDT-SWAP": (120_584.6, 1, 1.8),
    "ETH-USDT-SWAP": (4_487.35, 2, 40.0),
    "SOL-USDT-SWAP": (234.61, 2, 900.0),
    "XPL-USDT-SWAP": (0.9334, 4, 4_000.0),
    "DOGE-USDT-SWAP": (0.25871, 5, 60_000.0),
    "PEPE-USDT-SWAP": (1.0127e-05, 9, 9.0e8),
    "SATS-USDT-SWAP": (3.9e-08, 10, 4.0e9),
    "1000000MOG-USDT-SWAP": (0.8521, 4, 700.0),
    "2Z-USDT-SWAP": (0.45318, 5, 2_500.0),
}
TICKERS = (
    *(f"BTC-USDT-SWAP@{venue}" for venue in ("BINANCE", "BYBIT", "OKEX", "GATE-IO", "CRYPTO-COM")),
    *(f"ETH-USDT-SWAP@{venue}" for venue in ("BINANCE", "KUCOIN", "GATE-IO")),
    *(f"SOL-USDT-SWAP@{venue}" for venue in ("BINANCE", "OKEX", "HTX")),
    *(f"XPL-USDT-SWAP@{venue}" for venue in ("OKEX", "BITGET")),
    *(f"DOGE-USDT-SWAP@{venue}" for venue in ("BYBIT", "KUCOIN")),
    *(f"PEPE-USDT-SWAP@{venue}" for venue in ("BINANCE", "HTX")),
    "SATS-USDT-SWAP@OKEX",
    "1000000MOG-USDT-SWAP@BYBIT",
    "2Z-USDT-SWAP@BITGET",
)
# After how many rows each stands: lines as they come out of crashed writers and careless scripts.
BAD_LINES = {
    1_500: "1501,18499,2025-10-02 23:59:4",
    4_000: "4001,15999,2025-10-02 23:59:49.100000,BTC-USDT-SWAP@BINANCE,1.0,inf,120584.5,2.0,12.5",
    7_500: "7501,12499,2025-10-02 23:59:60.000000,SOL-USDT-SWAP@OKEX,51.0,234.62,234.61,44.0,18.25",
    9_000: "9001,10999,2025-10-02 23:59:51.500000,XPL-USDT-SWAP@OKEX,51.0,0.9335,0.9334,447.0,",
    11_000: '11001,8999,"2025-10-02 23:59:52.500000,ETH-USDT-SWAP@KUCOIN,1.0,4487.4,4487.3,2.0,9.75',
    13_000: "13001,6999,2025-10-02 23:59:53.500000,DOGE-USDT-SWAP@BYBIT,0x1F4,0.25872,0.25871,100.0,30.5",
    16_000: "16001,3999,2025-10-02 23:59:55.000000,,51.0,0.9335,0.9334,447.0,21.0",
    18_000: "",
}


@dataclass
class Quote:
    """One book at its top."""

    ask_amount: float
    ask_price: float
    bid_price: float
    bid_amount: float


class Market:
    """Books that wander."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._steps = dict.fromkeys(TICKERS, 0)

    def uniform(self) -> float:
        """Draw from [0, 1)."""
        return self._random.random()

    def normal(self) -> float:
        """Draw from the standard normal distribution, rounded so that every machine agrees."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return round(radius * math.cos(2.0 * math.pi * self.uniform()), 6)

    def times_us(self, count: int, span_us: int) -> list[int]:
        """Draw sorted offsets: mostly whole milliseconds, in bursts that share one."""
        times: list[int] = []
        while len(times) < count:
            time = int(self.uniform() * span_us) // 1000 * 1000
            if self.uniform() < 0.02:
                time += 1 + int(self.uniform() * 999)
            burst = 1 + int(1.0 / (0.04 + self.uniform()) / 1.6)
            times += [time] * min(burst, count - len(times))
        return sorted(times)

    def latency_ms(self) -> float:
        """Draw a lognormal latency around 20 ms: mostly with all the digits that a float has, sometimes whole."""
        latency = round(20.0 * math.exp(0.7 * self.normal()), 6) + self.uniform() * 1e-6
        return float(round(latency)) if self.uniform() < 0.05 else latency

    def ticker(self) -> str:
        """Draw a ticker; the first ones are the busiest."""
        return TICKERS[int(len(TICKERS) * self.uniform() ** 1.6)]

    def quote(self, ticker: str) -> Quote:
        """Move the book of a ticker and look at it."""
        price, decimals, size = INSTRUMENTS[ticker.partition("@")[0]]
        tick = max(1, round(price * 10**decimals / 50_000))
        self._steps[ticker] += round(self.normal())
        bid = round(price * 10**decimals) + tick * self._steps[ticker]
        ask = bid + tick * (1 + int(3 * self.uniform() ** 3))
        kind = self.uniform()
        if kind < 0.002:
            ask = bid
        elif kind < 0.003:
            ask = bid - tick
        quote = Quote(self._size(size), ask / 10**decimals, bid / 10**decimals, self._size(size))
        if 0.003 <= kind < 0.004:
            quote.bid_price = quote.bid_amount = 0.0
        elif 0.004 <= kind < 0.005:
            quote.ask_price = math.nan
        return quote

    def _size(self, typical: float) -> float:
        if typical < 100:
            return round(0.001 + typical * self.uniform() * 3, 3)
        return float(max(1, round(typical * 20 * self.uniform() ** 3)))


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _row(index: int, count: int, start: datetime, time_us: int, ticker: str, quote: Quote) -> str:
    # As in the recordings: the unnamed column counts up, `index` is the recorder's own and runs backwards.
    stamp = (start + timedelta(microseconds=time_us)).strftime("%Y-%m-%d %H:%M:%S.%f")
    numbers = (quote.ask_amount, quote.ask_price, quote.bid_price, quote.bid_amount)
    return ",".join([str(index), str(count - 1 - index), stamp, ticker, *map(_number, numbers)])


def historical_lines(seed: int = SEED) -> list[str]:
    """Make the lines of the historical file."""
    market = Market(seed)
    lines = [HEADER + ",latency"]
    for index, time_us in enumerate(market.times_us(HISTORICAL_ROWS, HISTORICAL_SPAN_US)):
        ticker = market.ticker()
        row = _row(index, HISTORICAL_ROWS, HISTORICAL_START, time_us, ticker, market.quote(ticker))
        latency = 20.0 if index % 1_000 == 999 else market.latency_ms()
        lines.append(f"{row},{latency!r}")
        if index + 1 in BAD_LINES:
            lines.append(BAD_LINES[index + 1])
    return lines


def live_lines(seed: int = SEED + 1) -> list[str]:
    """Make the lines of the live file, which begins when the historical one has ended."""
    market = Market(seed)
    start = HISTORICAL_START + timedelta(seconds=10)
    lines = [HEADER]
    for index, time_us in enumerate(market.times_us(LIVE_ROWS, LIVE_SPAN_US)):
        ticker = market.ticker()
        lines.append(_row(index, LIVE_ROWS, start, time_us, ticker, market.quote(ticker)))
    return lines


def main(directory: Path) -> None:
    """Write both files."""
    for name, lines in (("historical_sample.csv", historical_lines()), ("live_sample.csv", live_lines())):
        path = directory / name
        path.write_text("\n".join(lines) + "\n", newline="\n")
        print(f"{path}: {len(lines) - 1:,} lines, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
