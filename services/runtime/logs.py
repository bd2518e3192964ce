"""JSON logs on stderr, with the correlation id of the request that caused them."""

from __future__ import annotations

import logging
import re
import secrets
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import structlog

from services.runtime.clock import Clock, SystemClock
from services.runtime.connection import redacted

CORRELATION_ID_KEY: Final = "x-correlation-id"
"""gRPC metadata key, in and out."""

LEVELS: Final = ("debug", "info", "warning", "error")

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


def configure_logs(server: str, *, level: str = "info", form: str = "json") -> None:
    """Send every standard log record to stderr, one JSON object (or console line) each.

    Replaces the root handlers; call it once per process, in servers and engines alike.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Context(server),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if form == "console":
        # Not the default traceback, which shows local variables and with them passwords.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    final: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _redact,
        renderer,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=final, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # asyncio's own debug chatter ("Using selector") says nothing about us.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


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


class _Context:
    """Adds what every line carries."""

    def __init__(self, server: str) -> None:
        self._server = server

    def __call__(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["server"] = self._server
        if identifier := _correlation_id.get():
            event["correlation_id"] = identifier
        return event


def _redact(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and "://" in value:
            event[key] = redacted(value)
    return event
