"""Look at a Redis before trusting it with a queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

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
    open_to_all: bool = False
    """It listens on every address, without a password and without its protected mode."""


def check_redis(client: redis.Redis, *, live: bool) -> RedisFacts:
    """Return the facts; raise StartRefused with every reason and its fix when this Redis would lose ticks.

    `live` says that ticks may pass which exist nowhere else: then an append-only file is a condition. Connection
    errors pass through as redis-py raises them.
    """
    facts = read_facts(client)
    reasons = objections(facts, live=live)
    if reasons:
        raise StartRefused("Redis refused: " + "; ".join(reasons))
    if facts.open_to_all:
        # Not refused: inside of a container this is how it is, and who reaches the container is decided outside of it.
        logger.warning(
            "redis lets in whoever reaches it",
            extra=fields(
                reason="it listens on every address without a password",
                advice="set one (`requirepass`), or have it listen on 127.0.0.1 only (`bind`)",
            ),
        )
    return facts


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
        open_to_all=_listens_to_all(configured),
    )


def objections(facts: RedisFacts, *, live: bool) -> list[str]:
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
    if live and facts.append_only and facts.append_fsync == "no":
        reasons.append(
            "appendfsync is 'no', which may lose more than the last second; "
            "run `redis-cli config set appendfsync everysec`"
        )
    return reasons


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
