"""Progress of a replay: a bar on a terminal, a plain line every few seconds elsewhere, nothing for machines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

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
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=1.0, note="")
            self._bar.start()

    def show(self, state: dict[str, Any], sink: dict[str, Any]) -> None:
        """Show the latest figures; cheap to call often."""
        if self._quiet:
            return
        name = str(state.get("state", "starting")).lower()
        committed = int(sink.get("sequence", 0))
        read, total = int(state.get("bytes_read", 0)), int(state.get("bytes_total", 0))
        share = min(read / total, 1.0) if total else 0.0
        if self._bar is not None:
            self._bar.update(self._task, completed=share, description=name, note=f"{committed:,} records committed")
        elif time.monotonic() - self._shown_s >= PLAIN_INTERVAL_S:
            self._shown_s = time.monotonic()
            elapsed_s = self._shown_s - self._started_s
            print(f"{elapsed_s:6.1f} s  {name}, {share:4.0%} read, {committed:,} records committed", file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
