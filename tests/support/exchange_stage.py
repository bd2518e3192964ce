"""A stage for exchange clients: a transport that answers as a test says, one attempt per call, a key."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from clients.exchanges.base import ClientPorts
from clients.http.transport import HttpRequest, HttpResponse
from clients.resilience.call import Attempt, CallSpec
from tests.support.virtual_time import START_NS

T = TypeVar("T")

NOW_S = START_NS // 1_000_000_000


@dataclass(frozen=True)
class StageKey:
    """A key pair for tests."""

    key_id: str = "LAqUlngMIQkIUjXMUreyu3qn"
    secret: str = field(default="chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO", repr=False)

    def reveal(self) -> str:
        return self.secret


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; a `body` that is no bytes goes out as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class StagedTransport:
    """Implements HttpTransport; `answer` decides, by raising too."""

    def __init__(
        self,
        answer: Callable[[Seen], Reply],
        *,
        date_s: int | None = NOW_S,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.answer = answer
        self.seen: list[Seen] = []
        self.date_s = date_s
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

    def of(self, path: str, method: str = "") -> list[Seen]:
        """Return the requests for a path, in order."""
        return [seen for seen in self.seen if seen.path.endswith(path) and method in ("", seen.method)]

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        parts = urlsplit(request.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        parameters = dict(parse_qsl(parts.query))
        seen = Seen(request.method, parts.path, parameters, request.headers, request.body, target)
        self.seen.append(seen)
        reply = self.answer(seen)
        headers = {"date": formatdate(self.date_s, usegmt=True)} if self.date_s is not None else {}
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        now_ns = self._monotonic_ns()
        return HttpResponse(reply.status, headers | dict(reply.headers), body, now_ns, now_ns, self._wall_ns())

    async def aclose(self) -> None:
        pass


class OneAttempt:
    """Implements Executor without any policy; keeps the descriptions of the calls."""

    def __init__(self) -> None:
        self.specs: list[CallSpec] = []

    async def call(
        self, spec: CallSpec, attempt: Callable[[Attempt], Awaitable[T]], *, deadline_s: float | None = None
    ) -> T:
        self.specs.append(spec)
        return await attempt(Attempt(1, spec.deadline_s if deadline_s is None else deadline_s, "correlation"))


def ports(transport: StagedTransport, *, key: StageKey | None = None, **clocks: Any) -> ClientPorts:
    """Return ports over a staged transport."""
    return ClientPorts(transport=transport, executor=OneAttempt(), key=key, **clocks)
