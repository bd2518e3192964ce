"""What nobody catches is a line like every other."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

START = "from services.runtime.logs import LogOptions, start_logs\nstart_logs('replay', LogOptions(stage='prod'))\n"


def lines_of(program: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-c", START + program], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("program", "code", "event", "level", "field"),
    [
        pytest.param("1 / 0", 1, "exception ends the process", "critical", ("stage", "prod"), id="main thread"),
        pytest.param(
            "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='pacer')\nt.start()\nt.join()",
            0, "exception ends a thread", "error", ("thread", "pacer"), id="thread",
        ),
        pytest.param(
            "class Odd:\n    def __del__(self):\n        1 / 0\nOdd()",
            0, "exception where nobody can catch it", "error", ("level", "error"), id="finalizer",
        ),
        pytest.param(
            "import warnings\nwarnings.warn('old', UserWarning)",
            0, "python warns", "warning", ("message", "old"), id="warning",
        ),
        pytest.param("raise KeyboardInterrupt", 130, "interrupted", "info", ("stage", "prod"), id="Ctrl-C"),
    ],
)  # fmt: skip
def test_it_is_logged_as_one_json_line(program: str, code: int, event: str, level: str, field: tuple[str, str]) -> None:
    ended, (line,) = lines_of(program)

    assert ended in (code, -2)
    assert (line["event"], line["level"], line[field[0]]) == (event, level, field[1])
    assert ("ZeroDivisionError" in line.get("exception", "")) == ("1 / 0" in program)
