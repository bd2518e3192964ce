"""Asking the provider: what an answer's status means, and how often a request is repeated."""

from __future__ import annotations

import pytest

from clients.http import NotSent, ResponseLost
from clients.power.reference import check_base_url
from clients.power.reference.errors import ProviderRefused, ProviderThrottled, ProviderUnavailable, UnusableAnswer
from tests.support.reference_client import HOUR, PRICE, Answers, Desk, always
from tests.support.virtual_time import VirtualLoop, run_virtual


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
        (lambda _: ResponseLost("reset"), ResponseLost, 2),
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


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "file:///etc/passwd", "http://user:secret@x", "http://x?a=b", "x:5060"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be like"):
        check_base_url(url)
