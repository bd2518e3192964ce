"""A feed that has a past: it runs whether or not somebody listens, and what it has sent lies in a file that a replay can read."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, TextIO

from services.simulators.feed_script import COLUMNS, read_time

LATENCY_MS: Final = 5.0
"""What the file says of rows that keep their timestamps: those of restamped ones are measured."""
RESEND_MAX: Final = 10_000
WAITING_MAX: Final = 100_000
"""Messages that wait for one client; one that is slower is cut off."""


class Past:
    """Writes what a feed sends to a file, and then to everybody who listens.

    The file is in the recorded layout and flushed line by line, so a reader of it is never ahead of those who listen.
    """

    def __init__(self, path: Path, *, resend: int = 0) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._number = 0
        self._last: deque[bytes] = deque(maxlen=resend)
        self._listeners: set[asyncio.Queue[list[bytes]]] = set()

    def open(self) -> None:
        """Begin the file. Raises OSError."""
        self._file = self._path.open("w", encoding="utf-8", newline="")
        self._file.write(",".join(("", *COLUMNS, "latency")) + "\n")
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def send(self, messages: list[bytes], *, time_ns: int | None) -> None:
        """Record messages and hand them to those who listen; `time_ns` is when they are sent, None where timestamps are not of today."""
        assert self._file is not None
        lines = csv.writer(self._file, lineterminator="\n")
        for message in messages:
            fields: dict[str, Any] = json.loads(message, parse_float=str, parse_int=str)
            event_time_ns = read_time(str(fields["timestamp"]))
            late = time_ns is not None and event_time_ns is not None
            latency_ms = (time_ns - event_time_ns) / 1e6 if late else LATENCY_MS  # type: ignore[operator]
            lines.writerow(
                [self._number, *("" if fields[name] is None else fields[name] for name in COLUMNS), latency_ms]
            )
            self._number += 1
        self._file.flush()
        self._last.extend(messages)
        for waiting in tuple(self._listeners):
            waiting.put_nowait(messages)

    async def listen(self) -> AsyncIterator[list[bytes]]:
        """Yield the last messages, as many as are sent again to who connects, and then what is sent from now on."""
        waiting: asyncio.Queue[list[bytes]] = asyncio.Queue()
        if self._last:
            waiting.put_nowait(list(self._last))
        self._listeners.add(waiting)
        try:
            while waiting.qsize() < WAITING_MAX:
                yield await waiting.get()
        finally:
            self._listeners.discard(waiting)
