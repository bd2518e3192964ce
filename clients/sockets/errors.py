"""Errors of opening a connection and of using one that has ended."""

from __future__ import annotations


class SocketError(Exception):
    """Root. Texts never hold a URL's query, a header or a payload."""


class OpenFailed(SocketError):
    """The connection could not be opened. `status` is the HTTP answer, None where there was none; `retry_after_s` its hint."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class AuthRefused(OpenFailed):
    """Key or signature refused: by the handshake, or said by an opening hook. The next attempt waits at least 30 seconds."""


class SubscriptionRefused(SocketError):
    """The other side answered a subscription with an error; said by an opening hook."""


class NotConnected(SocketError):
    """There is no open connection to send on."""
