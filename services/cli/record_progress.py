"""How far a recording is: one line that stays on a terminal, a line a minute elsewhere, nothing for machines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from services.cli.status_line import StatusLine
from services.cli.terminal import say
from services.replay.recording.recorder import Figures

TERMINAL_S: Final = 0.5
PLAIN_S: Final = 60.0


class RecordProgress:
    """Shows figures on stderr, at most as often as there is use for. Keep it entered while there are any."""

    def __init__(self, problem: Callable[[], str], *, quiet: bool, monotonic_ns: Callable[[], int]) -> None:
        """`problem` says what is wrong with the feed at the moment."""
        self._problem = problem
        self._monotonic_ns = monotonic_ns
        self._began_ns = self._shown_ns = monotonic_ns()
        self._quiet = quiet
        self._line = StatusLine() if not quiet and sys.stderr.isatty() else None

    def __enter__(self) -> RecordProgress:
        if self._line is not None:
            self._line.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.__exit__()

    def show(self, figures: Figures) -> None:
        """Show them when that is due; cheap to call often."""
        now_ns = self._monotonic_ns()
        if self._quiet or now_ns - self._shown_ns < (PLAIN_S if self._line is None else TERMINAL_S) * 1e9:
            return
        self._shown_ns = now_ns
        text = (
            f"{(now_ns - self._began_ns) / 1e9:6.0f} s  {figures.ticks:,} ticks, {figures.bytes / 1e6:,.1f} MB, {figures.gaps:,} gaps; "
            f"{self._problem() or 'recording'}"
        )
        if self._line is not None:
            self._line.show(text)
        else:
            say(text)
