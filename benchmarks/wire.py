"""Columns of an encoded TickBatch as numpy arrays, to compare what the kernels decoded with what others did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from protos.common.v1.market_pb2 import TickBatch

DTYPES = {
    "ticker_index": "<u4",
    "event_time_ns": "<i8",
    "arrival_time_ns": "<i8",
    "bid_price": "<f8",
    "bid_amount": "<f8",
    "ask_price": "<f8",
    "ask_amount": "<f8",
}
_NUMBERS = {TickBatch.DESCRIPTOR.fields_by_name[name].number: name for name in DTYPES}
_TICKERS = TickBatch.DESCRIPTOR.fields_by_name["tickers"].number
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def columns(encoded: bytes) -> dict[str, Any]:
    """Return the columns by name, and `ticker` as an array of names. Views of `encoded` where possible."""
    found: dict[str, Any] = {}
    names: list[str] = []
    for number, content in _fields(encoded):
        if number in _NUMBERS:
            found[_NUMBERS[number]] = np.frombuffer(content, dtype=DTYPES[_NUMBERS[number]])
        elif number == _TICKERS:
            names.append(bytes(content).decode())
    found["ticker"] = np.array(names, dtype=object)[found.pop("ticker_index")]
    return found


def _fields(encoded: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of every length-delimited field."""
    view, place = memoryview(encoded), 0
    while place < len(view):
        key, place = _varint(view, place)
        kind = key & 7
        if kind == BYTES:
            length, place = _varint(view, place)
            yield key >> 3, view[place : place + length]
            place += length
        elif kind == VARINT:
            _, place = _varint(view, place)
        else:
            place += 8 if kind == FIXED64 else 4


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
