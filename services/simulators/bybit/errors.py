"""Refusals of Bybit, as it answers them: most with HTTP 200, and without JSON where its edge answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class BybitError(Exception):
    """An error answer. Without a code it comes from the edge: a status and a text."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        result: Any = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})
        self.result = {} if result is None else result


class EdgeError(Exception):
    """A refusal before the API: no JSON, no code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


TOO_FREQUENT: Final = EdgeError(403, "access too frequent")

PLANNED: Final[Mapping[str, BybitError | EdgeError]] = {
    "unavailable": EdgeError(503, "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"),
    "bad-gateway": EdgeError(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
    "gateway-timeout": EdgeError(504, "<html><body><h1>504 Gateway Time-out</h1></body></html>"),
    "too-frequent": TOO_FREQUENT,
    "region": EdgeError(403, "<html><body><h1>403 Forbidden</h1>The request could not be satisfied.</body></html>"),
    "system-protection": EdgeError(429, ""),
    "overloaded": BybitError(429, "The trading service is experiencing a high server load. Please retry.", status=429),
    "server-timeout": BybitError(10000, "Server Timeout"),
    "server-error": BybitError(10016, "Internal server error."),
    "clock": BybitError(10002, "invalid request, please check your server timestamp or recv_window param."),
    "too-many-visits": BybitError(10006, "Too many visits. Exceeded the API Rate Limit."),
    "unauthorized": BybitError(10003, "API key is invalid."),
    "spot-timeout": BybitError(170007, "Timeout waiting for response from backend server."),
    "busy": BybitError(110079, "The order is processing and can not be operated, please try again later"),
    "settling": BybitError(110063, "Settlement in progress! XXX are not available for trading."),
    "suspended": BybitError(170157, "The trading pair is not available for api trading."),
}
"""Errors that a fault plan can ask for by name."""


def parameter(message: str) -> BybitError:
    """A parameter that cannot be used."""
    return BybitError(10001, message)


def too_many_visits(headers: Mapping[str, str]) -> BybitError:
    """The bucket of the route is empty."""
    return BybitError(10006, "Too many visits. Exceeded the API Rate Limit.", headers=headers)
