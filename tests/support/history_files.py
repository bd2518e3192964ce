"""Random recorded files with every quirk that real ones have, from a seed."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

START_NS = 1_735_689_600_000_000_000  # 2025-01-01
TICKERS = (
    "BTC-USDT-SWAP@BINANCE",
    "ETH-USDT-SWAP@GATE-IO",
    "1000000MOG-USDT-SWAP@BYBIT",
    "XBT-USD-SWAP_INVERSE@KRAKEN",
)
COLUMNS = ("index", "timestamp", "ticker", "ask_amount", "ask_price", "bid_price", "bid_amount", "latency")
BAD_LINES = (
    "garbage",
    ",,,,,,,",
    '"open,2025-01-01 00:00:00,A,1,2,1,1,5',
    'x,"2025-01-01 00:00:00"x,A,1,2,1,1,5',
    "1,2025-13-01 00:00:00,A,1,2,1,1,5",
    "1,2025-02-29 00:00:00,A,1,2,1,1,5",
    "1,2025-01-01 24:00:00,A,1,2,1,1,5",
    "1,2025-01-01 00:00:00.1234567890,A,1,2,1,1,5",
    "1,2025-01-01 00:00:00,A,1,2,1,1,",
    "1,,A,1,2,1,1,5",
    "1,2025-01-01 00:00:00,,1,2,1,1,5",
    "1,2025-01-01 00:00:00,A,1,inf,1,1,5",
    "1,2025-01-01 00:00:00,A,1,1_000,1,1,5",
    "1,2025-01-01 00:00:00,A,1,0x10,1,1,5",
    "1,2025-01-01 00:00:00,A,1,1e999,1,1,5",
    "1,2025-01-01 00:00:00,A,-1,2,1,1,5",
    "1,2025-01-01 00:00:00,A,1,2,1,1,nan",
    "1,2025-01-01 00:00:00,A,1,2,1,1,1e300",
    "1,2025-01-01 00:00:00,A,1,2,1,1,9e12",
    "1,2025-01-01 00:00:00,A,1,2,1,1,5,surplus",
    "1,2025-01-01 00:00:00,A,1,2\x07,1,1,5",
    "1,20250101000000,A,1,2,1,1,5",
)


@dataclass(frozen=True)
class Quirks:
    """What a random file may contain; shares are probabilities per row."""

    rows: int = 300
    bad: float = 0.05
    blank: float = 0.02
    negative: float = 0.0
    hour_long: float = 0.0
    tie: float = 0.5
    quoted: float = 0.05
    odd_quote: float = 0.1
    crlf: bool = False
    bom: bool = False
    last_newline: bool = True
    sort_by: str = "event"
    extra_column: bool = False
    step_us: int = 3_000


def random_quirks(random_: random.Random, *, rows: int = 300) -> Quirks:
    """Choose which quirks a file has."""
    return Quirks(
        rows=random_.choice([0, 1, 2, rows // 3, rows]),
        bad=random_.choice([0, 0.05, 0.5]),
        blank=random_.choice([0, 0.05]),
        negative=random_.choice([0, 0, 0.05, 0.3]),
        hour_long=random_.choice([0, 0, 0.01]),
        tie=random_.choice([0.1, 0.5, 0.95]),
        quoted=random_.choice([0, 0.1]),
        crlf=random_.random() < 0.3,
        bom=random_.random() < 0.2,
        last_newline=random_.random() < 0.7,
        sort_by=random_.choice(["event", "event", "arrival"]),
        extra_column=random_.random() < 0.3,
    )


def history_text(random_: random.Random, quirks: Quirks) -> bytes:
    """Make the bytes of one file in the assignment's layout."""
    columns = ["", *COLUMNS, "note"] if quirks.extra_column else list(COLUMNS)
    if quirks.extra_column:
        random_.shuffle(columns)
    rows = []
    time_us = 0
    for _ in range(quirks.rows):
        if random_.random() >= quirks.tie:
            time_us += random_.randrange(1, 2 * quirks.step_us)
        rows.append((time_us, _latency_us(random_, quirks)))
    if quirks.sort_by == "arrival":
        rows.sort(key=lambda row: row[0] * 1000 + round(float(_latency_text(row[1])) * 1e6))
    elif quirks.sort_by == "nothing":
        random_.shuffle(rows)
    end = "\r\n" if quirks.crlf else "\n"
    lines = [",".join(columns)]
    for index, (event_us, latency_us) in enumerate(rows):
        while random_.random() < quirks.bad:
            lines.append(random_.choice(BAD_LINES))
        while random_.random() < quirks.blank:
            lines.append(random_.choice(["", " ", "   "]))
        lines.append(_row(random_, quirks, columns, index, event_us, latency_us))
    text = end.join(lines) + (end if quirks.last_newline else "")
    return (b"\xef\xbb\xbf" if quirks.bom else b"") + text.encode()


def tardis_text(random_: random.Random, rows: int, *, negative: bool = False) -> bytes:
    """Make the bytes of one file in the Tardis layout, sorted by arrival."""
    lines = ["exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"]
    arrival_us = START_NS // 1000
    for _ in range(rows):
        arrival_us += random_.choice([0, 0, 137, 12_345])
        event_us = arrival_us - random_.randrange(-900 if negative else 0, 60_000)
        bid = random_.randrange(10_000, 20_000) / 100
        lines.append(f"huobi,BTC-USD,{event_us},{arrival_us},5,{bid + 0.5},{bid},7")
    return ("\n".join(lines) + "\n").encode()


def write_files(
    directory: Path, random_: random.Random, count: int, *, rows: int = 300, quirks: Sequence[Quirks] | None = None
) -> list[str]:
    """Write `count` random files, some gzipped, and return their names."""
    paths = []
    for number in range(count):
        chosen = random_quirks(random_, rows=rows) if quirks is None else quirks[number % len(quirks)]
        content = history_text(random_, chosen)
        if quirks is None and random_.random() < 0.15:
            content = tardis_text(random_, chosen.rows, negative=random_.random() < 0.5)
        path = directory / f"history-{number}.csv"
        if random_.random() < 0.3:
            cut = random_.randrange(len(content) + 1)
            content = gzip.compress(content[:cut]) + gzip.compress(content[cut:])
        path.write_bytes(content)
        paths.append(str(path))
    return paths


def _latency_us(random_: random.Random, quirks: Quirks) -> float:
    if random_.random() < quirks.hour_long:
        return 3_600_000_000.0
    if random_.random() < quirks.negative:
        return -random_.choice([0.001, 1.0, 1500.0, 20_000.0])
    if random_.random() < 0.2:
        return float(random_.choice([0, 1_000, 20_000, 20_000, 20_001]))
    return random_.lognormvariate(9.9, 0.7)


def _latency_text(latency_us: float) -> str:
    return repr(latency_us / 1000)


def _time_text(random_: random.Random, event_us: int) -> str:
    seconds, fraction = divmod(START_NS // 1000 + event_us, 1_000_000)
    of_day = seconds % 86_400
    assert seconds - of_day == START_NS // 1_000_000_000
    clock = f"{of_day // 3600:02d}:{of_day // 60 % 60:02d}:{of_day % 60:02d}"
    digits = f".{fraction:06d}" if fraction or random_.random() < 0.5 else ""
    style = random_.random()
    if style < 0.05:
        return str(seconds * 1_000_000 + fraction)
    if style < 0.1:
        shifted = f"{(of_day // 3600 + 1) % 24:02d}{clock[2:]}"
        return f"2025-01-01T{shifted}{digits}+01:00" if of_day < 82_800 else f"2025-01-01T{clock}{digits}Z"
    return f"2025-01-01{random_.choice(' TD')}{clock}{digits}"


def _row(
    random_: random.Random, quirks: Quirks, columns: list[str], index: int, event_us: int, latency_us: float
) -> str:
    bid = random_.randrange(1, 10_000_000) / 10 ** random_.randrange(9)
    ask = bid * random_.choice([1, 1.0001, 1.01, 0.99])
    bid_amount, ask_amount = f"{random_.uniform(0, 1e6):.3f}", repr(random_.random() * 1e9)
    bid_text, ask_text = repr(bid), repr(ask)
    if random_.random() < quirks.odd_quote:
        odd = random_.randrange(7)
        bid_text = ["", "nan", "0.0", "-12.5", "1.7e308", bid_text, " " + bid_text + " "][odd]
        ask_text = [ask_text, "NaN", ask_text, "-12.25", "1.7e308", "0", "+1.5E2"][odd]
        bid_amount = ["", "nan", "0.0", bid_amount, "1", "-0", bid_amount][odd]
        ask_amount = [ask_amount, ask_amount, ask_amount, ask_amount, "1", "0", ""][odd]
    values = {
        "": str(index),
        "index": str(random_.randrange(1000)),
        "note": random_.choice(["", "x"]),
        "timestamp": _time_text(random_, event_us),
        "ticker": random_.choice(TICKERS),
        "ask_amount": ask_amount,
        "ask_price": ask_text,
        "bid_price": bid_text,
        "bid_amount": bid_amount,
        "latency": _latency_text(latency_us),
    }
    fields = [values[column] for column in columns]
    if random_.random() < quirks.quoted:
        fields = [f'"{value}"' if random_.random() < 0.5 else value for value in fields]
    return ",".join(fields)
