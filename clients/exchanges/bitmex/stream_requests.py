"""Requests over BitMEX's websocket and their answers, and how many connections may be opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from clients.exchanges.bitmex.json_body import encode
from clients.exchanges.bitmex.signing import STREAM_PATH
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.sockets import AuthRefused, ConnectBudget, OpenFailed, Session, SubscriptionRefused, TextPing

CONNECTIONS_PER_HOUR: Final = 40
"""The lowest of the announced limits that may still hold."""
TOPICS_PER_MESSAGE: Final = 50
TEXT_PING: Final = TextPing(after_s=5.0, timeout_s=5.0)

_SPARE_CONNECTIONS: Final = 2
"""Left in the account's hour, as the greeting says, below which nothing new is opened for a while."""
_HOLD_S: Final = 120.0


async def greet(session: Session, budget: ConnectBudget) -> None:
    """Wait for the greeting, which says how many connections are left; hold further ones back when few are."""
    remaining = await session.expect(_greeting)
    if remaining <= _SPARE_CONNECTIONS:
        budget.hold(_HOLD_S)


async def subscribe(session: Session, topics: Sequence[str]) -> None:
    """Subscribe and wait until every topic has been acknowledged."""
    for start in range(0, len(topics), TOPICS_PER_MESSAGE):
        some = list(topics[start : start + TOPICS_PER_MESSAGE])
        request = encode({"op": "subscribe", "args": some}).decode()
        await session.request(request, _subscribed(set(some)))


def acknowledged(operation: str) -> Callable[[bytes], bool | None]:
    """Return what recognises the answer to an operation without topics and raises its refusal."""

    def match(payload: bytes) -> bool | None:
        message = _control(payload)
        if message is None:
            return None
        _raise_refusal(message, operation)
        request = message.get("request")
        told = isinstance(request, Mapping) and request.get("op") == operation
        return True if told and message.get("success") is True else None

    return match


def stream_url(base: str) -> str:
    """Return the websocket's URL; a base without a path gets the usual one."""
    return base if urlsplit(base).path.strip("/") else base.rstrip("/") + STREAM_PATH


def _subscribed(missing: set[str]) -> Callable[[bytes], bool | None]:
    def match(payload: bytes) -> bool | None:
        message = _control(payload)
        if message is None:
            return None
        _raise_refusal(message, "subscribe")
        if message.get("success") is True:
            missing.discard(str(message.get("subscribe")))
        return not missing or None

    return match


def _greeting(payload: bytes) -> int | None:
    message = _control(payload)
    if message is None:
        return None
    _raise_refusal(message, "connect")
    if "info" not in message:
        return None
    limit = message.get("limit")
    remaining = limit.get("remaining") if isinstance(limit, Mapping) else None
    return remaining if isinstance(remaining, int) else CONNECTIONS_PER_HOUR


def _control(payload: bytes) -> Mapping[str, Any] | None:
    """Return a message that is no table frame; None for those, and for what cannot be read."""
    try:
        message = parse_json(payload)
    except MalformedAnswer:
        return None
    return message if isinstance(message, Mapping) and "table" not in message else None


def _raise_refusal(message: Mapping[str, Any], operation: str) -> None:
    if "error" not in message:
        return
    text = "".join(character for character in str(message["error"]) if character.isprintable())[:200]
    status = message.get("status")
    if status in (401, 403):
        raise AuthRefused(f"{operation} was refused: {text}", status=status)
    if status == 429:
        meta = message.get("meta")
        wait_s = meta.get("retryAfter") if isinstance(meta, Mapping) else None
        raise OpenFailed(
            f"{operation} was refused: {text}",
            status=429,
            retry_after_s=float(wait_s) if isinstance(wait_s, int) else 60.0,
        )
    raise SubscriptionRefused(f"{operation} was refused: {text}")
