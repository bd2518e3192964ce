"""Logs on stderr, with the correlation id of the request that caused them."""

from __future__ import annotations

import dataclasses
import logging
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import clients.tracing as tracing
from services.runtime.clock import Clock, SystemClock
from services.runtime.console_logs import ConsoleFormatter, is_coloured
from services.runtime.log_lines import JsonFormatter, Origin
from services.runtime.lost_output import forgive_stderr
from services.runtime.third_party_logs import quieten
from services.runtime.uncaught import log_uncaught

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
    """Return the caller's id when it is harmless to log and to send on, else that of the trace, else a new one."""
    text = given.decode("ascii", "replace") if isinstance(given, bytes) else given
    if text is not None and _USABLE_ID.fullmatch(text) is not None:
        return text
    return tracing.ids()[0] or new_correlation_id()


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


def log_context() -> dict[str, str]:
    """Return the ids under which this task or thread works, for its log lines."""
    trace_id, span_id = tracing.ids()
    return {"correlation_id": _correlation_id.get(), "trace_id": trace_id, "span_id": span_id}


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """How a process logs; a server hands it on to its engine."""

    level: str = "info"
    form: str = "auto"
    """`json`, `console`, or `auto`: for people where stderr is a terminal, else for collectors."""
    service: str = ""
    stage: str = ""
    task: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> LogOptions:
        """Return what an engine was handed; what is not there has its default."""
        given = config.get("logs") or {}
        return cls(**{field.name: str(given[field.name]) for field in dataclasses.fields(cls) if field.name in given})


def configure_logs(server: str, options: LogOptions | None = None) -> None:
    """Send every standard log record to stderr, one JSON object (or line for people) each.

    Replaces the root handlers; call it once per process, in servers and engines alike. From then on a stderr that cannot be written
    loses lines, and nothing else.
    """
    options = LogOptions() if options is None else options
    origin = Origin(server=server, service=options.service, stage=options.stage, task=options.task)
    forgive_stderr()
    formatter: logging.Formatter = JsonFormatter(origin, log_context)
    if options.form == "console" or (options.form == "auto" and sys.stderr.isatty()):
        formatter = ConsoleFormatter(origin, log_context, coloured=is_coloured())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(options.level.upper())
    quieten()


REPEAT_S: Final = 60.0
"""An outage that lasts is told again this often."""


def start_logs(server: str, options: LogOptions) -> None:
    """Configure the logs of a process of ours, and have what nobody catches in it logged, too."""
    configure_logs(server, options)
    log_uncaught()


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
