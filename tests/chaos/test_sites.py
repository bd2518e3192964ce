"""P02: killed at every named place, at its first pass, in the middle and at the very last record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.chaos import Chaos, TailReader, assert_logs_exact, can_see_processes
from tests.support.made_ticks import HEADER, MadeOutputs, made_outputs, write_made_ticks

pytestmark = pytest.mark.skipif(not can_see_processes(), reason="engines are found through /proc")

ROWS = 5_000
SITES = {
    "before_xadd": "replay",
    "after_xadd": "replay",
    "before_checkpoint": "replay",
    "after_checkpoint": "replay",
    "sink_before_write": "price",
    "sink_between_writes": "price",
    "sink_after_write": "price",
    "sink_before_sync": "price",
    "sink_after_sync": "price",
    "sink_before_position": "price",
    "sink_after_position": "price",
    "sink_before_mids": "price",
    "sink_after_mids": "price",
    "sink_before_ack": "price",
    "sink_after_ack": "price",
}
LAST = datetime(2025, 1, 1, 1, 0, 0, tzinfo=UTC)
"""So far behind the row before that only an engine that starts there, and begins at once, gets to it."""


def write_history(path: Path) -> MadeOutputs:
    """Rows a millisecond apart, then one alone; returns what has to come out."""
    write_made_ticks(path, ROWS)
    with path.open("a") as out:
        out.write(f"x,{LAST:%Y-%m-%d %H:%M:%S},AAA,1,2,1,1,5\n")
    assert path.read_text().startswith(HEADER)
    return MadeOutputs(made_outputs(ROWS).mid_log + f"{LAST:%Y-%m-%d %H:%M:%S}.000, 1.5\n".encode())


def arm(chaos: Chaos, site: str, nth: int, once: Path) -> None:
    """Start the site's server again so that it dies once at the n-th pass; its engine comes back by itself."""
    name = SITES[site]
    environment = chaos.servers[name].environment
    environment |= {"MIDSTREAM_FAULT": f"{site}:{nth}", "MIDSTREAM_FAULT_ONCE": str(once)}
    if chaos.servers[name].pid is not None:
        chaos.kill(name)
    chaos.tend()


@pytest.mark.cases(3)
@pytest.mark.long
@pytest.mark.parametrize("site", SITES)
def test_killed_at_every_place_the_system_leaves_no_trace(tmp_path: Path, site: str) -> None:
    expected = write_history(tmp_path / "made.csv")
    fired = [tmp_path / f"fired-{place}" for place in ("first", "middle", "last")]
    chaos = Chaos(tmp_path, seed=0, HISTORICAL=str(tmp_path / "made.csv"), SPEED="2")
    with TailReader(chaos.out, expected) as reader:
        arm(chaos, site, 1, fired[0])
        with chaos:
            chaos.until(fired[0].exists, what="the first pass")
            # A checkpoint is saved when an engine starts and when it ends, so its passes are few.
            arm(chaos, site, 1 if "checkpoint" in site else 3, fired[1])
            chaos.until(fired[1].exists, what="a pass in the middle")
            chaos.until(lambda: chaos.sink().get("sequence", 0) == ROWS, what="all but the last record")
            arm(chaos, site, 1, fired[2])
            if SITES[site] != "replay":
                chaos.kill("replay")
            chaos.until(fired[2].exists, what="the last pass")
            sink = chaos.complete()

            reader.assert_clean()
            assert_logs_exact(chaos.out, expected)
            assert sink["counts"]["mids"] == sink["sequence"] == ROWS + 1
