"""What exchange clients are tested with: a transport that answers from a function, a clock, an executor that hides nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from clients.exchanges.base import ClientPorts, SigningKey
from clients.exchanges.error_table import classify
from clients.http.transport import HttpRequest, HttpResponse
from clients.resilience.call import Attempt, CallSpec, LimitReport
from clients.resilience.outcome import Outcome

T = TypeVar("T")

Reply = HttpResponse | Exception


@dataclass(frozen=True)
class WireKey:
    """A key pair for tests."""

    key_id: str = "test-key"
    secret: str = field(default="CANARY-secret", repr=False)

    def reveal(self) -> str:
        return self.secret


@dataclass
class WireClock:
    """Both clocks of the local side; they move only when told to."""

    monotonic: int = 1_000_000_000
    wall: int = 1_760_000_000_000_000_000

    def monotonic_ns(self) -> int:
        return self.monotonic

    def wall_ns(self) -> int:
        return self.wall

    def advance(self, seconds: float) -> None:
        self.monotonic += round(seconds * 1e9)
        self.wall += round(seconds * 1e9)


@dataclass(frozen=True)
class Sent:
    """One request as the transport saw it."""

    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    request: HttpRequest

    @property
    def parameters(self) -> Mapping[str, str]:
        """Query and form body together."""
        return {**self.form, **self.query}

    @classmethod
    def of(cls, request: HttpRequest) -> Sent:
        parts = urlsplit(request.url)
        return cls(
            request.method,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            dict(parse_qsl(request.body.decode(), keep_blank_values=True)),
            request,
        )


@dataclass
class WireTransport:
    """Implements HttpTransport with a function; a returned exception is raised. Each exchange takes `round_trip_s`."""

    answer: Callable[[Sent], Reply]
    clock: WireClock = field(default_factory=WireClock)
    round_trip_s: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        sent = Sent.of(request)
        self.sent.append(sent)
        self.timeouts.append(timeout_s)
        started_ns = self.clock.monotonic
        self.clock.advance(self.round_trip_s)
        reply = self.answer(sent)
        if isinstance(reply, Exception):
            raise reply
        return HttpResponse(reply.status, reply.headers, reply.body, started_ns, self.clock.monotonic, self.clock.wall)

    async def aclose(self) -> None:
        pass

    def paths(self) -> list[str]:
        """Return what was asked, in order."""
        return [f"{sent.method} {sent.path}" for sent in self.sent]


def reply(payload: object = None, *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return an answer with a JSON body, or with the bytes given."""
    body = payload if isinstance(payload, bytes) else json.dumps({} if payload is None else payload).encode()
    return HttpResponse(status, headers or {}, body, 0, 0, 0)


@dataclass
class WirePermit:
    """A limiter's permit that remembers what it was told."""

    reports: list[LimitReport] = field(default_factory=list)
    unsent: int = 0

    def observe(self, report: LimitReport) -> None:
        self.reports.append(report)

    def not_sent(self) -> None:
        self.unsent += 1

    async def settle(self, *, answered: bool) -> None:
        pass

    async def release(self) -> None:
        pass


@dataclass
class WireExecutor:
    """Implements Executor without any policy: repeats at once, at most `attempts`, what is RETRYABLE, THROTTLED or CLOCK."""

    attempts: int = 1
    attempt_s: float = 10.0
    permit: WirePermit | None = None
    specs: list[CallSpec] = field(default_factory=list)

    async def call(
        self, spec: CallSpec, attempt: Callable[[Attempt], Awaitable[T]], *, deadline_s: float | None = None
    ) -> T:
        self.specs.append(spec)
        for number in range(1, self.attempts + 1):
            try:
                return await attempt(Attempt(number, self.attempt_s, f"call.{number}", self.permit))
            except Exception as exc:
                verdict = classify(exc)
                repeatable = (Outcome.RETRYABLE, Outcome.THROTTLED, Outcome.CLOCK)
                if number == self.attempts or verdict is None or verdict.outcome not in repeatable:
                    raise
        raise AssertionError("unreachable")


def wire_ports(
    transport: WireTransport, *, executor: WireExecutor | None = None, key: SigningKey | None = None
) -> ClientPorts:
    """Return ports over a scripted transport."""
    return ClientPorts(
        transport=transport,
        executor=executor or WireExecutor(),
        key=key,
        monotonic_ns=transport.clock.monotonic_ns,
        wall_ns=transport.clock.wall_ns,
    )
