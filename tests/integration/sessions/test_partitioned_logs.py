"""Sessions of several partitions, from files to logs: what merge-logs makes of theirs is what a session of one partition writes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from protos.replay.v1 import replay_pb2 as pb
from services.price.merged_logs import merge_logs
from services.runtime.session.keys import SessionKeys
from tests.reference.history import expected_outputs
from tests.support.cli import until
from tests.support.created_sessions import CALL_S, Servers, write_ticks

pytestmark = pytest.mark.long

TICKERS = ("BTC", "ETH", "SOL", "ADA")
ROWS = 800
N = 3


def test_merged_logs_of_partitions_are_those_of_a_session_of_one(
    servers: Callable[..., Servers], data: Path, tmp_path: Path, own_client: redis.Redis
) -> None:
    # One time in all files: their order decides.
    files = [str(write_ticks(data / f"{ticker}.csv", ROWS, ticker=ticker)) for ticker in TICKERS]
    for ticker in TICKERS:
        with (data / f"{ticker}.csv").open("a", encoding="ascii") as file:
            file.write(f"x,2026-01-01 00:00:08.000000,{ticker},no price,1.0,2.0,1.0,5\n")
            file.write(f"x,2026-01-01 00:00:09.000000,{ticker},1.0,1.0,2.0,1.0,50\n")
    rows = len(TICKERS) * (ROWS + 2)
    at = servers(HISTORICAL=",".join(files), PARTITIONS=str(N), SPEED="max")
    at.calls.create("one", files=files, sinks=["price"])
    at.calls.create("several", files=files, sinks=["price"], partitions=N)
    until(lambda: (at.out / "several" / "p0" / "errors.log").exists(), what="the sinks of the partitions")
    # Whatever had been written by then.
    at.price.kill()
    (tmp_path / "price.ready.json").unlink()
    at.price = at.start("price")
    for session in ("own", "one", "several"):
        at.calls.wait_read(session, rows=rows)

    for session in ("one", "several"):
        at.calls.delete(session)
    left = [SessionKeys("several", partition) for partition in range(N)]
    until(lambda: not any(own_client.exists(key) for keys in left for key in keys.everything), what="an empty Redis")
    assert at.price.stop() == 0

    expected = at.log("one", "errors.log"), at.log("one")
    assert [len(log.splitlines()) for log in expected] == [2 * len(TICKERS), len(TICKERS) * ROWS]
    for folder in (at.out, at.out / "several"):
        merge_logs([folder], tmp_path / "merged" / folder.name)
        merged = [(tmp_path / "merged" / folder.name / name).read_bytes() for name in ("errors.log", "mid_prices.log")]
        assert tuple(merged) == expected


def test_price_servers_share_a_created_session_and_its_deletion_waits_for_all_of_them(
    servers: Callable[..., Servers], data: Path, tmp_path: Path, own_client: redis.Redis
) -> None:
    files = [write_ticks(data / f"{ticker}.csv", ROWS, ticker=ticker) for ticker in TICKERS]
    at = servers(HISTORICAL=str(files[0]), OWNER="a")
    (tmp_path / "b").mkdir()
    other = at.start("price", tmp_path / "b", OWNER="b")
    places = [at.out / "several", tmp_path / "b" / "out" / "several"]
    at.calls.create("several", files=files, sinks=["price"], partitions=N, speed=1.0)
    until(lambda: all(list(place.glob("p?/mid_prices.log")) for place in places), what="logs of both servers")
    at.calls.wait_read("several", rows=len(TICKERS) * ROWS)

    answer = at.calls.stub.DeleteSession(pb.DeleteSessionRequest(session="several"), timeout=CALL_S)

    assert sorted(logs.directory for logs in answer.logs) == sorted(map(str, places))
    assert {(logs.sink, logs.host) for logs in answer.logs} == {("price", socket.gethostname())}
    left = [SessionKeys("several", partition) for partition in range(N)]
    until(lambda: not any(own_client.exists(key) for keys in left for key in keys.everything), what="an empty Redis")
    assert (at.price.stop(), other.stop()) == (0, 0)
    merge_logs(places, tmp_path / "merged")
    assert (tmp_path / "merged" / "mid_prices.log").read_bytes() == expected_outputs(files).mid_log
