"""A request as it goes out: where to, and exactly which bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import h11

from clients.http.transport import HttpRequest, NotSent

ORIGINS_KEPT: Final = 256
"""Taken apart once; there are a handful."""

_USUAL: Final = (("User-Agent", "midstream"), ("Accept-Encoding", "gzip"), ("Accept", "application/json"))
_LENGTH_ALWAYS: Final = frozenset({"POST", "PUT", "PATCH"})
"""A body is expected of these, so that an empty one is said to be empty."""


@dataclass(frozen=True)
class Origin:
    """Where connections lead."""

    tls: bool
    host: str
    port: int


@dataclass(frozen=True)
class Outgoing:
    """A request in the terms of the parser. Neither repr nor str shows more than the place."""

    origin: Origin
    head: h11.Request
    body: bytes

    def __repr__(self) -> str:
        return f"Outgoing({self.origin!r})"


def outgoing(request: HttpRequest) -> Outgoing:
    """Return what is to be written; raises NotSent for what HTTP cannot express."""
    place, target = _split(request.url)
    origin, host = _origin(place)
    given = {name.lower() for name in request.headers}
    headers = [("Host", host)]
    headers += [(name, value) for name, value in _USUAL if name.lower() not in given]
    headers += request.headers.items()
    if request.body or request.method in _LENGTH_ALWAYS:
        headers.append(("Content-Length", str(len(request.body))))
    try:
        head = h11.Request(method=request.method, target=target, headers=headers)
    except (h11.LocalProtocolError, UnicodeError) as exc:
        # Without its text, which may hold parts of the request.
        raise NotSent(
            f"{origin.host}: nothing was sent: HTTP cannot express the request ({type(exc).__name__})"
        ) from None
    return Outgoing(origin, head, request.body)


def _split(url: str) -> tuple[str, str]:
    """Return scheme and authority, and path with query as the bytes that were signed; a URL library would normalise them."""
    begin = url.find("://") + 3
    end = min((found for mark in "/?#" if (found := url.find(mark, begin)) >= 0), default=len(url))
    target = url[end:].partition("#")[0]
    if not target.isascii():
        raise NotSent("the URL has characters that must be percent-encoded")
    return url[:end], target if target.startswith("/") else "/" + target


@lru_cache(ORIGINS_KEPT)
def _origin(place: str) -> tuple[Origin, str]:
    """Return where to connect to and the value of the Host header."""
    try:
        parts = urlsplit(place)
        port = parts.port
    except ValueError:
        raise NotSent("the URL needs a host that is one, and a port from 0 to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotSent("the URL needs http:// or https:// and a host")
    tls = parts.scheme == "https"
    return Origin(tls, parts.hostname, port or (443 if tls else 80)), parts.netloc.rpartition("@")[2]
