"""What libraries log, in the shape of our own lines: their arguments become fields.

Their sentences are theirs and have values inside. Those that matter are known here and get an event that is always the same; of all
others the sentence is the event, and its template, which is always the same, the field `template`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

_KNOWN: Final[dict[tuple[str, str], tuple[str, tuple[str, ...]]]] = {
    ("uvicorn.access", '%s - "%s %s HTTP/%s" %d'): (
        "http request served",
        ("client", "method", "path", "http_version", "status"),
    ),
    ("alembic.runtime.migration", "Running %s"): ("database migration runs", ("step",)),
    ("alembic.runtime.migration", "Context impl %s."): ("database migrations looked at", ("database",)),
    ("alembic.runtime.migration", "Will assume %s DDL."): ("database migration statements", ("kind",)),
}
"""Logger and template: the event, and what its arguments are."""


def said_by_others(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """Return the event of a record that is not ours, and its fields."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    known = _KNOWN.get((record.name, str(record.msg)))
    if known is not None and len(known[1]) == len(arguments):
        return known[0], dict(zip(known[1], arguments, strict=True))
    phrase, _, more = record.getMessage().partition("\n")
    found: dict[str, Any] = {}
    if record.args:
        found["template"] = str(record.msg)
    if more:
        # asyncio puts the task that failed below its sentence.
        found["details"] = more
    return phrase, found


def quieten() -> None:
    """Let through only what libraries say as a warning or worse.

    What they say below ("Using selector", "Started server process") says nothing about us, and the database driver repeats each
    statement with all that goes into it.
    """
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


_CHATTY: Final = ("alembic", "aiosqlite", "asyncio", "sqlalchemy", "uvicorn", "uvicorn.error", "websockets")
