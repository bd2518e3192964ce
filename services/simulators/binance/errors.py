"""Refusals of Binance, as it answers them, by market where the same thing has two numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.simulators.binance.listings import SPOT


class BinanceError(Exception):
    """An error answer: HTTP status, code, text, and extra headers or fields."""

    def __init__(
        self, status: int, code: int, msg: str, *, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> None:
        super().__init__(f"{code}: {msg}")
        self.status = status
        self.code = code
        self.msg = msg
        self.headers = dict(headers or {})
        self.data = data

    def payload(self) -> dict[str, Any]:
        """Return the JSON body."""
        body: dict[str, Any] = {"code": self.code, "msg": self.msg}
        if self.data is not None:
            body["data"] = self.data
        return body


def missing(parameter: str) -> BinanceError:
    """A mandatory parameter is not there."""
    text = f"Mandatory parameter '{parameter}' was not sent, was empty/null, or malformed."
    return BinanceError(400, -1102, text)


def illegal(parameter: str, legal: str) -> BinanceError:
    """A parameter holds characters that it must not."""
    return BinanceError(400, -1100, f"Illegal characters found in parameter '{parameter}'; legal range is '{legal}'.")


def invalid_symbol() -> BinanceError:
    """No such symbol on this market."""
    return BinanceError(400, -1121, "Invalid symbol.")


def no_such_order() -> BinanceError:
    """A query finds nothing."""
    return BinanceError(400, -2013, "Order does not exist.")


def unknown_order() -> BinanceError:
    """A cancel finds nothing that is open."""
    return BinanceError(400, -2011, "Unknown order sent.")


def duplicate_order(market: str) -> BinanceError:
    """An open order has the client id."""
    if market == SPOT:
        return BinanceError(400, -2010, "Duplicate order sent.")
    return BinanceError(400, -4116, "ClientOrderId is duplicated.")


def insufficient(market: str) -> BinanceError:
    """The account cannot pay."""
    if market == SPOT:
        return BinanceError(400, -2010, "Account has insufficient balance for requested action.")
    return BinanceError(400, -2019, "Margin is insufficient.")


def would_take(market: str) -> BinanceError:
    """A post-only order would trade at once."""
    if market == SPOT:
        return BinanceError(400, -2010, "Order would immediately match and take.")
    return BinanceError(
        400, -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."
    )


def outside_window(market: str, *, in_engine: bool) -> BinanceError:
    """The request is too old."""
    if in_engine and market != SPOT:
        return BinanceError(400, -5028, "Timestamp for this request is outside of the ME recvWindow.")
    return BinanceError(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def backend_timeout() -> BinanceError:
    """The engine did not answer in time; the order may still be executed."""
    text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    return BinanceError(408, -1007, text)


UNEXPECTED: Final = "An unexpected response was received from the message bus. Execution status unknown."
UNKNOWN_ERROR: Final = "Unknown error, please check your request or try again later."
THROTTLED: Final = "Server is currently overloaded with other requests. Please try again in a few minutes."
INTERNAL: Final = "Internal error; unable to process your request. Please try again."

PLANNED: Final[Mapping[str, BinanceError]] = {
    "unknown": BinanceError(503, -1000, UNKNOWN_ERROR),
    "unavailable": BinanceError(503, -1000, "Service Unavailable."),
    "internal": BinanceError(503, -1001, INTERNAL),
    "throttled": BinanceError(503, -1008, THROTTLED),
    "timeout": backend_timeout(),
    "unexpected": BinanceError(500, -1006, UNEXPECTED),
    "too-many-requests": BinanceError(429, -1003, "Too many requests queued.", headers={"Retry-After": "5"}),
    "too-many-orders": BinanceError(
        429, -1015, "Too many new orders; current limit is 100 orders per 10 SECOND.", headers={"Retry-After": "5"}
    ),
    "too-many-connections": BinanceError(429, -1034, "Too many connections; please reconnect later."),
    "disconnected": BinanceError(500, -1001, "Internal error; unable to process your request. Please try again."),
    "firewall": BinanceError(403, 0, "Forbidden"),
}
"""Errors that a fault plan can ask for by name."""
