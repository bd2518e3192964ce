"""Look at a Redis before trusting it with a queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from services.runtime.addresses import host_and_port
from services.runtime.cluster.slots import NotACluster
from services.runtime.connection import is_cluster, servers
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields
from services.runtime.redis_binary import REDIS_MIN, VALKEY_MIN

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RedisFacts:
    """What INFO said."""

    version: str
    """The version of Redis that it is compatible with."""
    run_id: str
    role: str
    maxmemory_policy: str
    append_only: bool
    append_fsync: str
    """Empty when an ACL hides the configuration."""
    valkey_version: str = ""
    """Empty when it is a Redis."""
    tells_durable: bool = True
    """It knows WAITAOF, so it can say what its disk has."""
    open_to_all: bool = False
    """It listens on every address, without a password and without its protected mode."""
    cluster_enabled: bool = False
    """It is a node of a cluster."""


@dataclass(frozen=True)
class Inspected:
    """One server that keys may be on, and what speaks against it."""

    address: str
    """Where it is, for people; empty where there is only one."""
    facts: RedisFacts
    objections: list[str]


def check_redis(client: redis.Redis, *, live: bool, durable: bool = False) -> RedisFacts:
    """Return the facts; raise StartRefused with every reason and its fix when this Redis would lose ticks.

    `live` says that ticks may pass which exist nowhere else: then an append-only file is a condition. `durable`
    says that nothing counts before its disk has it. Connection errors pass through as redis-py raises them. Of a cluster, see
    `inspect`; the facts are those of one primary then.
    """
    found = inspect(client, live=live, durable=durable)
    for each in found:
        if each.objections:
            raise StartRefused(
                f"Redis {each.address + ' ' if each.address else ''}refused: " + "; ".join(each.objections)
            )
    for each in found:
        if each.facts.open_to_all:
            # Not refused: inside of a container this is how it is, and who reaches the container is decided outside of it.
            logger.warning(
                "redis lets in whoever reaches it",
                extra=fields(
                    reason="it listens on every address without a password",
                    advice="set one (`requirepass`), or have it listen on 127.0.0.1 only (`bind`)",
                    **({"node": each.address} if each.address else {}),
                ),
            )
    return found[0].facts


def inspect(client: redis.Redis, *, live: bool, durable: bool = False) -> list[Inspected]:
    """Look at the Redis, or at every primary of a cluster, as a slot may move to each of them.

    A primary that does not answer is left out as long as another one does: it holds up only those whose keys it has.
    """
    try:
        nodes = servers(client)
    except NotACluster as exc:
        raise StartRefused(f"Redis refused: {exc}") from exc
    clustered, found, failure = is_cluster(client), [], None
    for node in nodes:
        try:
            facts = read_facts(node)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as exc:
            failure = exc
            continue
        against = objections(facts, live=live, durable=durable)
        if facts.cluster_enabled and not clustered:
            against.insert(0, _cluster_url_needed(node))
        found.append(Inspected(_address_of(node) if clustered else "", facts, against))
    if not found:
        raise failure or redis.ConnectionError("no slot of the cluster has a primary")
    return found


def _address_of(node: redis.Redis) -> str:
    reached = node.connection_pool.connection_kwargs
    return host_and_port(reached["host"], reached["port"]) if "host" in reached else str(reached.get("path", ""))


def _cluster_url_needed(node: redis.Redis) -> str:
    at = _address_of(node)
    scheme = "rediss" if issubclass(node.connection_pool.connection_class, redis.SSLConnection) else "redis"
    return (
        f"{at} is a node of a cluster, and other nodes have other keys; "
        f"write {scheme}+cluster://{at} instead of {scheme}://{at}, with more of its nodes behind a comma"
    )


def read_facts(client: redis.Redis) -> RedisFacts:
    """Ask INFO, and CONFIG where it is allowed."""
    fields = _lowered(cast("dict[Any, Any]", client.info("everything")))
    configured = _configuration(client)
    return RedisFacts(
        version=str(fields.get("redis_version", "0")),
        run_id=str(fields.get("run_id", "")),
        role=str(fields.get("role", "")),
        # Both are in INFO as well, for users whose ACL denies CONFIG.
        maxmemory_policy=configured.get("maxmemory-policy", str(fields.get("maxmemory_policy", ""))),
        append_only=configured.get("appendonly", "yes" if str(fields.get("aof_enabled", "0")) == "1" else "no")
        == "yes",
        append_fsync=configured.get("appendfsync", ""),
        valkey_version=str(fields.get("valkey_version", "")),
        tells_durable=_knows(client, "WAITAOF"),
        open_to_all=_listens_to_all(configured),
        cluster_enabled=str(fields.get("cluster_enabled", "0")) == "1",
    )


def objections(facts: RedisFacts, *, live: bool, durable: bool = False) -> list[str]:
    """Return what speaks against this Redis, each with its fix; empty is good."""
    reasons: list[str] = []
    name, version, oldest = (
        ("Valkey", facts.valkey_version, VALKEY_MIN) if facts.valkey_version else ("Redis", facts.version, REDIS_MIN)
    )
    if _version(version) < oldest:
        reasons.append(
            f"{name} {version} is too old; use Redis {_dotted(REDIS_MIN)}, Valkey {_dotted(VALKEY_MIN)} or newer "
            "(Valkey 9 is the reference)"
        )
    if facts.role != "master":
        reasons.append(
            f"role is {facts.role!r}, a replica refuses writes and may lose them; "
            "set MIDSTREAM_REDIS_URL to the master or run `redis-cli replicaof no one`"
        )
    if facts.maxmemory_policy != "noeviction":
        reasons.append(
            f"maxmemory-policy is {facts.maxmemory_policy!r}, which throws away unread ticks when memory is short; "
            "run `redis-cli config set maxmemory-policy noeviction`"
        )
    if live and not facts.append_only:
        reasons.append(
            "the append-only file is off and live ticks exist only once; "
            "run `redis-cli config set appendonly yes`, or unset MIDSTREAM_LIVE_URL"
        )
    if durable and not (facts.append_only and facts.tells_durable):
        reasons.append(
            "MIDSTREAM_ACKNOWLEDGED=durable needs the append-only file and WAITAOF (Redis 7.2, Valkey 8); run `redis-cli config set "
            "appendonly yes`, or set MIDSTREAM_DURABLE_ENGINE=true where the engine itself promises it (MemoryDB)"
        )
    if (live or durable) and facts.append_only and facts.append_fsync == "no":
        reasons.append(
            "appendfsync is 'no', which may lose more than the last second; "
            "run `redis-cli config set appendfsync everysec`"
        )
    return reasons


def _knows(client: redis.Redis, command: str) -> bool:
    try:
        return cast("Any", client).execute_command("COMMAND INFO", command)[0] is not None
    except redis.ResponseError:
        # Whoever may not ask finds out by using it.
        return True


def _configuration(client: redis.Redis) -> dict[str, str]:
    answers: dict[str, str] = {}
    for name in ("maxmemory-policy", "appendonly", "appendfsync", "port", "bind", "protected-mode", "requirepass"):
        try:
            answers.update(_lowered(cast("dict[Any, Any]", client.config_get(name))))
        except redis.ResponseError:
            # NOPERM, or a managed Redis that renamed CONFIG: INFO has the essential fields.
            return {}
    return answers


def _listens_to_all(configured: Mapping[str, str]) -> bool:
    # A dash means that an address which is not there is no error; no address at all means every one.
    addresses = {address.removeprefix("-") for address in configured.get("bind", "127.0.0.1").split()} or {"*"}
    return (
        configured.get("port", "0") != "0"
        and bool(addresses & {"*", "0.0.0.0", "::", "::*"})
        and configured.get("protected-mode", "yes") == "no"
        and not configured.get("requirepass", "")
    )


def _lowered(fields: dict[Any, Any]) -> dict[str, Any]:
    return {_text(key).lower(): _text(value) if isinstance(value, bytes) else value for key, value in fields.items()}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major) if major.isdecimal() else 0, int(minor) if minor.isdecimal() else 0)
