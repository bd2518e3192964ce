"""Recordings of live feeds record by record: what frames were received, when, and what was in them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.verify.frames import Quoted, rows_of
from services.verify.latency import Model
from services.verify.reading import BEFORE_EVERYTHING, Lines, ReadOptions, Record, opened
from services.verify.values import TIME_MAX, TIME_MIN

MAGIC = b"# midstream recording 1 "
_FRAME = re.compile(rb"([FB]) ([0-9]{1,19}) ([0-9]{1,19}) (.*)", re.DOTALL)
_MARKER = re.compile(rb"M [0-9]{1,19} (.*)", re.DOTALL)
_NUMBER_MAX = 2**63 - 1


@dataclass(frozen=True)
class Received:
    """One row of a record, in its order."""

    row: Quoted | str
    """What the feed said, or why it cannot be used."""
    receive_ns: int | None
    """When; None: its record is damaged, and nobody knows."""
    frame: int
    """Number of the frame; 0 where that is not known either."""


def recorded(
    name: str, rank: int, options: ReadOptions, lines: Lines, model: Model | None, shift_ns: int
) -> Iterator[Record]:
    """Yield the records of one recording in its order. Raises Unreadable."""
    channel = _Channel(options, model, shift_ns)
    for number, one in enumerate(_received(name, lines), 1):
        arrival_ns, reason = channel.arrive(one, number)
        is_tick = not reason and isinstance(one.row, Quoted)
        is_due = options.start_ns <= arrival_ns < options.end_ns
        if not is_due or (is_tick and options.tickers and one.row.ticker not in options.tickers):  # type: ignore[union-attr]
            lines.skipped += 1
        elif is_tick:
            lines.ticks += 1
            assert isinstance(one.row, Quoted)
            yield Record(arrival_ns, rank, number, True, one.row.event_ns, one.row.ticker, *one.row.quote)
        else:
            lines.rejected += 1
            yield Record(arrival_ns, rank, number, False, 0, reason, frame=one.frame)


def recorded_latencies(name: str) -> Iterator[int]:
    """Yield how much later than their event the usable rows of a recording were received. Raises Unreadable."""
    for one in _received(name, Lines()):
        if isinstance(one.row, Quoted) and one.receive_ns is not None:
            yield one.receive_ns - one.row.event_ns


class _Channel:
    """When the rows of a recording arrive, one after the other."""

    def __init__(self, options: ReadOptions, model: Model | None, shift_ns: int) -> None:
        self._clamps = options.negative_latency == "clamp"
        self._model = model
        self._shift_ns = shift_ns
        self._event_ns = self._in_file_ns = self._arrival_ns = BEFORE_EVERYTHING

    def arrive(self, one: Received, number: int) -> tuple[int, str]:
        """Return when a row arrives, and why it cannot be used; empty: it can. One that cannot arrives with the one before it."""
        if one.receive_ns is None:
            place = max(self._event_ns, self._in_file_ns) if self._clamps else self._in_file_ns
            return (place if self._model is None else self._arrival_ns), str(one.row)
        received_ns = one.receive_ns + (self._shift_ns if self._model is None else 0)
        if isinstance(one.row, str):
            return self._reject(received_ns, one.row)
        event_ns, of_file_ns = one.row.event_ns, one.receive_ns - one.row.event_ns
        latency_ns = of_file_ns if self._model is None else self._model.latency_ns(of_file_ns, number)
        if latency_ns is None:
            return self._reject(received_ns, "the latency is too large")
        is_as_recorded = self._model is None and not self._clamps and not self._shift_ns
        if not is_as_recorded and not TIME_MIN <= event_ns + latency_ns + self._shift_ns <= TIME_MAX:
            return self._reject(received_ns, "the arrival time is outside the years 1678 to 2261")
        overtakes = received_ns < self._in_file_ns
        arrival_ns = event_ns + latency_ns + self._shift_ns
        if self._clamps:
            arrival_ns = max(event_ns, arrival_ns)
        if self._model is not None and not (overtakes and self._model.follows_file):
            arrival_ns = max(arrival_ns, self._arrival_ns)
        self._event_ns, self._in_file_ns, self._arrival_ns = event_ns, received_ns, arrival_ns
        return arrival_ns, ""

    def _reject(self, received_ns: int, reason: str) -> tuple[int, str]:
        self._in_file_ns = max(self._in_file_ns, received_ns)
        return (self._in_file_ns if self._model is None else self._arrival_ns), reason


def _received(name: str, lines: Lines) -> Iterator[Received]:
    """Yield every row. The last line is no record when it was still being written."""
    with opened(name) as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            lines.lines_read += 1
            if lines.lines_read == 1:
                continue
            rows = _rows_of(line.removesuffix(b"\n"))
            lines.blank += not rows
            lines.more_rows += max(0, len(rows) - 1)
            yield from rows


def source_of(head: bytes) -> str | None:
    """Return the feed that a recording was made of, as its first line names it; None: that is the line of no recording."""
    if not head.startswith(MAGIC):
        return None
    try:
        return str(json.loads(head.removeprefix(MAGIC))["source"])
    except (ValueError, KeyError, TypeError):
        return None


def _rows_of(record: bytes) -> list[Received]:
    found = _FRAME.fullmatch(record)
    if found is not None and int(found[2]) <= _NUMBER_MAX >= int(found[3]):
        payload = found[4]
        if found[1] == b"B":
            try:
                payload = base64.b64decode(payload, validate=True)
            except ValueError:
                return [Received("the record of a frame is damaged", None, 0)]
        return [Received(row, int(found[2]), int(found[3])) for row in rows_of(payload)]
    marker = _MARKER.fullmatch(record)
    if marker is not None and _is_marker(marker[1]):
        return []
    return [Received("the line is no record of a recording", None, 0)]


def _is_marker(text: bytes) -> bool:
    try:
        told = json.loads(text)
        int(told.get("lost_frames") or 0)
        return "kind" in told
    except (ValueError, TypeError, AttributeError):
        return False
