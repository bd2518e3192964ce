"""A session of several partitions, steered while it ran, is repeated partition by partition, to the bytes of every log."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.rpc import ControlClient
from services.runtime.session.keys import SessionKeys
from tests.support.cli import Completed, midstream, midstream_here, until
from tests.support.history_files import TICKERS, Quirks, history_text
from tests.support.serving import Machine, kept_up

pytestmark = pytest.mark.long

SEED = 14
ROWS = 1200
LOGS = ("mid_prices.log", "errors.log")


class Partitions(Machine):
    """`midstream serve` of several partitions."""

    def partition_state(self, partition: int) -> dict[str, object]:
        return self._report(lambda client: client.get(SessionKeys("default", partition).partition_state))

    def committed(self, partition: int) -> int:
        key = SessionKeys("default", partition).sinks
        return int(self._report(lambda client: client.hget(key, "price")).get("sequence", 0))


@contextlib.contextmanager
def machine(out: Path, **settings: str) -> Iterator[Partitions]:
    environment = {f"MIDSTREAM_{name}": value for name, value in settings.items()}
    with kept_up(Partitions(out, environment=environment, names=("replay", "control", "price"))) as servers:
        yield servers


def rerun(journal: Path, out: Path, *options: str) -> Completed:
    return midstream("rerun", journal, "--out", out, *options)


def kill_an_engine(servers: Partitions, partition: int) -> None:
    pid = servers.partition_state(partition)["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    until(lambda: servers.partition_state(partition).get("pid") not in (None, pid), what="another engine")


def play_by_hand(servers: Partitions, control: ControlClient, partitions: int) -> None:
    """Everything that an operator can do with recorded files of several partitions, with engines that die in between."""
    first_ns = control.state().position_arrival_time_ns
    control.seek(by_ns=500_000_000)
    control.set_range(end_arrival_time_ns=first_ns + 1_200_000_000)
    control.set_speed(3)
    control.pause()
    kill_an_engine(servers, partitions - 1)
    control.seek(arrival_time_ns=first_ns + 100_000_000)
    control.set_mode("historical")
    control.resume()
    until(lambda: control.state().position_arrival_time_ns > first_ns + 400_000_000, what="some records more")
    control.set_range()
    kill_an_engine(servers, 0)
    control.seek(begin=True)
    control.seek(end=True)
    control.seek(by_ns=-700_000_000)
    control.set_speed(0)


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("partitions", "partition_of"),
    [
        pytest.param(2, "", id="two"),
        pytest.param(3, f"{TICKERS[0]}=2,{TICKERS[1]}=1", id="three, assigned", marks=pytest.mark.nightly),
    ],
)
def test_a_rerun_gives_the_bytes_of_every_partition(partitions: int, partition_of: str, tmp_path: Path) -> None:
    path, journal = tmp_path / "history.csv", tmp_path / "session.jsonl"
    path.write_bytes(history_text(random.Random(SEED), Quirks(rows=ROWS, negative=0.3, tie=0.7)))
    settings = {"SPEED": "0.5", "NEGATIVE_LATENCY": "clamp", "LATENCY_THRESHOLD_MS": "7", "PARTITION_OF": partition_of}
    with machine(tmp_path / "out", HISTORICAL=str(path), PARTITIONS=str(partitions), **settings) as servers:
        with servers.control() as control:
            until(lambda: control.state().position_arrival_time_ns, what="the first record")
            play_by_hand(servers, control, partitions)
            until(lambda: control.state().state == "COMPLETED", what="the end")
        for partition in range(partitions):
            last = servers.partition_state(partition)["last_sequence"]
            until(lambda at=partition, to=last: servers.committed(at) == to, what="the logs")  # type: ignore[misc]
        written = servers.midstream("journal", "--out", str(journal))
        listed = servers.midstream("journal")
    assert written.code == 0, written.stderr
    assert f"in {partitions} partitions" in written.stdout
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["partition"] for line in lines[:partitions]] == list(range(partitions))
    assert {line["partition"] for line in lines[partitions:]} == set(range(partitions))
    assert len(listed.stdout.splitlines()) == len(lines)

    again = tmp_path / "again"
    done = rerun(journal, again, "--json")

    assert done.code == 0, done.stderr
    figures = json.loads(done.stdout)
    assert [part["difference"] for part in figures["partitions"]] == [""] * partitions
    assert [part["order_digest"] for part in figures["partitions"]] == [
        line["order_digest"] for line in lines[:partitions]
    ]
    for partition in range(partitions):
        for name in LOGS:
            was = (tmp_path / "out" / f"p{partition}" / name).read_bytes()
            assert (again / f"p{partition}" / name).read_bytes() == was, (partition, name)

    refused = midstream_here("rerun", str(journal), "--out", str(again))
    assert refused.code == 2
    assert re.search("^midstream rerun: .* already holds .*; replace it with --overwrite, or", refused.stderr)

    # Another move in one partition is told by its name, and takes the place of what was there.
    moved = max(
        number
        for number, line in enumerate(lines)
        if line["partition"] == 1 and "position" in line and not line["position"][0] < 0
    )
    lines[moved]["position"][0] += 300_000_000
    changed = tmp_path / "changed.jsonl"
    changed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    differs = rerun(changed, again, "--overwrite")
    assert differs.code == 1
    assert "midstream rerun: partition 1: the logs" in differs.stderr
    assert "partition 0:" not in differs.stderr
    assert "identical: " not in differs.stdout
