"""Requests over Bybit's websockets and their answers, whose fields have two spellings."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

from clients.exchanges.bybit.markets import NAME
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.logs import fields
from clients.sockets import AuthRefused, OpenFailed, Session, SubscriptionRefused, TextPing

logger = logging.getLogger(__name__)

TOPICS_PER_MESSAGE: Final = 10
"""What spot takes at once. One topic that is refused may take its request along, so fewer are better than more."""
PING: Final = '{"op":"ping"}'
_PONG_BYTES_MAX: Final = 512
_THROTTLED: Final = frozenset({10006, 10018, 10403, 10429, 20003})


def is_pong(payload: bytes) -> bool:
    """Whether a message answers a ping; each market has a form of its own for it, and all name the connection."""
    return len(payload) <= _PONG_BYTES_MAX and b'"pong"' in payload


def text_ping(*, every_s: float, timeout_s: float) -> TextPing:
    """Return the heartbeat. It is regular: connections on which nothing but protocol pings came were cut after ten minutes."""
    return TextPing(after_s=every_s, timeout_s=timeout_s, ping=PING, pong=is_pong, regular=True)


async def subscribe(session: Session, topics: Sequence[str]) -> None:
    """Subscribe in small groups, each acknowledged before the next one goes out.

    Of a group that is refused each topic is tried by itself, so that one that is gone does not take the others along. It is an error
    when nothing is left.
    """
    numbers = count(1)
    refused: list[SubscriptionRefused] = []
    for start in range(0, len(topics), TOPICS_PER_MESSAGE):
        group = topics[start : start + TOPICS_PER_MESSAGE]
        try:
            await _subscribe(session, group, next(numbers))
        except SubscriptionRefused as error:
            if len(topics) == 1:
                raise
            refused += await _one_by_one(session, group, numbers, error)
    if len(refused) == len(topics):
        raise refused[0]


async def _one_by_one(
    session: Session, group: Sequence[str], numbers: count[int], error: SubscriptionRefused
) -> list[SubscriptionRefused]:
    refused: list[SubscriptionRefused] = []
    for topic in group:
        try:
            if len(group) == 1:
                raise error
            await _subscribe(session, [topic], next(numbers))
        except SubscriptionRefused as problem:
            logger.warning("topic left out", extra=fields(exchange=NAME, topic=topic[:64], cause=problem))
            refused.append(problem)
    return refused


async def _subscribe(session: Session, topics: Sequence[str], number: int) -> None:
    request = {"req_id": str(number), "op": "subscribe", "args": list(topics)}
    await session.request(request_text(request), acknowledged("subscribe", str(number)))


def request_text(value: Mapping[str, Any]) -> str:
    """Return a request as it goes over the socket."""
    return json.dumps(value, separators=(",", ":"))


def acknowledged(operation: str, number: str = "") -> Callable[[bytes], bool | None]:
    """Return what recognises the answer to a request and raises its refusal."""

    def match(payload: bytes) -> bool | None:
        message = _control(payload)
        if message is None or message.get("op") != operation:
            return None
        # Some answers leave the number out: requests go one after the other, so it is this one all the same.
        if number and message.get("req_id") not in (number, "", None):
            return None
        code = message.get("retCode", message.get("ret_code"))
        if message.get("success") is True or (message.get("success") is None and code == 0):
            return True
        raise _refusal(message, operation, code)

    return match


def _control(payload: bytes) -> Mapping[str, Any] | None:
    """Return a message that is no frame of a topic; None for those, and for what cannot be read."""
    try:
        message = parse_json(payload)
    except MalformedAnswer:
        return None
    return message if isinstance(message, Mapping) and "topic" not in message else None


def _refusal(message: Mapping[str, Any], operation: str, code: Any) -> Exception:
    said = str(message.get("ret_msg", message.get("retMsg", "")))
    text = "".join(character for character in said if character.isprintable())[:200]
    what = f"{operation} was refused: {text or 'no reason given'}" + (f" ({code})" if code else "")
    if code in _THROTTLED:
        return OpenFailed(what, status=429)
    return AuthRefused(what) if operation == "auth" else SubscriptionRefused(what)
