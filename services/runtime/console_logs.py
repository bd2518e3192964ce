"""Log lines for people: short, aligned, coloured on a terminal that can."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.runtime.log_lines import Origin, event_of
from services.runtime.printable import printable

_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_LEVELS: Final = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_APART: Final = ("event", "level", "logger", "timestamp", "server", "service", "stage", "task", "stack", "exception")
"""What has its own place in a line, or is the same in all lines of a terminal."""
_SIMPLE: Final = re.compile(r"[^\s\"'={}\[\]]+")


class ConsoleFormatter(logging.Formatter):
    """`2026-03-01 09:15:02.417Z info     replay   serving  address=127.0.0.1:50051 tls=off`, then a traceback where there is one."""

    def __init__(self, origin: Origin, context: Callable[[], Mapping[str, str]], *, coloured: bool) -> None:
        super().__init__()
        self._origin = origin
        self._context = context
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        event = event_of(record, self._origin, self._context())
        stamp, level = str(event["timestamp"]), str(event["level"])
        parts = [
            self._painted(f"{stamp[:10]} {stamp[11:23]}Z", _DIM),
            self._painted(f"{level:<8}", _LEVELS.get(level, "")),
            f"{event['server']:<8}",
            self._painted(printable(str(event["event"])), _BOLD),
            *(
                f"{self._painted(printable(name) + '=', _DIM)}{printable(_shown(value))}"
                for name, value in event.items()
                if name not in _APART
            ),
        ]
        lines = [" ".join(parts)]
        lines += [printable(str(event[name])) for name in ("stack", "exception") if name in event]
        return "\n".join(lines)

    def _painted(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._coloured and colour else text


def is_coloured() -> bool:
    """Tell whether stderr is a terminal that wants colours."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        # As it is where that can be read in one way only.
        return value if _SIMPLE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
