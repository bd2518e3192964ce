"""docs/joining_live.md: its lines are run, in order, and show what the page says."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.support.cli import ROOT, until
from tests.support.pages import shell_lines
from tests.support.serving import serving
from tests.support.simulator_process import SimulatorProcess

PAGE = (ROOT / "docs" / "joining_live.md").read_text(encoding="utf-8")
LINES = [line for line in shell_lines(PAGE) if line]


def assigned(line: str) -> dict[str, str]:
    """Return what a line sets before its command."""
    return dict(part.split("=", 1) for part in shlex.split(line) if part.startswith("MIDSTREAM_"))


def test_a_feed_is_joined_behind_a_file_that_is_still_written(tmp_path: Path) -> None:
    feed_line, serve_line, mode_line, status_line, tail_line = LINES
    path = str(tmp_path / assigned(feed_line)["MIDSTREAM_SIM_FEED_PAST"])
    feed = SimulatorProcess(
        "feed", tmp_path, PAST=path, RESEND=assigned(feed_line)["MIDSTREAM_SIM_FEED_RESEND"], SPEED="0.3"
    )
    settings = assigned(serve_line) | {"MIDSTREAM_HISTORICAL": path, "MIDSTREAM_LIVE_URL": feed.ws_url}
    try:
        with serving(
            tmp_path / "out",
            ("replay", "control", "price"),
            **{name.removeprefix("MIDSTREAM_"): value for name, value in settings.items()},
        ) as running:
            until(lambda: running.state().get("last_sequence"), what="the first record")
            begun = running.midstream(*shlex.split(mode_line)[1:])
            until(lambda: running.state().get("mode") == 2, what="live data")
            status = running.midstream(*shlex.split(status_line)[1:]).stdout
            count = running.state()["last_sequence"]
            read = running.midstream("tail", "--from-oldest", "-n", str(count), "--json")
    finally:
        feed.kill()

    assert begun.stdout == "hand-over to live begins (join), revision 1\n", begun.stderr
    assert "hand-over  join, joined" in status
    assert tail_line == "midstream tail --from-oldest -n 100000 --json"
    records = [json.loads(line) for line in read.stdout.splitlines()]
    [seam] = [record for record in records if record["type"] == "marker"]
    assert (seam["kind"], seam["previous_mode"], seam["mode"]) == ("seam", "historical", "live")
    assert seam["overlap_removed"] > 0
    assert seam["gap_ns"] == 0
