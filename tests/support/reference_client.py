"""The client of reference prices with quota and policies around it, as the process wires it; time is virtual."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from clients.http import HttpRequest, HttpResponse
from clients.power.calendar import delivery_hour
from clients.power.reference import ReferencePriceClient, classify
from clients.resilience.executor import PolicyExecutor, Ports
from clients.resilience.quota import LedgerUnavailable, LedgerView, Quota, Slot, Window
from services.power.etl.quota_limiter import QuotaLimiter
from services.power.etl.server import POLICIES
from tests.support.quota_ledger import MemoryQuotaLedger
from tests.support.virtual_time import VirtualLoop

__all__ = ["HOUR", "PRICE", "AbsentQuotaLedger", "Answers", "Desk", "always"]

HOUR = delivery_hour("2025-10-09", "15-16")
PRICE = b'{"last_update": "2025-10-09T08:50:11+00:00", "unit": "euro/mwh", "value": 27.74}'

Answers = Callable[[int], tuple[int, bytes, dict[str, str]] | Exception]


class Transport:
    """Answers by the number of the request."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        self.requests.append(request)
        answer = self._answers(len(self.requests))
        await asyncio.sleep(0.1)
        if isinstance(answer, Exception):
            raise answer
        status, body, headers = answer
        return HttpResponse(status, headers, body, 0, 1, 2)

    async def aclose(self) -> None:
        return None


class AbsentQuotaLedger(MemoryQuotaLedger):
    """A ledger whose database is away."""

    async def reserve(self, slot: Slot, admit: Callable[[LedgerView], bool], *, forget_before_ns: int) -> bool:
        raise LedgerUnavailable("gone")


class Desk:
    """A client with everything around it, in virtual time."""

    def __init__(
        self, loop: VirtualLoop, answers: Answers, *, ledger: MemoryQuotaLedger | None = None, count: int = 50
    ) -> None:
        self.transport = Transport(answers)
        self.ledger = ledger or MemoryQuotaLedger()
        self.quota = Quota(
            self.ledger, windows=(Window(count, 60.0),), wall_ns=loop.wall_ns, monotonic_ns=loop.monotonic_ns
        )
        self.limiter = QuotaLimiter(self.quota)
        ports = Ports(monotonic_ns=loop.monotonic_ns, random=random.Random(1))
        executor = PolicyExecutor(classify, policies=POLICIES, limiter=self.limiter, ports=ports)
        self.client = ReferencePriceClient("http://provider.test/v1/", self.transport, executor)


def always(status: int, body: bytes = b"", **headers: str) -> Answers:
    return lambda _: (status, body, {name.replace("_", "-"): value for name, value in headers.items()})
