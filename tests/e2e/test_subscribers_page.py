"""docs/subscribers.md: every line of it is run, and shows what the page says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import ROOT, Completed
from tests.support.grpcurl import run_call
from tests.support.pages import run_program, shell_lines
from tests.support.serving import Serving, serving

PAGE = (ROOT / "docs" / "subscribers.md").read_text(encoding="utf-8")
LINES = [line for line in shell_lines(PAGE) if line]
ROWS = 20_007


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The sample data, published and priced."""
    with serving(tmp_path_factory.mktemp("subscribers") / "out", ("replay", "control", "price")) as running:
        last = running.wait_state("COMPLETED")["last_sequence"]
        assert last == ROWS
        running.wait_committed(last)
        yield running


def shown(servers: Serving, line: str) -> Completed:
    """Run a line of the page."""
    assert line in LINES
    return servers.midstream(*shlex.split(line)[1:])


def objects(done: Completed) -> list[dict[str, Any]]:
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.quick
def test_every_line_is_run_here() -> None:
    assert len([line for line in LINES if line.startswith("midstream tail")]) == 7
    assert len([line for line in LINES if line.startswith("grpcurl")]) == 3
    assert len(LINES) == 10


def test_conflated_ticks_and_mids_are_one_row_for_each_ticker(servers: Serving) -> None:
    everything = objects(servers.midstream("tail", "--from-oldest", "--json", "-n", str(ROWS)))
    tickers = {each["ticker"]: each for each in everything if each["type"] == "tick"}

    found = shown(servers, "midstream tail --from-oldest --policy conflate -n 20")
    mids = objects(shown(servers, "midstream tail mids --latest --policy conflate --every 100ms -n 5 --json"))
    conflated = objects(
        servers.midstream("tail", "--from-oldest", "--policy", "conflate", "--json", "-n", str(len(tickers)))
    )

    assert found.code == 0
    assert len([line for line in found.stdout.splitlines() if not line.startswith("-- 2025")]) == 20
    assert {each["ticker"]: each for each in conflated} == tickers
    assert len({each["ticker"] for each in mids}) == 5


def test_what_is_skipped_is_shown(servers: Serving) -> None:
    assert shown(servers, "midstream tail --from-oldest --policy skip --lag-max 5000 -n 3").code == 0
    everything = objects(servers.midstream("tail", "--from-oldest", "--policy", "skip", "--json", "-n", str(ROWS)))

    assert [each["sequence"] for each in everything] == list(range(1, ROWS + 1))


def test_a_stream_begins_at_a_time_or_with_the_latest(servers: Serving) -> None:
    since = shown(servers, 'midstream tail --since "2025-10-02 23:59:55" -n 3')
    latest = shown(servers, "midstream tail mids --latest -n 3")
    [first] = objects(servers.midstream("tail", "--since", "2025-10-02 23:59:55", "-n", "1", "--json"))
    [before] = objects(servers.midstream("tail", "--after", str(first["sequence"] - 2), "-n", "1", "--json"))

    assert (since.code, latest.code) == (0, 0)
    assert first["arrival_time_ns"] >= 1_759_449_595 * 10**9 > before["arrival_time_ns"]
    assert len([line for line in latest.stdout.splitlines() if not line.startswith("-- 2025")]) == 3
    early = servers.midstream("tail", "--since", "yesterday", "-n", "1")
    assert early.code == 2
    assert "'yesterday'" in early.error_line


def test_lag_is_shown_for_each_batch(servers: Serving) -> None:
    lines = shown(servers, "midstream tail --from-oldest --lag -n 2000").stdout.splitlines()
    told = objects(servers.midstream("tail", "--from-oldest", "--lag", "--json", "-n", str(ROWS)))

    behind = [line for line in lines if line.startswith("-- behind: ")]
    lags = [each for each in told if each["type"] == "lag"]
    assert behind[0].startswith(f"-- behind: {ROWS - lags[0]['last_sequence']:,} records, ")
    assert {each["records"] + each["last_sequence"] for each in lags} == {ROWS}
    assert (lags[-1]["records"], lags[-1]["bytes"], lags[-1]["data_time_ns"]) == (0, 0, 0)


def test_a_shared_session_waits_for_nobody(servers: Serving) -> None:
    done = shown(servers, "midstream tail --policy block")

    assert done.code == 2
    assert "session `default` is not private" in done.stderr


def test_the_program_runs(servers: Serving, tmp_path: Path) -> None:
    everything = objects(servers.midstream("tail", "--from-oldest", "--json", "-n", str(ROWS)))
    tickers = {each["ticker"] for each in everything if each["type"] == "tick"}

    said = run_program(PAGE, place="127.0.0.1:50051", at=servers.address("replay"), folder=ROOT)

    assert said == f"{len(tickers)} tickers\n"


@pytest.mark.needs("grpcurl")
@pytest.mark.parametrize("call", [line for line in LINES if line.startswith("grpcurl")])
def test_the_calls_without_a_program_work(servers: Serving, call: str) -> None:
    # The stream stays open, so it is the deadline that ends the call.
    done = run_call(call, {50051: servers.ports["replay"], 50053: servers.ports["price"]})

    assert f'"last_sequence": "{ROWS}"' in done.stdout, done.stderr
    assert "DeadlineExceeded" in done.stderr
    if "with_lag" in call:
        assert '"lag": {' in done.stdout
