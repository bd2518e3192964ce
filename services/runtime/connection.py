"""Connections to Redis that never retry behind our back.

redis-py retries by default. A retried XADD whose first reply was lost doubles an entry, a retried XREADGROUP loses one;
every caller here decides for itself what a failure means.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any, Final, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.runtime.cluster.slots import URL_FORMS, is_cluster_url
from services.runtime.errors import StartRefused
from services.runtime.redis_tls import VERSION_MIN, Endpoint, TlsTrouble

CONNECTIONS_MAX: Final = 64
"""Connections of one client of an event loop. More calls than that wait for one; redis-py by itself would refuse them."""

_PASSWORD: Final = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^:@/\s]*):\S+@", re.IGNORECASE)
_QUERY_PASSWORD: Final = re.compile(r"(?P<name>[?&](?:password|ssl_password)=)[^&\s]+", re.IGNORECASE)


class ConnectionsBusy(redis.ConnectionError):
    """No connection became free in time, though Redis may be well."""


def redacted(text: str) -> str:
    """Return `text` with the password of every URL in it replaced by `***`."""
    text = _PASSWORD.sub(r"\g<scheme>\g<user>:***@", text)
    return _QUERY_PASSWORD.sub(r"\g<name>***", text)


def connect(url: str, *, client_name: str, timeout_s: float = 5.0) -> redis.Redis:
    """Return a client for threads; nothing is sent before the first command.

    Replies are bytes. `timeout_s` bounds connecting and every reply, so BLOCK must stay below it.
    """
    if is_cluster_url(url):
        from services.runtime.cluster.client import ClusterClient

        try:
            return ClusterClient(url, partial(connect, client_name=client_name, timeout_s=timeout_s))
        except ValueError as exc:
            raise _unusable(url, exc) from exc
    try:
        client = redis.Redis.from_url(url, **_options(client_name, timeout_s), retry=Retry(NoBackoff(), 0))
    except ValueError as exc:
        raise _unusable(url, exc) from exc
    client.connection_pool.connection_class = explaining(client.connection_pool.connection_class)
    return client


def connect_async(url: str, *, client_name: str, timeout_s: float = 5.0) -> redis.asyncio.Redis:
    """Return a client for one event loop; as `connect` otherwise. End it with `await client.aclose()`.

    At most CONNECTIONS_MAX commands are under way at once. Others wait up to `timeout_s` for a connection, then raise
    ConnectionsBusy. Of a cluster, that goes for each node.
    """
    if is_cluster_url(url):
        from services.runtime.cluster.client_async import AsyncClusterClient

        try:
            return AsyncClusterClient(url, partial(connect_async, client_name=client_name, timeout_s=timeout_s))
        except ValueError as exc:
            raise _unusable(url, exc) from exc
    try:
        pool = _WaitingPool.from_url(
            url,
            **_options(client_name, timeout_s),
            retry=AsyncRetry(NoBackoff(), 0),
            max_connections=CONNECTIONS_MAX,
            timeout=timeout_s,
        )
    except ValueError as exc:
        raise _unusable(url, exc) from exc
    pool.connection_class = explaining(pool.connection_class)
    return redis.asyncio.Redis.from_pool(pool)


def is_cluster(client: redis.Redis | redis.asyncio.Redis) -> bool:
    """Tell whether a client is one of a cluster."""
    return hasattr(client, "node_of")


def at(client: redis.Redis, key: str) -> redis.Redis:
    """Return the client for what is about the server that has a key (INFO, CLIENT LIST) or a connection of its own to it."""
    return cast("Any", client).node_of(key) if is_cluster(client) else client


async def at_async(client: redis.asyncio.Redis, key: str) -> redis.asyncio.Redis:
    """As `at`, for an event loop."""
    return await cast("Any", client).node_of(key) if is_cluster(client) else client


def servers(client: redis.Redis) -> list[redis.Redis]:
    """Return a client of each server that keys may be on: the primaries of a cluster, or the one Redis."""
    return cast("Any", client).primaries() if is_cluster(client) else [client]


async def servers_async(client: redis.asyncio.Redis) -> list[redis.asyncio.Redis]:
    """As `servers`, for an event loop."""
    return await cast("Any", client).primaries() if is_cluster(client) else [client]


def drop_connections(client: redis.Redis) -> None:
    """Close every connection of a client; the next command opens one again."""
    if is_cluster(client):
        cast("Any", client).disconnect()
    else:
        client.connection_pool.disconnect()


def explaining(connection_class: Any) -> Any:
    """Return the class of connections to use for one that redis-py names: it says what is wrong with TLS, where that is it."""
    return _KINDS.get(connection_class, connection_class)


def _worth_a_look(connection: Any, error: Exception) -> bool:
    """Tell whether TLS may be why a connection failed: not where nobody listens, or where Redis itself has answered."""
    if isinstance(error.__context__, ConnectionRefusedError):
        return False
    return type(error) is redis.ConnectionError or (
        type(error) is redis.TimeoutError and hasattr(connection, "ca_certs")
    )


class _Explaining:
    """Says what is wrong with TLS where that is why it cannot connect."""

    def connect_check_health(self, *arguments: Any, **options: Any) -> None:
        try:
            super().connect_check_health(*arguments, **options)  # type: ignore[misc]
        except (redis.ConnectionError, redis.TimeoutError) as exc:
            found = Endpoint.of(self).trouble() if _worth_a_look(self, exc) else ""
            if found:
                raise TlsTrouble(found) from exc
            raise


class _ExplainingAsync:
    """As `_Explaining`, for an event loop."""

    async def connect_check_health(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().connect_check_health(*arguments, **options)  # type: ignore[misc]
        except (redis.ConnectionError, redis.TimeoutError) as exc:
            found = await asyncio.to_thread(Endpoint.of(self).trouble) if _worth_a_look(self, exc) else ""
            if found:
                raise TlsTrouble(found) from exc
            raise


def _floored(options: dict[str, Any]) -> dict[str, Any]:
    return options | {"ssl_min_version": max(VERSION_MIN, options.get("ssl_min_version") or VERSION_MIN)}


class _Plain(_Explaining, redis.Connection):
    pass


class _Tls(_Explaining, redis.SSLConnection):
    def __init__(self, **options: Any) -> None:
        super().__init__(**_floored(options))


class _PlainAsync(_ExplainingAsync, redis.asyncio.Connection):
    pass


class _TlsAsync(_ExplainingAsync, redis.asyncio.SSLConnection):
    def __init__(self, **options: Any) -> None:
        super().__init__(**_floored(options))


_KINDS: Final[dict[Any, Any]] = {
    redis.Connection: _Plain,
    redis.SSLConnection: _Tls,
    redis.asyncio.Connection: _PlainAsync,
    redis.asyncio.SSLConnection: _TlsAsync,
}


class _WaitingPool(redis.asyncio.BlockingConnectionPool):
    """Says that it is the pool that is busy, where redis-py speaks of a lost connection."""

    async def get_connection(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().get_connection(*arguments, **options)  # type: ignore[no-untyped-call]
        except redis.ConnectionError as exc:
            if isinstance(exc.__cause__, TimeoutError) and not self.can_get_connection():
                raise ConnectionsBusy(
                    f"{self.max_connections} calls are waiting for Redis already; retry with backoff"
                ) from exc
            raise


def _options(client_name: str, timeout_s: float) -> dict[str, Any]:
    return {
        "client_name": client_name,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "decode_responses": False,
        # RESP2: the replies have the same shape on 6.2 and 7, and no push messages arrive between them.
        "protocol": 2,
        "health_check_interval": 0,
        # Each connection would look its library's version up among the installed packages, which is most of what connecting costs.
        "driver_info": None,
    }


def _unusable(url: str, exc: ValueError) -> StartRefused:
    return StartRefused(
        f"MIDSTREAM_REDIS_URL: {redacted(url)!r} is not usable ({redacted(str(exc)).strip()}); use {URL_FORMS}"
    )
