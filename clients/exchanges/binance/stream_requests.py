"""Requests over Binance's websockets and their answers, and when a connection is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.exchanges.streaming import StreamHub
from clients.sockets import AuthRefused, Session, SocketPolicy, SubscriptionRefused

STREAMS_PER_MESSAGE: Final = 100
CONTROL_GAP_S: Final = 0.25
"""Between control messages: at most 5 a second, pongs and pings included."""
ROTATE_AFTER_S: Final = 23 * 3600.0
ROTATE_SPREAD_S: Final = 1800.0
"""Connections that were opened together are not replaced together, and none reaches the exchange's 24 hours."""

_AUTH_CODES: Final = frozenset({-1002, -1022, -2014, -2015})


async def subscribe(session: Session, streams: Sequence[str], hub: StreamHub) -> None:
    """Subscribe in as many messages as it takes, each acknowledged before the next one goes out."""
    numbers = count(1)
    for start in range(0, len(streams), STREAMS_PER_MESSAGE):
        if start:
            await hub.sleep(CONTROL_GAP_S)
        number = next(numbers)
        request = {"method": "SUBSCRIBE", "params": list(streams[start : start + STREAMS_PER_MESSAGE]), "id": number}
        await session.request(request_text(request), _stream_answer(number))


def api_answer(identifier: str) -> Callable[[bytes], bool | None]:
    """Return what recognises the websocket API's answer to one request and raises its refusal."""

    def match(payload: bytes) -> bool | None:
        message = _answer(payload, identifier)
        if message is None:
            return None
        if message.get("status") == 200:
            return True
        error = message.get("error")
        code = error.get("code") if isinstance(error, Mapping) else None
        if message.get("status") == 401 or code in _AUTH_CODES:
            raise AuthRefused(_refusal(error))
        raise SubscriptionRefused(_refusal(error))

    return match


def rotating(policy: SocketPolicy, hub: StreamHub) -> SocketPolicy:
    """Return the policy with a time drawn at which the connection is replaced."""
    return replace(policy, rotate_after_s=ROTATE_AFTER_S - hub.random.uniform(0.0, ROTATE_SPREAD_S))


def request_text(value: Mapping[str, Any]) -> str:
    """Return a request as it goes over the socket."""
    return json.dumps(value, separators=(",", ":"))


def _stream_answer(number: int) -> Callable[[bytes], bool | None]:
    def match(payload: bytes) -> bool | None:
        message = _answer(payload, number)
        if message is None:
            return None
        error = message.get("error", message if "code" in message else None)
        if error is not None:
            raise SubscriptionRefused(_refusal(error))
        return True if "result" in message and message["result"] is None else None

    return match


def _answer(payload: bytes, identifier: int | str) -> Mapping[str, Any] | None:
    try:
        message = parse_json(payload)
    except MalformedAnswer:
        return None
    if not isinstance(message, Mapping) or "e" in message or "stream" in message or "event" in message:
        return None
    # An error about a request that could not be read comes without its id.
    named = message.get("id")
    return message if named == identifier or (named is None and ("error" in message or "code" in message)) else None


def _refusal(error: object) -> str:
    if isinstance(error, Mapping):
        text = "".join(c for c in str(error.get("msg", "")) if c.isprintable())[:200]
        return f"the subscription was refused: {error.get('code')}: {text}"
    return "the subscription was refused"
