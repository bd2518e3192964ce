"""The child's end of the line between an engine and its server.

stdin: one JSON object with the config, then commands, one JSON object per line; its end means that the server is gone.
stdout: one JSON object per line, the reports. stderr is for logs.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

from services.runtime import parent_death
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields
from services.runtime.printable import printable

logger = logging.getLogger(__name__)

EXIT_ORPHANED = 1


class EngineChannel:
    """Config, commands and reports of one engine process.

    The engine's main thread owns the work; a daemon thread of the channel watches stdin.
    """

    def __init__(self, config: dict[str, Any], commands: IO[bytes], reports: IO[bytes]) -> None:
        self.config = config
        self.stopping = threading.Event()
        self._commands = commands
        self._reports = reports
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    @classmethod
    def open(cls) -> EngineChannel:
        """Take over stdin and stdout, read the config line, watch for the end of the parent."""
        parent_death.die_with_parent()
        # Raw descriptors: what anything else prints goes to stderr instead of between the reports.
        reports = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        commands = os.fdopen(os.dup(0), "rb")
        line = commands.readline()
        if not line:
            os._exit(EXIT_ORPHANED)
        try:
            config = json.loads(line)
        except ValueError:
            config = None
        if not isinstance(config, dict):
            raise StartRefused("an engine is started by its server: the first line on stdin must be a JSON object")
        channel = cls(config, commands, reports)
        # Ctrl-C on a terminal reaches the whole group; the server decides when the engine drains.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda _number, _frame: channel.request_stop())
        threading.Thread(target=channel._watch, name="engine-channel", daemon=True).start()
        return channel

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when stopping is requested; at once when it already was.

        It runs in the thread of the channel or in a signal handler: set an event, write to a pipe, no more.
        """
        self._callbacks.append(callback)
        if self.stopping.is_set():
            callback()

    def request_stop(self) -> None:
        """Set `stopping` and wake whoever registered; repeating it is harmless."""
        self.stopping.set()
        for callback in tuple(self._callbacks):
            callback()

    def report(self, event: str, **fields: object) -> None:
        """Write one line; from any thread. A server that is gone ends the process."""
        line = json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock:
                _write_all(self._reports, line)
        except BrokenPipeError:
            os._exit(EXIT_ORPHANED)

    def _watch(self) -> None:
        while line := self._commands.readline():
            try:
                command = json.loads(line)["command"]
            except (ValueError, KeyError, TypeError):
                logger.warning("command ignored: not understood")
                continue
            if command == "stop":
                self.request_stop()
            else:
                logger.warning("command ignored", extra=fields(name=command))
        # The parent is gone, perhaps by kill -9: nobody may go on writing on its behalf.
        os._exit(EXIT_ORPHANED)


def run_engine(main: Callable[[EngineChannel], int]) -> int:
    """Run an engine's `main` with an open channel; turn StartRefused into the report and its exit code."""
    try:
        channel = EngineChannel.open()
    except StartRefused as exc:
        print(printable(exc.message), file=sys.stderr)  # noqa: T201  (nobody is listening on the channel)
        return 2
    try:
        return main(channel)
    except StartRefused as exc:
        channel.report("refused", message=exc.message)
        return exc.exit_code


def _write_all(out: IO[bytes], line: bytes) -> None:
    if isinstance(out, io.RawIOBase):
        view = memoryview(line)
        while view:
            view = view[out.write(view) or 0 :]
        return
    out.write(line)
    out.flush()
