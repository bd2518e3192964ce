"""Rows of a recorded live file as websocket messages."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.runtime.errors import StartRefused

COLUMNS: Final[tuple[str, ...]] = ("index", "timestamp", "ticker", "ask_amount", "ask_price", "bid_price", "bid_amount")
FILE_BYTES_MAX: Final = 512 << 20
"""The simulator keeps the whole file in memory, once for all clients."""

_JSON_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_MISSING: Final = ("", "nan", "NaN", "null")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_EPOCH_UNITS_NS: Final = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}
"""Unit of a time that is a number, by its count of digits."""


@dataclass(frozen=True)
class FeedRow:
    """One row: when it is sent, and its JSON around the timestamp."""

    offset_ns: int
    """Behind the first row; never less than the row before."""
    timestamp: bytes
    before: bytes
    behind: bytes

    def message(self, timestamp: bytes | None = None) -> bytes:
        """Return the JSON object, with another timestamp when one is given."""
        return self.before + (self.timestamp if timestamp is None else timestamp) + self.behind


def load_script(path: Path) -> list[FeedRow]:
    """Read a file in the assignment's live layout; raise StartRefused when it is none."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise StartRefused(
                f"MIDSTREAM_SIM_FEED_FILE: {path} is larger than {FILE_BYTES_MAX >> 20} MiB; serve a part of it"
            )
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return read_script(lines, name=str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise StartRefused(
            f"MIDSTREAM_SIM_FEED_FILE: {path} cannot be read ({exc}); name a CSV file of live rows"
        ) from exc


def read_script(lines: Iterable[str], *, name: str) -> list[FeedRow]:
    """Turn CSV lines into rows. Numbers keep their spelling; what is no JSON number is sent as a string, as some feeds do."""
    reader = csv.reader(lines)
    header = next(reader, [])
    missing = [column for column in COLUMNS if column not in header and column != "index"]
    if missing:
        raise StartRefused(
            f"MIDSTREAM_SIM_FEED_FILE: {name} has no column {', '.join(missing)}; it has {', '.join(header)}"
        )
    places = {column: header.index(column) for column in COLUMNS if column in header}
    rows: list[FeedRow] = []
    first_ns: int | None = None
    offset_ns = 0
    for number, fields in enumerate(reader):
        if not fields:
            continue
        values = {column: fields[place] if place < len(fields) else "" for column, place in places.items()}
        time_ns = read_time(values["timestamp"])
        if time_ns is not None:
            first_ns = time_ns if first_ns is None else first_ns
            offset_ns = max(offset_ns, time_ns - first_ns)
        rows.append(_row(values, number, offset_ns))
    return rows


def _row(values: dict[str, str], number: int, offset_ns: int) -> FeedRow:
    numbers = "".join(f',"{column}":{_number(values[column])}' for column in COLUMNS[3:])
    index = _number(values.get("index", str(number)))
    return FeedRow(
        offset_ns=offset_ns,
        timestamp=json.dumps(values["timestamp"]).encode(),
        before=f'{{"index":{index},"timestamp":'.encode(),
        behind=f',"ticker":{json.dumps(values["ticker"])}{numbers}}}'.encode(),
    )


def join_messages(messages: Sequence[bytes]) -> bytes:
    """Return one message that holds several as a JSON array."""
    return b"[" + b",".join(messages) + b"]"


def spell_time(time_ns: int) -> bytes:
    """Return a timestamp as the files spell it, as a JSON string; microseconds, cut."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC)
    return f'"{moment:%Y-%m-%d %H:%M:%S}.{time_ns % 1_000_000_000 // 1000:06d}"'.encode()


def read_time(text: str) -> int | None:
    """Return the UTC nanoseconds that a recorded timestamp names; None for what is no time, which then goes out with the row before."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) in _EPOCH_UNITS_NS:
        return int(text) * _EPOCH_UNITS_NS[len(text)]
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    to_second, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(to_second + (zone or "Z"))
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def _number(text: str) -> str:
    text = text.strip()
    if text in _MISSING:
        return "null"
    return text if _JSON_NUMBER.fullmatch(text) else json.dumps(text)
