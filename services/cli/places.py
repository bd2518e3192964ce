"""Places in a replay as people write them."""

from __future__ import annotations

import re
from typing import Any, Final

from fastpath.values import parse_timestamp
from protos.control.v1.control_pb2 import When
from services.cli.shown_times import shown_time
from services.runtime.errors import StartRefused

_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)")


def place_of(text: str) -> dict[str, Any]:
    """Return what `ControlClient.seek` takes: `begin`, `end`, `+1.5s`, `-10m`, `#SEQUENCE`, or a time as in the files."""
    if text in ("begin", "end"):
        return {text: True}
    if text.startswith("#") and text[1:].isascii() and text[1:].isdigit():
        return {"sequence": int(text[1:])}
    if text[:1] in ("+", "-"):
        return {"by_ns": duration_ns(text[1:]) * (-1 if text[0] == "-" else 1)}
    return {"arrival_time_ns": time_ns(text)}


def duration_ns(text: str) -> int:
    """Return a duration like `1.5s` in nanoseconds; raise StartRefused with what one looks like."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise StartRefused(f"{text[:40]!r} is no duration; write a number and {', '.join(_UNITS_NS)}, like 1.5s")
    whole, _, fraction = found[1].partition(".")
    unit_ns = _UNITS_NS[found[2]]
    return int(whole) * unit_ns + (int(fraction) * unit_ns // 10 ** len(fraction) if fraction else 0)


def time_ns(text: str) -> int:
    """Return an arrival time in nanoseconds; raise StartRefused with what one looks like."""
    try:
        return parse_timestamp(text)
    except ValueError as exc:
        raise StartRefused(
            f"{text[:40]!r} is no place ({exc}); write begin, end, +1.5s, -10m, #SEQUENCE or YYYY-MM-DD HH:MM:SS.ffffff"
        ) from exc


def when_of(at: str, after: int | None, *, at_end: bool) -> When | None:
    """Return when a command takes effect, by its options; None is at once. Raises StartRefused."""
    if bool(at) + (after is not None) + at_end > 1:
        raise StartRefused("a command takes effect at one place: name one of --at, --after and --at-end")
    if at:
        return When(at_arrival_time_ns=time_ns(at))
    if at_end:
        return When(at_end=True)
    return None if after is None else When(after_sequence=after)


def shown_when(when: When) -> str:
    """Say when a command takes effect."""
    match when.WhichOneof("place"):
        case "at_arrival_time_ns":
            return f"at {shown_time(when.at_arrival_time_ns)}"
        case "after_sequence":
            return f"after {when.after_sequence:,} records"
    return "at the end"


def when_figures(when: When) -> dict[str, Any]:
    """Return when a command takes effect, as --json shows it."""
    place = when.WhichOneof("place")
    return {} if place is None else {place: getattr(when, place)}
