"""JSON logs on stderr, with the correlation id of the request that caused them."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from services.runtime.clock import Clock, SystemClock
from services.runtime.connection import redacted
from services.runtime.lost_output import forgive_stderr

CORRELATION_ID_KEY: Final = "x-correlation-id"
"""gRPC metadata key, in and out."""

LEVELS: Final = ("debug", "info", "warning", "error")

_CHATTY: Final = ("asyncio", "uvicorn", "uvicorn.error", "websockets", "aiosqlite")

_correlation_id: ContextVar[str] = ContextVar("midstream_correlation_id", default="")
_USABLE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def new_correlation_id() -> str:
    """Return a fresh random id."""
    return secrets.token_hex(8)


def current_correlation_id() -> str:
    """Return the id of the request being handled; empty outside of one."""
    return _correlation_id.get()


def accept_correlation_id(given: str | bytes | None) -> str:
    """Return the caller's id when it is harmless to log and to send on, else a new one."""
    text = given.decode("ascii", "replace") if isinstance(given, bytes) else given
    if text is not None and _USABLE_ID.fullmatch(text) is not None:
        return text
    return new_correlation_id()


def set_correlation_id(value: str) -> None:
    """Set the id for the rest of this task or thread."""
    _correlation_id.set(value)


@contextmanager
def correlation(value: str) -> Iterator[str]:
    """Run a block under the given id (for work that arrives through Redis)."""
    token = _correlation_id.set(value)
    try:
        yield value
    finally:
        _correlation_id.reset(token)


def configure_logs(server: str, *, level: str = "info", form: str = "json", stage: str = "") -> None:
    """Send every standard log record to stderr, one JSON object (or console line) each.

    Replaces the root handlers; call it once per process, in servers and engines alike. From then on a stderr that cannot be written
    loses lines, and nothing else.
    """
    formatter: logging.Formatter = JsonFormatter(server, stage=stage)
    if form == "console":
        # It brings a library for terminals that takes a sixth of a second to import; JSON needs nothing of it.
        from services.runtime.console_logs import console_formatter

        formatter = console_formatter(server, redact=redact, correlation_id=current_correlation_id)
    forgive_stderr()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # What these say below a warning ("Using selector", "Started server process") says nothing about us; the web server says it as an error.
    # The database driver repeats each statement with all that goes into it.
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object per record; passwords in URLs are replaced."""

    def __init__(self, server: str, *, stage: str = "") -> None:
        super().__init__()
        self._server = server
        self._stage = stage

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, str] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "server": self._server,
        }
        if self._stage:
            event["stage"] = self._stage
        if identifier := _correlation_id.get():
            event["correlation_id"] = identifier
        if record.stack_info:
            event["stack"] = record.stack_info
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = self.formatException(record.exc_info)
        redact(event)
        return json.dumps(event)


def redact(event: MutableMapping[str, Any]) -> None:
    """Replace the passwords of URLs in every text of an event."""
    for key, value in event.items():
        if isinstance(value, str) and "://" in value:
            event[key] = redacted(value)


REPEAT_S: Final = 60.0
"""An outage that lasts is told again this often."""


class LogLimit:
    """Let one message through per interval and count the others.

    `passes()` returns None to stay silent, else how many were suppressed since the last one.
    """

    def __init__(self, interval_s: float, *, clock: Clock | None = None) -> None:
        self._interval_ns = round(interval_s * 1e9)
        self._clock: Clock = SystemClock() if clock is None else clock
        self._next_ns: int | None = None
        self._suppressed = 0

    def passes(self) -> int | None:
        now_ns = self._clock.monotonic_ns()
        if self._next_ns is not None and now_ns < self._next_ns:
            self._suppressed += 1
            return None
        self._next_ns = now_ns + self._interval_ns
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed

    def over(self) -> None:
        """What the messages are about is over: the next one is of something new and passes."""
        self._next_ns = None
        self._suppressed = 0
