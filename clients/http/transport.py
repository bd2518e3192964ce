"""One HTTP exchange at a time, with what a caller must know about it: was it sent, was it answered, when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class HttpRequest:
    """A request exactly as it goes out: the target and body bytes are what was signed.

    Neither its repr nor its str shows query, headers or body.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    answer_bytes_max: int = ANSWER_BYTES_MAX
    """A larger answer, after decompression, counts as lost."""


@dataclass(frozen=True)
class HttpResponse:
    """A complete answer. Header names are lower case; times are of the monotonic clock, `received_wall_ns` of the wall clock."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    sent_ns: int
    received_ns: int
    received_wall_ns: int


class TransportError(Exception):
    """Root of what goes wrong between the two sides. Texts never hold a URL's query, a header or a body."""


class NotSent(TransportError):
    """Nothing of the request reached the other side: DNS, refused, TLS, the pool, the deadline."""


class ResponseLost(TransportError):
    """The request may have been executed: reset, timeout, truncated or oversized answer after bytes went out."""


class HttpTransport(Protocol):
    """Sends requests; never retries, never follows a redirect."""

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        """Return the answer, whatever its status; raise NotSent or ResponseLost."""
        ...

    async def aclose(self) -> None: ...
