"""One line of a file: its fields by the header, and the row that they make."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from services.verify.values import (
    TICKER_SIZE_MAX,
    TIME_MAX,
    TIME_MIN,
    Unusable,
    latency_of,
    name_of,
    quote_number,
    shown,
    time_of,
)

ASSIGNMENT = ("timestamp", "ticker", "ask_amount", "ask_price", "bid_price", "bid_amount", "latency")
TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp", "ask_amount", "ask_price", "bid_price", "bid_amount")


@dataclass(frozen=True)
class Row:
    """What a usable line says."""

    event_ns: int
    of_file_ns: int
    """The latency that it says."""
    latency_ns: int
    """The latency that it has: the model's, where there is one."""
    ticker: str
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float


def parse_header(line: bytes) -> list[str]:
    """Return the names of the columns."""
    return [name.decode().strip(" ") for name in split(line.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r"))]


def is_known(header: list[str]) -> bool:
    """Tell whether all columns of one of the two layouts are there."""
    return any(set(header).issuperset(columns) for columns in (ASSIGNMENT, TARDIS))


def is_tardis(header: list[str]) -> bool:
    """Tell whether lines carry the time of arrival instead of a latency."""
    return not set(header).issuperset(ASSIGNMENT)


def parse_line(
    line: bytes, header: list[str], *, fraction_unit_us: bool, delay: Callable[[int, int], int] | None = None
) -> Row:
    """Read one line. `delay` has another latency for the event and the latency that the line says. Raises Unusable with the reason."""
    tardis = is_tardis(header)
    fields = [value.strip(b" ") for value in split(line)]
    needed = TARDIS if tardis else ASSIGNMENT
    if len(fields) <= max(header.index(name) for name in needed) or any(fields[len(header) :]):
        raise Unusable(f"line has {len(fields)} fields, the header {len(header)}")
    values = {name: fields[header.index(name)] for name in needed}
    event = time_of("timestamp", values["timestamp"], fraction_unit_us)
    latency = (
        time_of("local_timestamp", values["local_timestamp"], fraction_unit_us) - event
        if tardis
        else latency_of(values["latency"])
    )
    if not TIME_MIN <= event + latency <= TIME_MAX:
        raise Unusable("the arrival time is outside the years 1678 to 2261")
    of_file = latency
    if delay is not None:
        latency = delay(event, of_file)
    names = [name_of(column, values[column]) for column in (("symbol", "exchange") if tardis else ("ticker",))]
    if len("@".join(names).encode()) > TICKER_SIZE_MAX:
        raise Unusable(f"`symbol` and `exchange` are longer than 256 bytes together: {shown(values['symbol'])}")
    prices = [quote_number(column, values[column]) for column in ("bid_price", "bid_amount", "ask_price", "ask_amount")]
    return Row(event, of_file, latency, "@".join(names), *prices)


def split(line: bytes) -> list[bytes]:
    """Return the fields of a line. Raises Unusable."""
    fields: list[bytes] = []
    rest = line
    while True:
        if rest.startswith(b'"'):
            quoted = re.match(rb'"((?:[^"]|"")*)"(?!")', rest)
            if quoted is None:
                raise Unusable("a quote is not closed")
            fields.append(quoted[1].replace(b'""', b'"'))
            behind, comma, rest = rest[quoted.end() :].partition(b",")
            if behind.strip(b" "):
                raise Unusable("text stands behind a closing quote")
        else:
            value, comma, rest = rest.partition(b",")
            fields.append(value)
        if not comma:
            return fields
