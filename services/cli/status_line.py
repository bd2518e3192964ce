"""One line on the terminal behind stderr that says how far something is; everything else that is said meanwhile stands above it."""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Final, TextIO

from services.cli.terminal import one_line

_CLEAR: Final = "\r\x1b[K"
_COLUMNS: Final = 80
"""Of a terminal that does not tell."""


class StatusLine(io.TextIOBase):
    """Stands in for stderr while it is entered: log lines come from other threads, and would begin in the middle of the line."""

    def __init__(self) -> None:
        self._stderr: TextIO = sys.stderr
        self._lock = threading.Lock()
        self._shown = ""

    def __enter__(self) -> StatusLine:
        self._stderr, sys.stderr = sys.stderr, self
        return self

    def __exit__(self, *_: object) -> None:
        self.show("")
        # Handlers of logs may hold on to this one; without a line it only hands on.
        sys.stderr = self._stderr

    def show(self, text: str) -> None:
        """Show text in place of what is shown; empty shows nothing. What is wider than the terminal is cut: a second row would stay."""
        with self._lock:
            shown = one_line(text)[: _columns(self._stderr) - 1]
            if shown or self._shown:
                self._stderr.write(_CLEAR + shown)
            self._shown = shown

    def write(self, text: str) -> int:
        """Write above the line: it is gone until it is shown again."""
        with self._lock:
            self._stderr.write(_CLEAR + text if self._shown else text)
            self._shown = ""
        return len(text)

    def flush(self) -> None:
        self._stderr.flush()

    def isatty(self) -> bool:
        return self._stderr.isatty()

    def fileno(self) -> int:
        return self._stderr.fileno()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS
