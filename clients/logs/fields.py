"""What a log line says beside its event: `logger.info("engine started", extra=fields(pid=pid))`.

The event is a phrase that is always the same, so that lines can be counted and found by it; everything that differs from one line to
the next is a field. Clients have no formatter of their own: whoever runs them decides how lines look.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

FIELDS: Final = "midstream_fields"
"""The one attribute of a record that holds all fields, so that none can hide one of the standard library's."""

RESERVED: Final = frozenset(
    {
        "event",
        "level",
        "logger",
        "timestamp",
        "server",
        "service",
        "stage",
        "task",
        "correlation_id",
        "trace_id",
        "span_id",
        "stack",
        "exception",
    }
)
"""Names that every line has a meaning for already."""


def fields(**values: object) -> dict[str, object]:
    """Return what `extra=` of a logger's methods takes.

    Values keep their types: numbers, booleans, None, lists and mappings of them; anything else becomes its text. A reserved name gets
    `_` behind it: a line about something else may not claim to be of another level, and nothing is lost.
    """
    if RESERVED & values.keys():
        values = {f"{name}_" if name in RESERVED else name: value for name, value in values.items()}
    return {FIELDS: values}


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return the fields of a record; empty where it has none."""
    found = getattr(record, FIELDS, None)
    return found if isinstance(found, Mapping) else {}
