"""Options that every list of BitMEX takes: filter, count, start, reverse, columns, and a range of times."""

from __future__ import annotations

from typing import Any, Final

from services.runtime.json_text import read_json
from services.simulators.bitmex.call import Call
from services.simulators.bitmex.errors import BitmexError

COUNT: Final = 100
COUNT_MAX: Final = 500


def selected(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that `filter`, `startTime` and `endTime` let through; times are those of the last change."""
    start, end = call.time_ms("startTime"), call.time_ms("endTime")
    wanted = _filter(call)
    times = {"startTime": start, "endTime": end}
    for name in times:
        if name in wanted:
            times[name] = Call(call.route, {name: wanted.pop(name)}, call.now_ns).time_ms(name)
    return [row for row in rows if _in_time(row, times["startTime"], times["endTime"]) and _matches(row, wanted)]


def page(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one page: `count` rows from offset `start`, from the end with `reverse`."""
    count, start = call.number("count", COUNT), call.number("start", 0)
    if not 0 < count <= COUNT_MAX or start < 0:
        raise BitmexError(400, f"'count' must be from 1 to {COUNT_MAX}, 'start' not negative", name="ValidationError")
    ordered = rows[::-1] if call.flag("reverse") else rows
    return ordered[start : start + count]


def project(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the wanted columns only; symbol and timestamp are always among them."""
    text = call.get("columns")
    if text is None:
        return rows
    try:
        names = [str(name) for name in read_json(text)] if text.startswith("[") else text.split(",")
    except ValueError:
        raise BitmexError(400, "columns must be a valid JSON array", name="ValidationError") from None
    kept = {"symbol", "timestamp", *names}
    return [{name: value for name, value in row.items() if name in kept} for row in rows]


def _filter(call: Call) -> dict[str, Any]:
    value = call.parameters.get("filter")
    if value in (None, ""):
        return {}
    try:
        wanted = value if isinstance(value, dict) else read_json(str(value))
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict):
        raise BitmexError(400, "filter must be a valid JSON object", name="ValidationError")
    return wanted


def _in_time(row: dict[str, Any], start: int | None, end: int | None) -> bool:
    if start is None and end is None:
        return True
    at = Call("", {"t": row["timestamp"]}, 0).time_ms("t") or 0
    return (start is None or at >= start) and (end is None or at <= end)


def _matches(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    for name, value in wanted.items():
        if name == "open":
            if bool(row.get("workingIndicator")) is not bool(value):
                return False
        elif isinstance(value, list):
            if row.get(name) not in value:
                return False
        elif row.get(name) != value:
            return False
    return True
