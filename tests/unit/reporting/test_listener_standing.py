"""The listener's row as reporting reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from clients.power.store.standing import Standing, standing_row
from services.reporting.engine.listener_standing import ListenerStanding, ListenerState

pytestmark = pytest.mark.quick

GOOD = {**standing_row(Standing(connected=True, since_ns=1)), "updated_time_ns": 5}


@pytest.mark.parametrize("column", [name for name in GOOD if name not in ("trouble", "connected", "mostly_unusable")])
@pytest.mark.parametrize("bad", [None, "x", b"\xff", float("inf")], ids=str)
def test_a_row_that_cannot_be_read_says_so(column: str, bad: object) -> None:
    # SQLite keeps whatever it is given.
    row: Any = SimpleNamespace(**{**GOOD, column: bad})

    found = ListenerStanding.read(row)

    assert "cannot be read" in found.trouble
    assert found.state(now_ns=10, silent_after_ns=1) is ListenerState.NEVER


def test_a_good_row_is_read() -> None:
    row: Any = SimpleNamespace(**GOOD)

    assert ListenerStanding.read(row) == ListenerStanding(connected=True, since_ns=1, updated_ns=5)
