"""However a session is played, stopped, moved and broken, its logs hold the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.rpc import ControlClient
from tests.reference.history import Expected, expected_outputs
from tests.support.cli import Completed, midstream, until
from tests.support.history_files import Quirks, history_text
from tests.support.serving import Serving, serving

ROWS = 1200
Play = Callable[[Serving, ControlClient], None]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Expected]:
    """A second or two of records: ties, negative latencies, and rows that cannot be used."""
    path = tmp_path_factory.mktemp("history") / "history.csv"
    path.write_bytes(history_text(random.Random(14), Quirks(rows=ROWS, negative=0.3, tie=0.7)))
    return path, expected_outputs([path])


def nothing(servers: Serving, control: ControlClient) -> None:
    pass


def pause_50_times(servers: Serving, control: ControlClient) -> None:
    for _ in range(50):
        control.pause()
        control.resume()


def seek_away_and_back(servers: Serving, control: ControlClient) -> None:
    for _ in range(6):
        control.pause()
        away = control.seek(begin=True)
        control.seek(end=True)
        control.seek(by_ns=-100_000_000)
        control.seek(sequence=away.sequence)
        control.resume()


def step_through(servers: Serving, control: ControlClient) -> None:
    control.pause()
    sizes = random.Random(3)
    while control.step(sizes.choice([1, 2, 7, 100])).ticks:
        pass
    control.resume()


def kill_in_between(servers: Serving, control: ControlClient) -> None:
    for _ in range(3):
        control.pause()
        away = control.seek(begin=True)
        pid = servers.state()["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: servers.state().get("pid") not in (None, pid), what="another engine")  # type: ignore[misc]
        control.seek(sequence=away.sequence)
        control.resume()


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("speed", "play"),
    [
        pytest.param("max", nothing, id="max", marks=pytest.mark.quick),
        pytest.param("100", nothing, id="100x"),
        pytest.param("1", nothing, id="1x"),
        pytest.param("1", pause_50_times, id="paused and resumed 50 times"),
        pytest.param("0.2", seek_away_and_back, id="sought away and back"),
        pytest.param("0.2", step_through, id="stepped through"),
        pytest.param("0.2", kill_in_between, id="killed and restarted"),
    ],
)
def test_the_logs_are_those_of_the_reference(
    speed: str, play: Play, history: tuple[Path, Expected], tmp_path: Path
) -> None:
    path, expected = history
    with serving(tmp_path / "out", HISTORICAL=str(path), SPEED=speed) as servers:
        with servers.control() as control:
            play(servers, control)
            if play is not nothing:
                control.set_speed(0)
        servers.wait_committed(servers.wait_state("COMPLETED")["last_sequence"])

    assert (tmp_path / "out" / "mid_prices.log").read_bytes() == expected.mid_log
    assert (tmp_path / "out" / "errors.log").read_bytes() == expected.error_log


def rerun(journal: Path, out: Path, *options: str) -> Completed:
    return midstream("rerun", journal, "--out", out, *options)


def play_by_hand(servers: Serving, control: ControlClient) -> None:
    """Everything that an operator can do with recorded files, some of it played twice."""
    first_ns = control.state().position_arrival_time_ns
    control.seek(by_ns=500_000_000)
    control.set_range(end_arrival_time_ns=first_ns + 1_200_000_000)
    control.set_speed(3)
    control.step(20)
    control.seek(by_ns=-200_000_000)
    control.resume()
    control.pause()
    control.set_range()
    control.step(ticker="BTC-USDT-SWAP@BINANCE")
    control.seek(begin=True)
    control.step(300)
    control.seek(end=True)
    control.seek(by_ns=-100_000_000)
    control.set_speed(0)
    control.resume()


def test_a_rerun_of_the_journal_gives_the_bytes_of_the_session(history: tuple[Path, Expected], tmp_path: Path) -> None:
    path, expected = history
    journal = tmp_path / "session.jsonl"
    with serving(
        tmp_path / "out", HISTORICAL=str(path), SPEED="0.5", NEGATIVE_LATENCY="clamp", LATENCY_THRESHOLD_MS="7"
    ) as servers:
        with servers.control() as control:
            until(lambda: control.state().position_arrival_time_ns, what="the first record")
            play_by_hand(servers, control)
        servers.wait_committed(servers.wait_state("COMPLETED")["last_sequence"])
        written = servers.midstream("journal", "--out", str(journal))
    assert written.code == 0, written.stderr

    done = rerun(journal, tmp_path / "again", "--json")

    assert done.code == 0, done.stderr
    for name in ("mid_prices.log", "errors.log"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert (tmp_path / "again" / "mid_prices.log").read_bytes() != expected.mid_log
    assert json.loads(done.stdout)["order_digest"] == json.loads(journal.read_text().splitlines()[0])["order_digest"]

    lines = journal.read_text().splitlines()
    moved = next(number for number, line in enumerate(lines) if '"position":' in line)
    other = json.loads(lines[moved])
    other["position"][0] += 300_000_000
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join([*lines[:moved], json.dumps(other), *lines[moved + 1 :]]) + "\n")
    differs = rerun(changed, tmp_path / "differs")
    assert differs.code == 1
    assert "midstream rerun: the logs" in differs.stderr

    path.touch()
    refused = rerun(journal, tmp_path / "refused")
    assert refused.code == 2
    assert "changed" in refused.stderr
    assert not (tmp_path / "refused").exists()
