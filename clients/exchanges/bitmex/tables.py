"""BitMEX's table frames: `partial`, `insert`, `update`, `delete` (fact sheet, section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clients.exchanges.exact_json import MalformedAnswer, parse_json

ROWS_MAX: Final = 10_000
"""Rows of one keyed table; BitMEX allows 200 open orders per symbol. The oldest closed ones go first."""
_ACTIONS: Final = ("partial", "insert", "update", "delete")


@dataclass(frozen=True)
class Frame:
    """One table frame."""

    table: str
    action: str
    rows: Sequence[Mapping[str, Any]]
    keys: tuple[str, ...]
    symbol: str | None
    """Of a partial: the instrument that its filter names, None where it is about all."""


def parse_frame(payload: bytes) -> Frame | None:
    """Return a table frame, None for any other message; raise MalformedAnswer for what is neither."""
    message = parse_json(payload)
    if not isinstance(message, Mapping):
        raise MalformedAnswer("the frame is not an object")
    if "table" not in message:
        return None
    table, action, rows = message["table"], message.get("action"), message.get("data")
    if not isinstance(table, str) or action not in _ACTIONS or not isinstance(rows, list):
        raise MalformedAnswer("the table frame lacks table, action or data")
    if not all(isinstance(row, Mapping) for row in rows):
        raise MalformedAnswer("a row is not an object")
    keys = message.get("keys") or []
    chosen = message.get("filter")
    symbol = chosen.get("symbol") if isinstance(chosen, Mapping) else None
    return Frame(table, str(action), rows, tuple(str(key) for key in keys), symbol if isinstance(symbol, str) else None)


class SnapshotGate:
    """Lets rows of an unkeyed table pass once the snapshot of their instrument has come; before, they may predate it."""

    def __init__(self) -> None:
        self._open: set[str] = set()

    def admit(self, frame: Frame) -> Sequence[Mapping[str, Any]]:
        """Return the rows that count."""
        if frame.action == "partial":
            self._open |= {str(row.get("symbol")) for row in frame.rows}
            if frame.symbol is not None:
                self._open.add(frame.symbol)
        return [row for row in frame.rows if row.get("symbol") in self._open]


class KeyedTable:
    """A table whose rows are identified by keys: merges updates into rows. Nothing counts before the `partial`."""

    def __init__(self) -> None:
        self._keys: tuple[str, ...] | None = None
        self._rows: dict[tuple[Any, ...], dict[str, Any]] = {}

    def apply(self, frame: Frame) -> tuple[list[Mapping[str, Any]], int]:
        """Return the full rows that the frame is about, and how many of its rows could not be completed."""
        if frame.action == "partial":
            self._keys = frame.keys
            self._rows = {}
        if self._keys is None:
            return [], 0
        if frame.action == "delete":
            for row in frame.rows:
                self._rows.pop(self._key(row), None)
            return [], 0
        stated: list[Mapping[str, Any]] = []
        unknown = 0
        for row in frame.rows:
            key = self._key(row)
            known = self._rows.pop(key, None)
            if known is None and frame.action == "update":
                unknown += 1
                continue
            self._rows[key] = {**(known or {}), **row}
            stated.append(self._rows[key])
        while len(self._rows) > ROWS_MAX:
            # Popping and setting above keeps the rows in the order of their last change.
            del self._rows[next(iter(self._rows))]
        return stated, unknown

    def _key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(key) for key in self._keys or ())
