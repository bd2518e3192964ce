"""docs/time_control.md: every line of it is run, in order, and shows what the page says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import PATIENCE_S, ROOT, Completed, clean_environment, command, until
from tests.support.grpcurl import run_call
from tests.support.pages import run_program, shell_lines
from tests.support.serving import Serving, serving

PAGE = (ROOT / "docs" / "time_control.md").read_text(encoding="utf-8")
LINES = [line for line in shell_lines(PAGE) if line]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Serving]:
    """The sample data, slowly at first."""
    with serving(tmp_path / "out", ("replay", "control", "price"), SPEED="0.1") as running:
        until(lambda: running.state().get("last_sequence"), what="the first record")
        yield running


def say(servers: Serving, line: str) -> Completed:
    """Run a line of the page."""
    assert line in LINES
    done = servers.midstream(*shlex.split(line)[1:])
    assert done.code == 0, done.stderr
    return done


def position(servers: Serving) -> str:
    done = servers.midstream("status")
    return next(line.partition(" ")[2].strip() for line in done.stdout.splitlines() if line.startswith("position"))


def test_a_part_is_played_into_a_service_that_follows_the_moves(servers: Serving, tmp_path: Path) -> None:
    servers.midstream("speed", "max")
    said = say(servers, 'midstream range --start "2025-10-02 23:59:48" --end "2025-10-02 23:59:57"')
    say(servers, "midstream speed 50")
    status = say(servers, "midstream status").stdout
    servers.wait_state("COMPLETED")
    printed = run_program(PAGE, place="127.0.0.1:50051", at=servers.address("replay"), folder=ROOT)

    assert said.stdout.startswith("2025-10-02 23:59:48 to 2025-10-02 23:59:57, then stop")
    assert "range      2025-10-02 23:59:48.000 to 2025-10-02 23:59:57.000, then stop" in status
    assert position(servers) < "2025-10-02 23:59:57"
    assert printed.splitlines()[-1] == "True True"


def test_a_session_pauses_at_the_spike_is_stepped_and_is_repeated(servers: Serving, tmp_path: Path) -> None:
    servers.midstream("pause")
    say(servers, "midstream seek begin")
    say(servers, 'midstream pause --at "2025-10-02 23:59:52.500"')
    say(servers, 'midstream speed 10 --at "2025-10-02 23:59:50"')
    listed = say(servers, "midstream schedule").stdout
    servers.midstream("speed", "max")
    say(servers, "midstream resume")
    servers.wait_state("PAUSED")
    until(lambda: servers.midstream("schedule").stdout == "nothing is scheduled\n", what="both commands")
    paused_at, before = position(servers), servers.state()["last_sequence"]

    stepped = [
        say(servers, line).stdout
        for line in ("midstream step", "midstream step 20", "midstream step --ticker BTC-USDT-SWAP@BINANCE")
    ]
    after = servers.state()["last_sequence"]
    say(servers, "midstream seek -500ms")
    marker = json.loads(say(servers, "midstream tail --last 1 -n 1 --json").stdout)

    assert "at 2025-10-02 23:59:52.500: pause" in listed
    assert "at 2025-10-02 23:59:50.000: speed 10" in listed
    assert paused_at < "2025-10-02 23:59:52.500"
    assert [line.partition(" ")[0] for line in stepped[:2]] == ["1", "20"]
    assert after >= before + 22
    assert servers.state()["speed"] == 10.0
    assert marker["kind"] == "discontinuity"
    assert all(quote["arrival_time_ns"] <= marker["position_arrival_time_ns"] for quote in marker["state"])
    assert len(marker["state"]) > 10

    say(servers, 'midstream seek "#100"')
    say(servers, "midstream seek end")
    servers.midstream("resume")
    servers.wait_committed(servers.wait_state("COMPLETED")["last_sequence"])
    repeated(servers, tmp_path)


def repeated(servers: Serving, tmp_path: Path) -> None:
    """The last block of the page, in a folder of its own."""
    journal, rerun = (line for line in LINES if line.startswith(("midstream journal", "midstream rerun")))
    for line in (journal, rerun):
        done = subprocess.run(
            command(*shlex.split(line)[1:]),
            cwd=tmp_path,
            env=clean_environment(servers.environment if line == journal else None)
            | {"PYTHONPATH": os.pathsep.join([str(ROOT)])},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    for name in ("mid_prices.log", "errors.log"):
        assert (tmp_path / "again" / name).read_bytes() == (servers.out / name).read_bytes()


@pytest.mark.needs("grpcurl")
def test_the_calls_of_the_page_do_the_same(servers: Serving) -> None:
    calls = [line for line in LINES if line.startswith("grpcurl")]
    answers: list[dict[str, Any]] = []
    for line in calls:
        done = run_call(line, {"50052": servers.ports["control"]})
        assert done.code == 0, done.stderr
        answers.append(json.loads(done.stdout))

    sought, stepped, scheduled, listed = answers
    assert int(sought["sequence"]) > 0
    assert stepped["ticks"] == 5
    assert listed["scheduled"] == [{"revision": scheduled["revision"], "kind": "pause", "when": {"at_end": True}}]


def test_every_line_is_run_here() -> None:
    assert len([line for line in LINES if line.startswith("midstream")]) == 17
    assert len(LINES) == 21
