"""A crowd of subscribers and callers while servers are restarted: nothing lost, nothing doubled, nothing untrue said."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.support.crowd import Crowd, write_bursts
from tests.support.serving import Serving, serving
from tests.support.waiting import until

PATIENCE_S = 300.0
SERVERS = ("replay", "control", "price")
EVERY_RESTART = [(name, number) for name in SERVERS for number in (signal.SIGKILL, signal.SIGTERM)]
SOME_RESTARTS = [("replay", signal.SIGKILL), ("price", signal.SIGTERM), ("control", signal.SIGKILL)]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("subscribers", "calls", "restarts", "bursts"),
    [
        pytest.param(120, 480, SOME_RESTARTS, 60, id="120"),
        pytest.param(1_000, 1_000, EVERY_RESTART, 240, id="1000", marks=pytest.mark.timeout(900)),
    ],
)
def test_a_crowd_gets_everything_although_servers_are_restarted(
    tmp_path: Path, subscribers: int, calls: int, restarts: list[tuple[str, signal.Signals]], bursts: int
) -> None:
    rows = write_bursts(tmp_path / "bursts.csv", bursts, step_ms=250)
    with serving(tmp_path / "out", SERVERS, HISTORICAL=str(tmp_path / "bursts.csv"), SPEED="1") as servers:
        crowd = asyncio.run(visit(servers, rows, subscribers, calls, restarts))
        servers.wait_committed(rows)
        mids = (servers.out / "mid_prices.log").read_text().splitlines()

    print("told:", crowd.told)  # noqa: T201  (shown when the test fails)
    assert crowd.finished == subscribers
    assert len(crowd.epochs) == 1
    assert [line.partition(", ")[2] for line in mids] == [repr(row + 0.5) for row in range(1, rows + 1)]
    # Redis was there all the time, and so was room.
    untrue = [told for told in crowd.told if "Redis" in told[2] or told[1] != "UNAVAILABLE"]
    assert untrue == []


async def visit(
    servers: Serving, rows: int, subscribers: int, calls: int, restarts: list[tuple[str, signal.Signals]]
) -> Crowd:
    """Subscribe everybody; restart servers while as many calls are made at once; wait until everybody has everything."""
    addresses = {name: servers.address(name) for name in SERVERS}
    async with Crowd.connected(rows, addresses) as crowd, asyncio.TaskGroup() as group:
        for number in range(subscribers):
            subscribe = crowd.subscribe_to_ticks if number % 2 else crowd.subscribe_to_mids
            group.create_task(subscribe(number))
        for part, (name, how) in zip(count(1), restarts):
            # Spread over the session, so that records are published during every restart.
            least = rows * part // (len(restarts) + 1)
            await until(partial(crowd.has_reached, least), what="progress", timeout_s=PATIENCE_S)
            await crowd.call_all_at_once(calls)
            storm = asyncio.create_task(crowd.call_all_at_once(calls))
            before = servers.server_pid(name)
            # In the midst of them: some have their answers, some are with the server, some are on their way.
            some = crowd.answered + calls // 10
            await until(partial(crowd.has_answered, some), what="answers", timeout_s=PATIENCE_S)
            os.kill(before, how)
            await storm
            await until(partial(serves_again, servers, name, before), what=f"the new {name}", timeout_s=PATIENCE_S)
    return crowd


def serves_again(servers: Serving, name: str, before: int) -> bool:
    """Tell whether a server serves as another process."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return servers.server_pid(name) != before
    return False
