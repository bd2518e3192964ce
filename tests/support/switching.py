"""Switching between history and live data, and what both leave in the logs."""

from __future__ import annotations

from pathlib import Path

from tests.reference.history import Expected
from tests.support.serving import Serving


def switch(servers: Serving, mode: str) -> int:
    """Switch; returns the last sequence of the mode before, at least."""
    with servers.control() as control:
        answer = control.set_mode(mode)
    assert answer.mode != answer.previous_mode
    return int(servers.state()["last_sequence"])


def assert_logs_hold_history_with_live_inside(out: Path, expected: Expected) -> None:
    """Without one run of live lines in the middle, both logs are those of the reference."""
    for name, wanted in (("mid_prices.log", expected.mid_log), ("errors.log", expected.error_log)):
        found, lines = (out / name).read_bytes().splitlines(), wanted.splitlines()
        same = next((i for i, pair in enumerate(zip(found, lines, strict=False)) if pair[0] != pair[1]), len(lines))
        rest = lines[same:]
        assert found[len(found) - len(rest) :] == rest, name
        if name == "mid_prices.log":
            assert len(found) >= len(lines) + 100
