"""How far a recording is: a line a minute where no terminal is, and one line that is written over where one is."""

from __future__ import annotations

import io
import sys

import pytest

from services.cli.record_progress import PLAIN_S, RecordProgress
from services.cli.status_line import StatusLine
from services.replay.recording.recorder import Figures
from tests.support.clock import FakeClock

FIGURES = Figures(ticks=1234, bytes=5_600_000, gaps=1)


def test_a_pipe_gets_a_line_a_minute_with_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    clock, problems = FakeClock(), ["", "the feed is away\x1b[2J"]
    with RecordProgress(lambda: problems.pop(0), quiet=False, monotonic_ns=clock.monotonic_ns) as progress:
        for _ in range(4 * round(PLAIN_S) + 2):
            clock.advance(0.5)
            progress.show(FIGURES)

    assert capsys.readouterr().err.splitlines() == [
        "    60 s  1,234 ticks, 5.6 MB, 1 gaps; recording",
        r"   120 s  1,234 ticks, 5.6 MB, 1 gaps; the feed is away\x1b[2J",
    ]


def test_machines_get_none(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    with RecordProgress(lambda: "", quiet=True, monotonic_ns=clock.monotonic_ns) as progress:
        clock.advance(1000)
        progress.show(FIGURES)

    assert capsys.readouterr() == ("", "")


def test_what_else_is_said_stands_above_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)

    with StatusLine() as line:
        line.show("1 s")
        print("a warning", file=sys.stderr)  # noqa: T201  (what libraries do)
        line.show("2 s\nwith a line end")
        kept = sys.stderr
    kept.write("later\n")

    assert sys.stderr is terminal
    assert terminal.getvalue() == "\r\x1b[K1 s\r\x1b[Ka warning\n\r\x1b[K2 s\\nwith a line end\r\x1b[Klater\n"
