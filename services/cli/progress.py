"""Progress of a replay: a bar on a terminal, a plain line every few seconds elsewhere, nothing for machines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from services.cli.terminal import say
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.report import EngineReport, EngineState

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_INTERVAL_S = 2.0


class ProgressDisplay:
    """Shows how far engine and sink are. Writes to stderr, so that stdout stays for results."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._started_s = self._shown_s = time.monotonic()
        self._bar: Progress | None = None
        if not quiet and sys.stderr.isatty():
            # Only here: it takes longer to import than a short replay takes to run.
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=None, note="")
            self._bar.start()

    def show(self, engine: EngineReport | None, sink: SinkAnnouncement | None) -> None:
        """Show the latest figures; cheap to call often."""
        if self._quiet:
            return
        name = (EngineState.STARTING if engine is None else engine.state).lower()
        committed = 0 if sink is None else sink.position.sequence
        if self._bar is not None:
            self._bar.update(self._task, description=name, note=f"{committed:,} records committed")
        elif time.monotonic() - self._shown_s >= PLAIN_INTERVAL_S:
            self._shown_s = time.monotonic()
            elapsed_s = self._shown_s - self._started_s
            say(f"{elapsed_s:6.1f} s  {name}, {committed:,} records committed")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
