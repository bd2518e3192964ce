"""docs/recording.md as it is typed, and the logs of real servers on the same feed, live."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path

import pytest

from tests.support.cli import ROOT, midstream
from tests.support.serving import serving
from tests.support.simulator_process import SimulatorProcess

PAGE = (ROOT / "docs" / "recording.md").read_text(encoding="utf-8")
FEED = {
    "SPEED": "max",
    "BATCH": "3",
    "FAULTS": "garbage_every=50,close_after=400,drops=2",
}


@pytest.mark.quick
def test_the_page_records_and_replays_what_real_servers_give_live(tmp_path: Path) -> None:
    [block] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    record, inspect, replay = [shlex.split(line)[1:] for line in block.splitlines()]
    assert (record[1], record[-2:]) == ("ws://127.0.0.1:5040", ["--duration", "3600"])
    # Each has a feed of its own, whose connections end at the same places; one address, so that rejections have one name.
    feed = SimulatorProcess("feed", tmp_path, **FEED)
    recorded = midstream("record", feed.ws_url, *record[2:-1], "5", "--json", cwd=tmp_path)
    port = feed.port
    assert feed.stop() == 0
    figures = json.loads(recorded.stdout)
    assert recorded.code == 0, recorded.stderr
    assert (figures["disconnects"], figures["reconnects"], figures["ended_by"]) == (2, 2, "duration")
    assert midstream(*inspect, cwd=tmp_path).code == 0
    replayed = midstream(*replay, cwd=tmp_path)
    assert replayed.code == 0, replayed.stderr
    # Closed segments may be gzipped.
    for path in (tmp_path / "day").iterdir():
        (tmp_path / f"{path.stem}.rec.gz").write_bytes(gzip.compress(path.read_bytes()))
    zipped = midstream("replay", "0*.rec.gz", "--out", "zipped", *replay[-2:], cwd=tmp_path)
    assert zipped.code == 0, zipped.stderr

    feed = SimulatorProcess("feed", tmp_path, **{**FEED, "PORT": str(port)})
    with serving(
        tmp_path / "live", ("replay", "control", "price", "health"), LIVE_URL=feed.ws_url, START_MODE="live"
    ) as servers:
        servers.wait_committed(figures["ticks"] + figures["rejected"] + 4)
    assert feed.stop() == 0

    for name in ("mid_prices.log", "errors.log"):
        live = (tmp_path / "live" / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == live
        assert (tmp_path / "zipped" / name).read_bytes() == live
    assert f"Rejected {feed.ws_url}".encode() in (tmp_path / "live" / "errors.log").read_bytes()
