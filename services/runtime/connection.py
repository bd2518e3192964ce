"""Connections to Redis that never retry behind our back.

redis-py retries by default. A retried XADD whose first reply was lost doubles an entry, a retried XREADGROUP loses one;
every caller here decides for itself what a failure means.
"""

from __future__ import annotations

import re
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.runtime.errors import Refused

_PASSWORD: Final = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^:@/\s]*):\S+@", re.IGNORECASE)
_QUERY_PASSWORD: Final = re.compile(r"(?P<name>[?&](?:password|ssl_password)=)[^&\s]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return `text` with the password of every URL in it replaced by `***`."""
    text = _PASSWORD.sub(r"\g<scheme>\g<user>:***@", text)
    return _QUERY_PASSWORD.sub(r"\g<name>***", text)


def connect(url: str, *, client_name: str, timeout_s: float = 5.0) -> redis.Redis:
    """Return a client for threads; nothing is sent before the first command.

    Replies are bytes. `timeout_s` bounds connecting and every reply, so BLOCK must stay below it.
    """
    try:
        return redis.Redis.from_url(url, **_options(client_name, timeout_s), retry=Retry(NoBackoff(), 0))
    except ValueError as exc:
        raise _unusable(url, exc) from exc


def connect_async(url: str, *, client_name: str, timeout_s: float = 5.0) -> redis.asyncio.Redis:
    """Return a client for one event loop; as `connect` otherwise. End it with `await client.aclose()`."""
    try:
        return redis.asyncio.Redis.from_url(url, **_options(client_name, timeout_s), retry=AsyncRetry(NoBackoff(), 0))
    except ValueError as exc:
        raise _unusable(url, exc) from exc


def _options(client_name: str, timeout_s: float) -> dict[str, Any]:
    return {
        "client_name": client_name,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "decode_responses": False,
        # RESP2: the replies have the same shape on 6.2 and 7, and no push messages arrive between them.
        "protocol": 2,
        "health_check_interval": 0,
    }


def _unusable(url: str, exc: ValueError) -> Refused:
    return Refused(
        f"MIDSTREAM_REDIS_URL: {redacted(url)!r} is not usable ({redacted(str(exc)).strip()}); "
        "use redis://HOST:PORT/0, rediss://HOST:PORT/0 or unix:///path/to/socket"
    )
