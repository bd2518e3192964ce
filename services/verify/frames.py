"""One frame of a live feed: the rows that its JSON holds, each with its place in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from services.verify.outcome import Quote
from services.verify.values import TICKER_SIZE_MAX, Unusable, quote_number, time_of

SHOWN_MAX = 40
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
DIGITS_MAX = 40
"""Of a number that may be whole."""
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"?|-?Infinity|NaN|[\[\]{},]', re.DOTALL)


class NoJson(ValueError):
    """A text is no JSON."""


@dataclass(frozen=True)
class Quoted:
    """What a usable object says."""

    event_ns: int
    ticker: str
    quote: Quote


def rows_of(payload: bytes) -> Iterator[Quoted | str]:
    """Yield the row of each object of a frame, or why it cannot be used."""
    try:
        yield from _rows(_parsed(payload))
        return
    except NoJson:
        pass
    # With numbers that JSON does not have taken for missing, and each element of an array by itself.
    elements, is_closed = _elements(payload)
    parsed = [_loosely(text) for text in elements or [payload]]
    if all(isinstance(one, NoJson) for one in parsed):
        yield "the frame is not valid JSON"
    elif not elements:
        yield from _rows(parsed[0])
    else:
        for one in parsed:
            if isinstance(one, NoJson):
                yield "the element is not valid JSON"
            else:
                yield from _rows([one])
        if not is_closed:
            yield "the frame does not end where its array does"


def _rows(frame: Any) -> Iterator[Quoted | str]:
    if not isinstance(frame, dict | list):
        yield "the frame is neither an object nor an array of objects"
        return
    for item in [frame] if isinstance(frame, dict) else frame:
        try:
            yield _row(item)
        except Unusable as unusable:
            yield str(unusable)


def _row(item: Any) -> Quoted:
    if not isinstance(item, dict):
        raise Unusable(f"the element is not an object: {_shown(item)}")
    event_ns = _time(_value(item, "timestamp"))
    ticker = _value(item, "ticker")
    if not isinstance(ticker, str):
        raise Unusable(f"`ticker` is not a string: {_shown(ticker)}")
    ticker = ticker.strip(" ")
    if not ticker:
        raise Unusable("`ticker` is empty")
    for is_wrong, fault in (
        (len(ticker.encode()) > TICKER_SIZE_MAX, "is longer than 256 bytes"),
        ("\0" in ticker, "holds a NUL byte"),
    ):
        if is_wrong:
            raise Unusable(f"`ticker` {fault}: {_shown(ticker)}")
    return Quoted(
        event_ns,
        ticker,
        Quote(*[_number(item, column) for column in ("bid_price", "bid_amount", "ask_price", "ask_amount")]),
    )


def _value(item: dict[str, Any], key: str) -> Any:
    if key not in item:
        raise Unusable(f"`{key}` is missing")
    return item[key]


def _time(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise Unusable(f"timestamp is not a time: {_shown(value)}")
    return time_of("timestamp", value.strip(" ").encode(), False)


def _number(item: dict[str, Any], column: str) -> float:
    value = _value(item, column)
    if value is None:
        return float("nan")
    if isinstance(value, str):
        number = quote_number(column, value.strip(" ").encode())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise Unusable(f"`{column}` is not a number: {_shown(value)}")
    if abs(number) == float("inf"):
        raise Unusable(f"`{column}` is too large: {_shown(value)}")
    if column.endswith("amount") and number < 0:
        raise Unusable(f"`{column}` is negative: {_shown(value)}")
    return number


def _shown(value: Any) -> str:
    return f"'{(value if isinstance(value, str) else _spelled(value))[:SHOWN_MAX]}'"


def _spelled(value: Any) -> str:
    """Write a value as its JSON is written again: without spaces, numbers as short as they can be."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_spelled(str(key))}:{_spelled(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, float):
        return _spelled_number(repr(value))
    return json.dumps(value, ensure_ascii=False)


def _spelled_number(text: str) -> str:
    digits, small, exponent = text.partition("e-")
    if not small:
        return text
    if int(exponent) > 5:
        return f"{digits}e-{int(exponent)}"
    sign = "-" * digits.startswith("-")
    return f"{sign}0.{'0' * (int(exponent) - 1)}{digits.removeprefix('-').replace('.', '')}"


def _parsed(text: bytes) -> Any:
    try:
        found = json.loads(text.decode(), parse_constant=_refused, parse_int=_integer, parse_float=_float)
        # Half a character is none.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NoJson(str(error)) from error
    return found


def _loosely(text: bytes) -> Any:
    try:
        return _parsed(_MARKS.sub(lambda found: b"null" if found[0][-1:] in (b"N", b"y") else found[0], text))
    except NoJson as error:
        return error


def _refused(constant: str) -> NoReturn:
    raise NoJson(f"{constant} is no number of JSON")


def _integer(text: str) -> int | float:
    number = int(text) if len(text) <= DIGITS_MAX else INTEGER_MAX + 1
    return number if INTEGER_MIN <= number <= INTEGER_MAX else _float(text)


def _float(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf"):
        raise NoJson(f"{text[:SHOWN_MAX]} is too large")
    return number


def _elements(raw: bytes) -> tuple[list[bytes], bool]:
    """Cut an array into the texts of its elements; also tell whether it ends where the frame does. What is no array has none."""
    text = raw.strip(b" \t\r\n")
    if not text.startswith(b"["):
        return [], False
    found, depth, begin = [], 0, 1
    for mark in _MARKS.finditer(text):
        depth += (mark[0] in (b"[", b"{")) - (mark[0] in (b"]", b"}"))
        if depth == 0 or (depth == 1 and mark[0] == b","):
            found.append(text[begin : mark.start()])
            begin = mark.end()
        if depth == 0:
            return found, begin == len(text)
    return [*found, text[begin:]], False
