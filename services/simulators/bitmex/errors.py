"""Refusals of BitMEX, as it answers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class BitmexError(Exception):
    """An error answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        name: str = "HTTPError",
        details: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.name = name
        self.details = details
        self.headers = dict(headers or {})

    def payload(self) -> dict[str, Any]:
        """Return the JSON body."""
        error = {"message": self.message, "name": self.name}
        if self.details is not None:
            error["details"] = self.details
        return {"error": error}


OVERLOADED: Final = "The system is currently overloaded. Please try again later."

PLANNED: Final[Mapping[str, BitmexError]] = {
    "overloaded": BitmexError(503, OVERLOADED),
    "unavailable": BitmexError(503, "Service unavailable"),
    "bad-gateway": BitmexError(502, "Bad Gateway"),
    "gateway-timeout": BitmexError(504, "Gateway Timeout"),
    "too-many-requests": BitmexError(429, "Rate limit exceeded, retry in 5 seconds.", headers={"retry-after": "5"}),
    "denied": BitmexError(403, "Access Denied"),
    "unauthorized": BitmexError(401, "Invalid API Key."),
}
"""Errors that a fault plan can ask for by name."""


def invalid(message: str) -> BitmexError:
    """A request that cannot be carried out."""
    return BitmexError(400, message)


def not_found() -> BitmexError:
    """Nothing there."""
    return BitmexError(404, "Not Found")
