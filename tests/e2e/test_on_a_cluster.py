"""The servers on a real cluster: what they leave is what one Redis gives, whatever the cluster does meanwhile."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import grpc
import pytest

from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1.replay_pb2 import GetSessionRequest
from services.price.merged_logs import merge_logs
from services.runtime.connection import connect
from services.runtime.session.keys import SessionKeys
from tests.reference.history import Expected, expected_outputs
from tests.support.cli import ROOT, until
from tests.support.history_files import Quirks, history_text
from tests.support.redis_cluster import RedisClusterForTests
from tests.support.serving import CALL_S, Serving, sequences, serving
from tests.support.slot_watch import slots_watched
from tests.support.switching import assert_logs_hold_history_with_live_inside, switch

# A minute together.
pytestmark = pytest.mark.long

SEED = 15
ROWS = 6_000
SAMPLE = ROOT / "data" / "historical_sample.csv"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Expected]:
    """A file of six seconds, and what has to become of it."""
    print(f"seed {SEED}")  # noqa: T201  (shown when the test fails)
    path = tmp_path_factory.mktemp("history") / "history.csv"
    path.write_bytes(history_text(random.Random(SEED), Quirks(rows=ROWS, negative=0.05, step_us=1000)))
    return path, expected_outputs([path])


def assert_logs(out: Path, expected: Expected) -> None:
    assert (out / "mid_prices.log").read_bytes() == expected.mid_log
    assert (out / "errors.log").read_bytes() == expected.error_log


def finish(servers: Serving, expected: Expected) -> None:
    """Wait for the end, and read the stream from its beginning."""
    last = servers.wait_state("COMPLETED", timeout_s=60.0)["last_sequence"]
    servers.wait_committed(last, timeout_s=60.0)

    def read() -> list[TickBatch]:
        try:
            return servers.stream(after_sequence=0, to=last)
        except grpc.RpcError as exc:
            # Whoever calls first behind a change of primaries is told to call again.
            if exc.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return []

    assert sequences(until(read, what="the stream")) == list(range(1, len(expected.sequence) + 1))


def test_everything_that_servers_do_stays_in_one_slot_each_time(
    tmp_path: Path, redis_cluster: RedisClusterForTests, history: tuple[Path, Expected]
) -> None:
    path, expected = history
    sample = Path(shutil.copy(SAMPLE, path.parent))
    settings = {"HISTORICAL": str(path), "SPEED": "2", "DATA": str(path.parent), "REDIS_URL": redis_cluster.url}
    with slots_watched(redis_cluster) as watch, serving(tmp_path / "out", **settings) as servers:
        servers.wait_committed(len(expected.sequence) // 10)
        with servers.control() as control:
            control.pause()
            control.resume()
            control.set_speed(0)
            assert control.state().session == "default"
        told = servers.replay.GetSession(GetSessionRequest(session="default"), timeout=CALL_S)
        assert told.session.name == "default"
        finish(servers, expected)
        created = servers.midstream("session", "create", str(sample), "--name", "mine")
        assert created.code == 0, created.stderr
        log = tmp_path / "out" / "mine" / "mid_prices.log"
        until(
            lambda: servers.midstream("session", "show", "mine").stdout.count("completed"), what="the created session"
        )
        wanted = expected_outputs([sample]).mid_log
        until(lambda: log.exists() and log.read_bytes() == wanted, what="the created session's logs")
        deleted = servers.midstream("session", "delete", "mine")
        assert deleted.code == 0, deleted.stderr
        until(lambda: not keys_left(redis_cluster, "mine"), what="the end of the created session's keys")
        split = servers.midstream("session", "create", str(sample), "--name", "split", "--partitions", "3")
        assert split.code == 0, split.stderr
        records = len(expected_outputs([sample]).sequence)
        until(lambda: committed(redis_cluster, "split") == records, what="the logs of all partitions")
        assert servers.midstream("session", "delete", "split").code == 0
        until(lambda: not keys_left(redis_cluster, "split"), what="the end of the keys of all partitions")
        assert set(servers.statuses().values()) == {1}, servers.statuses()
    assert_logs(tmp_path / "out", expected)
    merge_logs([tmp_path / "out" / "split"], tmp_path / "merged")
    assert_logs(tmp_path / "merged", expected_outputs([sample]))

    assert watch.crossing == []
    assert watch.transactions > 50, watch.commands
    assert {"WATCH", "XADD", "XREADGROUP", "DEL", "SADD"} <= set(watch.commands)
    for node in redis_cluster.nodes:
        assert b"CROSSSLOT" not in node.ask("INFO", "errorstats")


def committed(cluster: RedisClusterForTests, session: str) -> int:
    """Add up how far the sinks of three partitions are."""
    with connect(cluster.url, client_name="test") as client:
        stored = [client.hget(SessionKeys(session, partition).sinks, "price") for partition in range(3)]
    return sum(int(json.loads(each)["sequence"]) for each in stored if each)


def keys_left(cluster: RedisClusterForTests, session: str) -> list[bytes]:
    """Return the keys of a session on any node."""
    patterns = (f"midstream:{{{session}}}:*", f"midstream:{{{session}/*}}:*")
    return [key for node in cluster.nodes for pattern in patterns for key in node.ask("KEYS", pattern)]


@pytest.mark.cases(1)
@pytest.mark.parametrize("event", ["failover", "migration", "kill"])
def test_history_is_the_same_when_the_cluster_changes_in_the_midst(
    event: str, tmp_path: Path, redis_cluster: RedisClusterForTests, history: tuple[Path, Expected]
) -> None:
    path, expected = history
    keys = SessionKeys("default")
    with serving(tmp_path / "out", HISTORICAL=str(path), SPEED="1", REDIS_URL=redis_cluster.url) as servers:
        assert servers.wait_committed(len(expected.sequence) // 5)["sequence"] < len(expected.sequence) // 2
        for key in (keys.ticks, keys.control):
            if event == "failover":
                redis_cluster.failover(key)
            elif event == "migration":
                redis_cluster.migrate_slot(key, redis_cluster.other_primary(key))
            elif key == keys.ticks:
                redis_cluster.kill(redis_cluster.primary_of(key))
        finish(servers, expected)
    assert_logs(tmp_path / "out", expected)


def test_switch_to_live_and_back_goes_through_a_failover(
    tmp_path: Path, redis_cluster: RedisClusterForTests, history: tuple[Path, Expected]
) -> None:
    path, expected = history
    keys = SessionKeys("default")
    with serving(tmp_path / "out", HISTORICAL=str(path), SPEED="1", REDIS_URL=redis_cluster.url) as servers:
        servers.wait_committed(len(expected.sequence) // 10)
        live_from = switch(servers, "live")
        servers.wait_committed(live_from + 50)
        redis_cluster.failover(keys.ticks)
        servers.wait_committed(servers.sink()["sequence"] + 100)
        until(lambda: switched_back(servers), what="the way back")
        last = servers.wait_state("COMPLETED", timeout_s=60.0)["last_sequence"]
        servers.wait_committed(last, timeout_s=60.0)
    assert_logs_hold_history_with_live_inside(tmp_path / "out", expected)


def switched_back(servers: Serving) -> bool:
    try:
        return bool(switch(servers, "historical"))
    except grpc.RpcError as exc:
        if exc.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
