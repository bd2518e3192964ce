"""A Redis that would lose ticks is refused, with the reason and the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from services.runtime.connection import connect
from services.runtime.errors import StartRefused
from services.runtime.preflight import RedisFacts, check_redis, objections
from tests.support.log_records import said
from tests.support.ports import free_port
from tests.support.redis_server import RedisForTests

GOOD = RedisFacts(
    version="7.0.15",
    run_id="r",
    role="master",
    maxmemory_policy="noeviction",
    append_only=True,
    append_fsync="everysec",
)


@pytest.mark.parametrize(
    ("change", "live", "reason", "fix"),
    [
        ({"version": "6.2.14"}, False, "Redis 6.2.14 is too old", "use Redis 7.0, Valkey 8.0 or newer"),
        ({"version": "5"}, False, "Redis 5 is too old", "use Redis 7.0, Valkey 8.0 or newer"),
        ({"version": "7.2.4", "valkey_version": "7.2.9"}, False, "Valkey 7.2.9 is too old", "Valkey 8.0 or newer"),
        ({"role": "slave"}, False, "role is 'slave'", "MIDSTREAM_REDIS_URL"),
        ({"maxmemory_policy": "allkeys-lru"}, False, "'allkeys-lru'", "config set maxmemory-policy noeviction"),
        ({"append_only": False}, True, "append-only file is off", "config set appendonly yes"),
        ({"append_fsync": "no"}, True, "appendfsync is 'no'", "config set appendfsync everysec"),
    ],
    ids=["old", "very-old", "old-valkey", "replica", "evicts", "no-aof", "no-fsync"],
)
def test_each_objection_names_reason_and_fix(change: dict[str, object], live: bool, reason: str, fix: str) -> None:
    found = objections(replace(GOOD, **change), live=live)  # type: ignore[arg-type]

    assert len(found) == 1
    assert reason in found[0]
    assert fix in found[0]


def test_all_objections_come_at_once() -> None:
    bad = replace(GOOD, version="6.0.0", role="slave", maxmemory_policy="volatile-ttl", append_only=False)

    assert len(objections(bad, live=True)) == 4


@pytest.mark.parametrize("version", ["7.0.0", "7.0.15", "7.2.4", "8.2.3", "10.0.0"])
def test_supported_versions_pass(version: str) -> None:
    assert objections(replace(GOOD, version=version), live=True) == []


@pytest.mark.parametrize("version", ["8.0.0", "8.1.8", "9.1.2", "10.0.0"])
def test_supported_versions_of_valkey_pass(version: str) -> None:
    assert objections(replace(GOOD, version="7.2.4", valkey_version=version), live=True) == []


def test_append_only_file_matters_for_live_sessions_only() -> None:
    assert objections(replace(GOOD, append_only=False), live=False) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"append_only": False}, "append-only file", id="no-disk"),
        pytest.param({"tells_durable": False}, "WAITAOF", id="cannot-tell"),
        pytest.param({"append_fsync": "no"}, "appendfsync", id="never-syncs"),
    ],
)
def test_what_is_to_be_durable_needs_a_disk_that_tells(change: dict[str, object], said: str) -> None:
    changed = replace(GOOD, **change)  # type: ignore[arg-type]

    assert objections(changed, live=False) == []
    assert [said in reason for reason in objections(changed, live=False, durable=True)] == [True]


@pytest.fixture
def mistreated(new_redis: Callable[..., RedisForTests]) -> Iterator[redis.Redis]:
    client = new_redis().client()
    yield client
    client.close()


def test_real_redis_is_refused_and_accepted_as_its_configuration_changes(mistreated: redis.Redis) -> None:
    assert check_redis(mistreated, live=False).run_id

    mistreated.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StartRefused, match="config set maxmemory-policy noeviction"):
        check_redis(mistreated, live=False)

    mistreated.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(StartRefused, match="config set appendonly yes"):
        check_redis(mistreated, live=True)

    mistreated.config_set("appendonly", "yes")
    assert check_redis(mistreated, live=True).append_fsync == "everysec"

    mistreated.replicaof("127.0.0.1", "1")
    with pytest.raises(StartRefused, match="replicaof no one"):
        check_redis(mistreated, live=False)
    mistreated.replicaof("NO", "ONE")


def test_user_without_config_rights_is_judged_by_info(new_redis: Callable[..., RedisForTests]) -> None:
    server = new_redis()
    admin = server.client()
    admin.config_set("maxmemory-policy", "allkeys-lru")
    admin.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-config")
    client = connect(server.url.replace("unix://", "unix://limited:secret@"), client_name="test")

    with pytest.raises(redis.ResponseError):
        client.config_get("maxmemory-policy")
    with pytest.raises(StartRefused) as caught:
        check_redis(client, live=True)

    assert "allkeys-lru" in str(caught.value)
    assert "append-only file is off" in str(caught.value)
    client.close()
    admin.close()


def test_redis_that_lets_in_whoever_reaches_it_is_warned_about(
    new_redis: Callable[..., RedisForTests], caplog: pytest.LogCaptureFixture
) -> None:
    port = str(free_port())
    client = new_redis(extra=("--port", port, "--bind", "127.0.0.1", "--protected-mode", "no")).client()
    check_redis(client, live=False)
    assert not caplog.records

    # Only said so: the tests listen on loopback.
    answers = {b"bind": b"* -::*"}
    asked = client.config_get
    client.config_get = lambda name: (
        asked(name) | {key: value for key, value in answers.items() if key.decode() == name}
    )  # type: ignore[method-assign]
    check_redis(client, live=False)
    assert "lets in whoever reaches it" in caplog.text
    assert "`requirepass`" in said(caplog.records)[-1][1]["advice"]

    caplog.clear()
    client.config_set("requirepass", "p")
    check_redis(client, live=False)
    client.config_set("requirepass", "")
    client.config_set("protected-mode", "yes")
    check_redis(client, live=False)
    assert not caplog.records
    client.close()
