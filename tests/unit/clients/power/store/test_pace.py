"""The pace in the price process's row: read back as written, as documented where it cannot be read."""

from __future__ import annotations

import json

import pytest

from clients.power.store.pace import PERIOD_NS, WINDOW_NS, Pace


def test_a_pace_is_read_as_it_was_written() -> None:
    pace = Pace(7, 3)

    assert Pace.read(json.dumps(pace.fields() | {"stamps": {}})) == pace


@pytest.mark.parametrize(
    "text",
    [None, "", "{}", "[]", "no JSON", '{"period_ns": "soon"}', '{"period_ns": 5, "window_ns": [1]}'],
    ids=["no row", "empty", "nothing in it", "a list", "no JSON", "no number", "half of it"],
)
def test_what_cannot_be_read_is_as_documented(text: str | None) -> None:
    assert Pace.read(text) == Pace(PERIOD_NS, WINDOW_NS)
