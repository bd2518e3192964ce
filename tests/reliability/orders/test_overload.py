"""L06, L07, L08: under ten times the load the work goes on as before; what has no room is told so at once; control passes."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from protos.orders.v1 import orders_pb2 as pb
from services.orders.domain import OrderState
from services.orders.errors import reason_of
from services.orders.guards.limits import Limits
from services.orders.ports import Ports
from services.runtime.errors import DeadlineExceeded, ResourceExhausted
from tests.support.exchange_rules import BINANCE
from tests.support.order_desk import ADMIN, TRADER, Trading, order, trading, virtual
from tests.support.order_faces import GrpcFace, RestFace, key_of, serving_faces, until
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop

CAPACITY = 100
"""Placements at once; each takes a second, so it is also how many are done in a second."""
PLENTY = Limits(open_orders_max=100_000, orders_per_second=1e9)


async def offered(desk: Trading, per_second: int, seconds: int) -> tuple[int, int, float]:
    """Offer so many orders a second, whatever becomes of them; return done, refused, and the slowest refusal in seconds."""
    done = refused = 0
    slowest = 0.0

    async def one(number: int) -> None:
        nonlocal done, refused, slowest
        await desk.ports.sleep(number / per_second)
        begun_ns = desk.ports.monotonic_ns()
        try:
            placed = await desk.desk.place(order(), TRADER)
        except ResourceExhausted as exc:
            refused += reason_of(exc) == "overloaded"
            slowest = max(slowest, (desk.ports.monotonic_ns() - begun_ns) / 1e9)
        else:
            done += placed.order.state is OrderState.NEW

    await asyncio.gather(*(one(number) for number in range(per_second * seconds)))
    return done, refused, slowest


@virtual
async def test_goodput_stays_flat_at_ten_times_the_load(ports: Ports, loop: VirtualLoop) -> None:
    venue = ScriptedVenue(BINANCE, ports, latency_s=0.5)
    async with trading(ports, venue, limits=PLENTY) as desk:
        desk.desk.line.places = CAPACITY

        at_peak, _, _ = await offered(desk, CAPACITY, 4)
        at_ten, refused, slowest_s = await offered(desk, 10 * CAPACITY, 4)

        assert at_peak >= 0.9 * CAPACITY * 4
        assert at_ten >= 0.9 * at_peak
        assert refused > 0
        assert slowest_s <= 0.005


@virtual
async def test_cancels_and_the_kill_switch_pass_while_placements_are_full(ports: Ports, loop: VirtualLoop) -> None:
    venue = ScriptedVenue(BINANCE, ports, latency_s=0.01)
    async with trading(ports, venue, limits=PLENTY) as desk:
        placed = await desk.place()
        venue.latency_s = 5.0
        desk.desk.line.places = CAPACITY
        stuck = [asyncio.create_task(desk.desk.place(order(), TRADER)) for _ in range(CAPACITY)]
        await ports.sleep(0.1)
        with pytest.raises(ResourceExhausted):
            await desk.place()
        venue.latency_s = 0.01
        begun_ns = ports.monotonic_ns()

        cancelled = await desk.desk.cancel(placed.order_id, TRADER)
        await desk.desk.set_switch(True, "too much", ADMIN)

        assert cancelled.confirmed
        assert (ports.monotonic_ns() - begun_ns) / 1e9 <= 0.25
        await asyncio.wait(stuck)


@virtual
async def test_nothing_is_begun_after_the_deadline(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        _ask_slowly(desk, ports)

        with pytest.raises(DeadlineExceeded, match="nothing was sent"):
            await desk.desk.place(order(), TRADER, deadline_ns=ports.monotonic_ns() + 50_000_000)

        assert desk.store.kept == []
        assert desk.venue.sent("place") == []


async def test_a_call_whose_deadline_has_passed_does_no_work() -> None:
    async with serving_faces() as faces:
        face = GrpcFace(faces.grpc_port)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await face.stub.CancelOrder(
                pb.CancelOrderRequest(order_id="x"), timeout=0.000001,
                metadata=(("authorization", f"Bearer {key_of('trade')}"),),
            )  # fmt: skip
        await face.close()

        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert faces.trading.venue.sent("cancel") == []


def _ask_slowly(desk: Trading, ports: Ports) -> None:
    """Have the exchange's quote, without which no order goes out, take 0.2 s."""
    real = desk.venue.get_quote

    async def slow(symbol: str) -> object:
        await ports.sleep(0.2)
        return await real(symbol)

    desk.venue.get_quote = slow  # type: ignore[method-assign,assignment]


@virtual
async def test_an_order_whose_caller_has_left_is_not_begun(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        _ask_slowly(desk, ports)
        command = order()
        leaving = asyncio.create_task(desk.desk.place(command, TRADER))
        await ports.sleep(0.1)
        leaving.cancel()
        await ports.sleep(0.3)

        assert desk.store.kept == []
        assert desk.venue.sent("place") == []
        assert desk.desk.line.length == 0
        placed = await desk.desk.place(command, TRADER)
        assert (placed.order.state, placed.repeated) == (OrderState.NEW, False)


@virtual
async def test_an_order_that_one_of_its_callers_still_waits_for_is_begun(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        _ask_slowly(desk, ports)
        command = order()
        leaving = asyncio.create_task(desk.desk.place(command, TRADER))
        await ports.sleep(0.05)
        staying = asyncio.create_task(desk.desk.place(command, TRADER))
        await ports.sleep(0.05)
        leaving.cancel()

        placed = await staying

        assert (placed.order.state, placed.repeated) == (OrderState.NEW, True)
        assert len(desk.venue.sent("place")) == 1


FACES = {"gRPC": lambda faces: GrpcFace(faces.grpc_port), "REST": lambda faces: RestFace(faces.rest_url)}
PLACEMENT = {
    "exchange": "binance", "symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "quantity": "0.5", "price": "99",
}  # fmt: skip


@pytest.mark.parametrize("make", FACES.values(), ids=FACES)
async def test_while_placements_are_full_everything_else_passes(make: Any) -> None:
    async with serving_faces(limits=PLENTY) as faces:
        face = make(faces)
        placed = await face.place("trade", idempotency_key="first", **PLACEMENT)
        faces.trading.desk.line.places = 0
        sent = len(faces.trading.venue.sent("place"))

        refused = [await face.place("trade", idempotency_key=f"more-{number}", **PLACEMENT) for number in range(3)]
        others = [
            await face.get("trade", placed.body["order_id"]),
            await face.active("trade"),
            await face.switch_state("trade"),
            await face.cancel("trade", placed.body["order_id"]),
            await face.switch("admin", engaged=True, reason="a flood"),
        ]

        assert [(answer.code, answer.reason) for answer in refused] == [("RESOURCE_EXHAUSTED", "overloaded")] * 3
        assert [answer.code for answer in others] == ["OK"] * 5
        assert len(faces.trading.venue.sent("place")) == sent
        labels = {"operation": "place", "reason": "overloaded"}
        assert faces.registry.get_sample_value("midstream_orders_denied_total", labels) == 3
        await face.close()


@pytest.mark.parametrize("make", FACES.values(), ids=FACES)
@pytest.mark.parametrize(
    ("key", "code"), [("", "UNAUTHENTICATED"), ("read", "PERMISSION_DENIED")], ids=["nobody", "reader"]
)
async def test_that_placements_are_full_is_told_to_nobody_who_may_not_place(make: Any, key: str, code: str) -> None:
    async with serving_faces(limits=PLENTY) as faces:
        face = make(faces)
        await face.place("trade", idempotency_key="first", **PLACEMENT)
        await face.active("read")
        faces.trading.desk.line.places = 0

        answer = await face.place(key, idempotency_key="second", **PLACEMENT)

        assert answer.code == code
        await face.close()


async def test_a_known_caller_of_rest_is_refused_before_the_body_and_told_when_to_come_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving_faces(limits=PLENTY) as faces:
        face = RestFace(faces.rest_url)
        await face.place("trade", idempotency_key="first", **PLACEMENT)
        faces.trading.desk.line.places = 0
        headers = {"authorization": f"Bearer {key_of('trade')}", "x-correlation-id": "flood-1"}

        with caplog.at_level("INFO"):
            answer = await face.client.post("/v1/orders", content=b"not even JSON", headers=headers)

        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-correlation-id"] == "flood-1"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["reason"] == "overloaded"
        assert answer.json()["detail"].startswith("0 placements are in flight; try again in ")
        assert "state-changing call" not in caplog.text
        await face.close()


async def test_a_watcher_that_does_not_read_costs_the_others_nothing() -> None:
    async with serving_faces(limits=PLENTY) as faces:
        face = GrpcFace(faces.grpc_port)
        desk = faces.trading.desk
        feed = desk.feed.watch(after_sequence=0, wanted=lambda order: True)
        slow = asyncio.create_task(anext(feed))
        await until(lambda: desk.feed.watchers == 1)
        await faces.trading.place()
        first = await slow

        for _ in range(600):
            await faces.trading.place()
        await until(lambda: next(iter(desk.feed._watchers)).overrun)

        ended = ""
        read = 1
        last = first.sequence
        try:
            async for seen in feed:
                assert seen.sequence == last + 1, "nothing comes behind a hole"
                read, last = read + 1, seen.sequence
        except ResourceExhausted as exc:
            ended = exc.message
        missed = desk.feed.watch(after_sequence=last, wanted=lambda order: True)
        assert (await anext(missed)).sequence == last + 1
        await missed.aclose()
        await face.close()
        assert f"after_sequence={last}" in ended
        assert read <= 1002
