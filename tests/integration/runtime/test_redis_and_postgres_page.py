"""docs/redis_and_postgres.md tells the truth: its user may do what is needed, and its settings are taken."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from pydantic import TypeAdapter

from clients.database import DatabaseUrl
from clients.resilience.limiter import LimitRule, ScopeRules
from clients.resilience.limiter_redis import redis_limiter
from services.control.journal import ControlJournal, InEffect
from services.replay.config import ReplaySettings
from services.replay.queue import Level, SinkExpectation
from services.replay.queue.errors import RedisRefused
from services.runtime.clock import SystemClock
from services.runtime.cluster.slots import node_urls
from services.runtime.connection import connect, connect_async
from services.runtime.redis_data import ENGINE_FILE
from services.runtime.session.intents import Intent, SetSpeed
from services.runtime.session.keys import SessionKeys
from services.runtime.settings import SessionSettings, load
from tests.integration.replay.queue.harness import Reader, producing
from tests.reference.history import expected_outputs
from tests.support.cli import midstream
from tests.support.imports import ROOT
from tests.support.redis_cluster import RedisClusterForTests
from tests.support.redis_server import RedisForTests, says_what_disks_have
from tests.support.replicated_redis import ReplicatedRedis

PAGE = (ROOT / "docs" / "redis_and_postgres.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    [found] = [each for each in blocks if containing in each]
    return str(found)


@pytest.fixture
def limited_url(new_redis: Callable[..., RedisForTests]) -> str:
    """A Redis that lets in the user of the page and nobody else."""
    server = new_redis()
    admin = server.client()
    admin.execute_command(*block("redis", "ACL SETUSER").split())
    admin.execute_command("ACL", "SETUSER", "default", "off")
    admin.close()
    return server.url.replace("unix://", "unix://midstream:CHANGE-ME@")


async def test_user_of_the_page_may_do_what_servers_do(limited_url: str, session_name: str, tmp_path: Path) -> None:
    client = connect(limited_url, client_name="test")
    sinks = SinkExpectation(names=("price",), grace_s=0.1)
    with producing(limited_url, session_name, sinks=sinks) as producer:
        reader = Reader(client, producer.keys, "price")
        producer.publish_all(3)
        while reader.read():
            pass
        client.xdel(producer.keys.ticks, "0-21")
        # As after a restart: measured, written anew, and the lease is looked at.
        producer.adopt()
        producer.publish_all(2)
        producer.publisher._wire.close()
        producer.publish_all(2)
    client.close()

    other = connect_async(limited_url, client_name="test")
    journal = ControlJournal(other, clock=SystemClock(), archive_directory=tmp_path)
    intent = Intent(SetSpeed(2.0), correlation_id="c")
    assert (await journal.append(SessionKeys(session_name), intent, effect=InEffect())).revision == 1
    limiter = redis_limiter(other, [ScopeRules("s", (LimitRule("w", 10, 60.0),))], namespace="test")
    await limiter.fill()
    assert not limiter.degraded
    await limiter.close()
    await other.aclose()


def test_user_of_the_page_may_replay(limited_url: str, tmp_path: Path) -> None:
    sample = ROOT / "data" / "historical_sample.csv"

    done = midstream("replay", sample, "--speed", "max", "--out", tmp_path / "out", "--redis-url", limited_url)

    assert done.code == 0, done.stderr
    assert (tmp_path / "out" / "mid_prices.log").stat().st_size > 0


def test_user_of_the_page_may_not_do_more(limited_url: str) -> None:
    client = connect(limited_url, client_name="test")

    for command in (
        "FLUSHALL",
        "CONFIG SET maxmemory 1",
        "SET other 1",
        "SHUTDOWN",
        "ACL WHOAMI",
        "KEYS *",
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())
    client.close()


def test_settings_of_the_page_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = block("ini", "MIDSTREAM_REDIS_CA") + block("ini", "MIDSTREAM_DATABASE_URL")
    for name in set(re.findall(r"/etc/midstream/([\w-]+\.pem)", said)):
        (tmp_path / name).touch()
    values = dict(line.split("=", 1) for line in said.replace("/etc/midstream", str(tmp_path)).splitlines())
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    assert load(SessionSettings).redis_url.count("ssl_") == 3
    assert TypeAdapter(DatabaseUrl).validate_python(values["MIDSTREAM_DATABASE_URL"])
    of_a_cluster = block("ini", "+cluster://").strip().partition("=")[2]
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", of_a_cluster)
    assert [node.count("ssl_") for node in node_urls(load(SessionSettings).redis_url)] == [3, 3, 3]


def test_user_of_the_page_may_replay_on_a_cluster(redis_cluster: RedisClusterForTests, tmp_path: Path) -> None:
    assert "`+cluster|slots +asking`" in PAGE
    for node in redis_cluster.nodes:
        node.ask(*block("redis", "ACL SETUSER").split(), "+cluster|slots", "+asking")
    url = redis_cluster.url.replace("://", "://midstream:CHANGE-ME@")
    sample = ROOT / "data" / "historical_sample.csv"

    try:
        # The second one makes room for itself first.
        for name in ("first", "second"):
            done = midstream("replay", sample, "--speed", "max", "--out", tmp_path / name, "--redis-url", url)
            assert done.code == 0, done.stderr
    finally:
        for node in redis_cluster.nodes:
            node.ask("ACL", "DELUSER", "midstream")

    first, second = ((tmp_path / name / "mid_prices.log").read_bytes() for name in ("first", "second"))
    assert first == second == expected_outputs([sample]).mid_log


def test_files_of_the_page_are_those_of_the_product() -> None:
    assert f"`{ENGINE_FILE}`" in PAGE


def test_levels_of_the_page_are_those_of_the_setting() -> None:
    section = PAGE.partition("## What acknowledged means")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [level.value for level in Level]


def test_level_of_the_page_is_taken_and_kept_by_a_redis_that_is_set_so(
    tmp_path: Path, session_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in block("ini", "MIDSTREAM_ACKNOWLEDGED").splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    monkeypatch.setenv("MIDSTREAM_REDIS_URL", "redis://127.0.0.1:6379/0")
    settings = load(ReplaySettings)
    assert not settings.durable_engine
    servers = ReplicatedRedis(tmp_path, append_only=True)
    try:
        with servers.primary.client() as client:
            for line in block("conf", "min-replicas-to-write").splitlines():
                client.config_set(*line.split())
            knows_disks = says_what_disks_have(client)

        with producing(servers.url, session_name, acknowledged=Level(settings.acknowledged)) as producer:
            producer.publish_all(3)

            assert producer.publisher.acknowledged
        # An engine of the page's lowest version is told which one it takes.
        refused = contextlib.nullcontext() if knows_disks else pytest.raises(RedisRefused, match=r"Redis 7\.2")
        with refused, producing(servers.url, session_name, seed=2, acknowledged=Level.DURABLE) as producer:
            producer.publish_all(3)

            assert producer.publisher.acknowledged
    finally:
        servers.close()
