"""Requests and answers of the dashboard, on plain ASGI: a refresh storm is a lookup and a comparison per request, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

__all__ = ["Answer", "BadQuery", "Request", "Send", "answer_of", "etag_of", "parsed", "send_answer"]

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

QUERY_BYTES_MAX: Final = 2_048
FIELDS_MAX: Final = 16

ALWAYS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""On every answer, whatever it is."""

REVALIDATE: Final = b"no-cache"
"""Browsers keep it, and ask each time whether it still holds."""
FOREVER: Final = b"public, max-age=31536000, immutable"
"""For what has its fingerprint in its name."""
NEVER: Final = b"no-store"


class BadQuery(Exception):
    """A parameter that cannot be used, in a sentence for people."""


@dataclass(frozen=True)
class Request:
    """The parts of a request that the pages look at."""

    method: str
    path: str
    query_string: bytes
    headers: Mapping[bytes, bytes] = field(repr=False)

    @classmethod
    def of(cls, scope: Scope) -> Request:
        """Take it from an ASGI scope; of repeated headers the last one counts."""
        return cls(scope["method"], scope["path"], scope["query_string"], dict(scope["headers"]))


@dataclass(frozen=True)
class Answer:
    """A complete answer; immutable, so that thousands of readers may share one."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = b"text/html; charset=utf-8"
    cache: bytes = NEVER
    etag: bytes = b""
    extra: tuple[tuple[bytes, bytes], ...] = ()

    def __post_init__(self) -> None:
        kept: list[tuple[bytes, bytes]] = [*ALWAYS, (b"cache-control", self.cache), *self.extra]
        if self.etag:
            kept += [(b"etag", self.etag), (b"vary", b"accept-encoding")]
        whole = [*kept, (b"content-type", self.content_type), (b"content-length", str(len(self.body)).encode())]
        object.__setattr__(self, "_unchanged", {"type": "http.response.start", "status": 304, "headers": kept})
        object.__setattr__(self, "_whole", {"type": "http.response.start", "status": self.status, "headers": whole})

    def start(self, *, unchanged: bool) -> dict[str, Any]:
        """Return the ASGI message that begins it."""
        message: dict[str, Any] = self.__dict__["_unchanged" if unchanged else "_whole"]
        return message


def answer_of(
    body: str | bytes, *, content_type: bytes = b"text/html; charset=utf-8", cache: bytes = REVALIDATE
) -> Answer:
    """Return a good answer whose ETag is its content's, so that it also holds over restarts."""
    raw = body.encode("utf-8") if isinstance(body, str) else body
    return Answer(body=raw, content_type=content_type, cache=cache, etag=etag_of(raw))


def etag_of(body: bytes) -> bytes:
    """Return a strong validator of a body."""
    return b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'


async def send_answer(answer: Answer, request: Request, send: Send) -> None:
    """Send it, or 304 when the reader has it already."""
    seen = request.headers.get(b"if-none-match")
    unchanged = bool(answer.etag) and seen is not None and _matches(seen, answer.etag)
    await send(answer.start(unchanged=unchanged))
    body = b"" if unchanged or request.method == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


def _matches(seen: bytes, etag: bytes) -> bool:
    if seen == etag:
        return True
    return any(part.strip().removeprefix(b"W/") in (etag, b"*") for part in seen.split(b","))


def parsed(query_string: bytes) -> Mapping[str, str]:
    """Return the parameters of an address; of repeated ones the last counts. Raises BadQuery."""
    if len(query_string) > QUERY_BYTES_MAX:
        raise BadQuery(f"the address is too long: at most {QUERY_BYTES_MAX} characters behind the question mark")
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError as exc:
        raise BadQuery("the address is not readable: it holds more, or other, parameters than this page has") from exc
    return dict(pairs)
