"""From a log record to the names and values of a line."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from clients.logs import FIELDS, fields_of
from services.runtime.connection import redacted
from services.runtime.third_party_logs import said_by_others

TEXT_MAX: Final = 8_192
"""Characters of one field; CloudWatch and most collectors take lines of a quarter of a megabyte."""
ITEMS_MAX: Final = 100
DEPTH_MAX: Final = 4

Scalar = str | int | float | bool | None
Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What every line of a process says about where it comes from."""

    server: str
    """The process: `replay`, `replay-engine`."""
    service: str = ""
    """What is deployed under one name, an engine with its server: `replay`."""
    stage: str = ""
    task: str = ""
    """The task of ECS that the process runs in."""


def event_of(record: logging.LogRecord, origin: Origin, context: Mapping[str, str]) -> Event:
    """Return everything that a line says, in the order in which it says it, without the passwords of URLs.

    `context` holds the ids of the request that caused it.
    """
    phrase, found = (
        (record.getMessage(), fields_of(record)) if hasattr(record, FIELDS) or _ours(record) else said_by_others(record)
    )
    event: Event = {
        "event": clean_text(phrase),
        "level": record.levelname.lower(),
        "logger": _LOGGERS.get(record.name, record.name),
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        "server": origin.server,
        "service": origin.service or origin.server,
    }
    if origin.stage:
        event["stage"] = origin.stage
    if origin.task:
        event["task"] = origin.task
    event.update((name, value) for name, value in context.items() if value)
    event.update((name, plain(value)) for name, value in found.items())
    if record.stack_info:
        event["stack"] = redacted(record.stack_info)
    if record.exc_info and record.exc_info[0] is not None:
        event["exception"] = redacted(_TRACEBACKS.formatException(record.exc_info))
    return event


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def __init__(self, origin: Origin, context: Callable[[], Mapping[str, str]]) -> None:
        super().__init__()
        self._origin = origin
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(event_of(record, self._origin, self._context()))


def plain(value: object, depth: int = 0) -> Any:
    """Return `value` as JSON has it: numbers, booleans and None as they are, lists and mappings of them, anything else as its text.

    What is long is cut, and says so: a line that no collector takes says nothing.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.value if isinstance(value, str) else value.name
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, (bytes, bytearray)):
        return clean_text(bytes(value[: TEXT_MAX + 1]).decode("utf-8", "backslashreplace"))
    if depth < DEPTH_MAX and isinstance(value, Mapping):
        items = [(clean_text(str(name)), plain(each, depth + 1)) for name, each in list(value.items())[:ITEMS_MAX]]
        return dict(items) | _rest(len(value))
    if depth < DEPTH_MAX and isinstance(value, (list, tuple, set, frozenset)):
        listed = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        shown = [plain(each, depth + 1) for each in listed[:ITEMS_MAX]]
        return [*shown, f"... {len(value) - ITEMS_MAX} more"] if len(value) > ITEMS_MAX else shown
    return clean_text(_text_of(value))


def clean_text(text: str) -> str:
    """Return a text that every reader of UTF-8 takes, of bounded length, without the passwords of URLs."""
    if not text.isascii():
        # A file name that is no UTF-8 holds halves of characters, which no JSON may.
        text = text.encode("utf-8", "backslashreplace").decode()
    if "://" in text:
        text = redacted(text)
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}... {len(text) - TEXT_MAX} more characters"


def _text_of(value: object) -> str:
    try:
        return str(value) or type(value).__name__
    except Exception:  # noqa: BLE001  a value that cannot say what it is must not cost the line
        return f"<{type(value).__name__}>"


def _rest(length: int) -> Event:
    return {"...": f"{length - ITEMS_MAX} more"} if length > ITEMS_MAX else {}


def _ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in ("services", "clients", "__main__")


_LOGGERS: Final = {"uvicorn.error": "uvicorn"}
"""Names that would say what is not so: uvicorn calls its general logger `error`."""

_TRACEBACKS: Final = logging.Formatter()
