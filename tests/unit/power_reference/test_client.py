"""Asking the provider: what an answer's status means, and that no attempt goes out without a slot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from clients.http import AnswerLost, HttpRequest, HttpResponse, NotSent
from clients.power.calendar import delivery_hour
from clients.power.reference import QuotaLimiter, ReferencePriceClient, check_base_url, classify
from clients.power.reference.errors import ProviderRefused, ProviderThrottled, ProviderUnavailable, UnusableAnswer
from clients.resilience.errors import LimitReached
from clients.resilience.executor import PolicyExecutor, Ports
from clients.resilience.quota import LedgerUnavailable, LedgerView, MemoryLedger, Quota, Slot, Window
from services.power.etl.server import POLICIES
from tests.support.virtual_time import VirtualLoop, run_virtual

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


class AbsentLedger(MemoryLedger):
    """A ledger whose database is away."""

    async def reserve(self, slot: Slot, admit: Callable[[LedgerView], bool], *, forget_before_ns: int) -> bool:
        raise LedgerUnavailable("gone")


class Desk:
    """A client with everything around it, in virtual time."""

    def __init__(
        self, loop: VirtualLoop, answers: Answers, *, ledger: MemoryLedger | None = None, count: int = 50
    ) -> None:
        self.transport = Transport(answers)
        self.ledger = ledger or MemoryLedger()
        self.quota = Quota(
            self.ledger, windows=(Window(count, 60.0),), wall_ns=loop.wall_ns, monotonic_ns=loop.monotonic_ns
        )
        self.limiter = QuotaLimiter(self.quota)
        ports = Ports(monotonic_ns=loop.monotonic_ns, random=random.Random(1))
        executor = PolicyExecutor(classify, policies=POLICIES, limiter=self.limiter, ports=ports)
        self.client = ReferencePriceClient("http://provider.test/v1/", self.transport, executor)


def always(status: int, body: bytes = b"", **headers: str) -> Answers:
    return lambda _: (status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def test_a_price_is_asked_for_by_day_and_hour() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, always(200, PRICE))

        seen = await desk.client.get(HOUR)

        assert (seen.value_e4, seen.hour) == (277_400, HOUR)
        assert desk.transport.requests[0].url == (
            "http://provider.test/v1/reference-price?delivery_day=2025-10-09&delivery_hour=15-16"
        )

    run_virtual(main)


def test_no_such_page_means_none_yet() -> None:
    async def main(loop: VirtualLoop) -> None:
        assert (await Desk(loop, always(404)).client.get(HOUR)).value_e4 is None

    run_virtual(main)


@pytest.mark.parametrize(
    ("answers", "error", "requests"),
    [
        (always(400), ProviderRefused, 1),
        (always(302, location="http://elsewhere.test"), UnusableAnswer, 1),
        (always(200, b"<html>"), UnusableAnswer, 1),
        (always(503), ProviderUnavailable, 2),
        (always(429, retry_after="30"), ProviderThrottled, 1),
        (lambda _: NotSent("refused"), NotSent, 2),
        (lambda _: AnswerLost("reset"), AnswerLost, 2),
    ],
    ids=["400", "redirect", "html", "503", "429", "not-sent", "lost"],
)
def test_what_goes_wrong_is_repeated_at_most_once(answers: Answers, error: type[Exception], requests: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, answers)

        with pytest.raises(error):
            await desk.client.get(HOUR)

        assert len(desk.transport.requests) == requests

    run_virtual(main)


@pytest.mark.quick
def test_every_attempt_takes_a_slot() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, lambda number: (503, b"", {}) if number % 2 else (200, PRICE, {}), count=5)

        # Two attempts each; the fifth slot is for the first half of the third.
        for _ in range(2):
            await desk.client.get(HOUR)
        with pytest.raises((LimitReached, ProviderUnavailable)):
            await desk.client.get(HOUR)

        assert len(desk.transport.requests) == 5

    run_virtual(main)


def test_a_request_that_never_left_gives_its_slot_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, lambda _: NotSent("refused"))

        with pytest.raises(NotSent):
            await desk.client.get(HOUR)

        assert [use.used for use in await desk.quota.usage()] == [0]

    run_virtual(main)


def test_after_a_429_nothing_leaves_until_the_provider_says() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, lambda number: (429, b"", {"retry-after": "30"}) if number == 1 else (200, PRICE, {}))
        with pytest.raises(ProviderThrottled):
            await desk.client.get(HOUR)

        with pytest.raises(LimitReached) as caught:
            await desk.client.get(HOUR)
        await asyncio.sleep(31)

        assert (await desk.client.get(HOUR)).value_e4 == 277_400
        assert caught.value.retry_after_s == pytest.approx(30, abs=1.5)
        assert desk.limiter.throttled == 1
        assert len(desk.transport.requests) == 2

    run_virtual(main)


def test_without_a_ledger_nothing_leaves() -> None:
    async def main(loop: VirtualLoop) -> None:
        desk = Desk(loop, always(200, PRICE), ledger=AbsentLedger())

        with pytest.raises(LimitReached):
            await desk.client.get(HOUR)

        assert desk.transport.requests == []

    run_virtual(main)


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "file:///etc/passwd", "http://user:secret@x", "http://x?a=b", "x:5060"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be like"):
        check_base_url(url)
