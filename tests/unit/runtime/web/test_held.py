"""What a connection holds back until its turn, judged by its first bytes alone."""

from __future__ import annotations

import asyncio

import pytest

from services.runtime.web.held import KEPT_BYTES_MAX, HeldRequests, hold
from tests.support.virtual_time import VirtualLoop, run_virtual

BEGINS = (b"POST /v1/orders ", b"POST /v1/orders?")
PLACEMENT = b"POST /v1/orders HTTP/1.1\r\n\r\n"


def test_a_request_of_the_kind_is_kept_whole_until_its_turn() -> None:
    async def case(loop: VirtualLoop) -> None:
        taken: list[bytes] = []
        held, turn = HeldRequests(taken.append), loop.create_future()
        held.until(BEGINS, turn)

        # However it is cut.
        kept = [held.keep(PLACEMENT[at : at + 1]) for at in range(len(PLACEMENT))]
        assert all(kept)
        assert held.holding
        turn.set_result(None)
        await asyncio.sleep(0)

        assert taken == [PLACEMENT]
        assert not held.holding
        assert not held.keep(PLACEMENT)

    run_virtual(case)


@pytest.mark.parametrize(
    "request_",
    [b"DELETE /v1/orders/1 HTTP/1.1", b"POST /v1/orders/cancel HTTP/1.1", b"PUT /v1/kill-switch HTTP/1.1"],
    ids=["cancel", "cancel-many", "kill-switch"],
)
def test_other_requests_pass_with_what_was_kept_of_them(request_: bytes) -> None:
    async def case(loop: VirtualLoop) -> None:
        held = HeldRequests(lambda _data: None)
        held.until(BEGINS, loop.create_future())

        passed = b""
        for at in range(len(request_)):
            part = request_[at : at + 1]
            if not held.keep(part):
                passed = held.give() + request_[at:]
                break

        assert passed == request_
        assert held.give() == b""

    run_virtual(case)


def test_the_last_turn_counts_and_nothing_is_taken_where_nothing_came() -> None:
    async def case(loop: VirtualLoop) -> None:
        taken: list[bytes] = []
        held, first, second = HeldRequests(taken.append), loop.create_future(), loop.create_future()
        held.until(BEGINS, first)
        held.until(BEGINS, second)

        first.set_result(None)
        await asyncio.sleep(0)
        assert held.keep(PLACEMENT)
        second.set_result(None)
        await asyncio.sleep(0)

        assert taken == [PLACEMENT]

    run_virtual(case)


def test_what_is_kept_is_bounded() -> None:
    async def case(loop: VirtualLoop) -> None:
        held = HeldRequests(lambda _data: None)
        held.until(BEGINS, loop.create_future())

        assert held.keep(PLACEMENT.ljust(KEPT_BYTES_MAX))
        assert not held.keep(b"x")

    run_virtual(case)


def test_a_server_that_cannot_hold_is_asked_in_vain() -> None:
    async def case(loop: VirtualLoop) -> None:
        turn = loop.create_future()

        hold({"type": "http"}, BEGINS, turn)

        assert not turn.done()

    run_virtual(case)
