"""How records leave, as people read it."""

from __future__ import annotations

import pytest

from services.replay.engine.pace import Pace, read_pace
from services.runtime.session.pace_words import pace_words


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "gaps as recorded; what is late catches up"),
        ({"gap_cap": "1.5s"}, "gaps up to 1500ms; what is late catches up"),
        ({"rate": "20000", "time_debt": "stretch"}, "20,000 records a second; the clock waits for what is late"),
        ({"rate": "0.5"}, "0.5 records a second; what is late catches up"),
        ({"delay": "1000001ns"}, "1000001ns from one record to the next; what is late catches up"),
        ({"time_debt": "fail"}, "gaps as recorded; fails when more than 5s behind"),
    ],
    ids=str,
)
def test_every_way_to_pace_has_its_words(fields: dict[str, str], said: str) -> None:
    pace: Pace = read_pace(fields)

    words = pace_words(
        gap_cap_ns=pace.gap_cap_ns,
        rate=pace.rate,
        delay_ns=pace.delay_ns,
        policy=pace.debt,
        limit_ns=pace.debt_limit_ns,
    )

    assert words == said
