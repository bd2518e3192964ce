"""Log lines for people: coloured on a terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from services.runtime.printable import printable

Event = MutableMapping[str, Any]


def console_formatter(
    server: str, *, redact: Callable[[Event], None], correlation_id: Callable[[], str]
) -> logging.Formatter:
    """Return a formatter of standard records; `redact` changes every event before it is shown."""

    def add_context(_logger: Any, _name: str, event: Event) -> Event:
        event["server"] = server
        if identifier := correlation_id():
            event["correlation_id"] = identifier
        return event

    def redact_all(_logger: Any, _name: str, event: Event) -> Event:
        redact(event)
        return event

    def make_printable(_logger: Any, _name: str, event: Event) -> Event:
        for name, value in event.items():
            if isinstance(value, str):
                event[name] = printable(value)
        return event

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_context,
            structlog.processors.StackInfoRenderer(),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact_all,
            make_printable,
            # Not the default traceback, which shows local variables and with them passwords.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
    )
