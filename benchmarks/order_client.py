"""Place orders as fast as it goes, or as often as is asked, and print what came of it as one JSON object.

python -m benchmarks.order_client direct URL COUNT AT_ONCE        signed POSTs of the exchange client, nothing between
python -m benchmarks.order_client closed PORT KEY COUNT AT_ONCE   over gRPC, each caller waits for its answer
python -m benchmarks.order_client storm PORT KEY PER_S SECONDS    over gRPC, on a timetable, whatever becomes of them
python -m benchmarks.order_client health PORT SECONDS             grpc.health.v1, twenty times a second
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from clients.exchanges.trading import OrderType, Side, VenueOrder
from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.runtime.exchanges.opened import open_exchanges
from services.runtime.exchanges.watcher import ExchangeMetrics

SYMBOL: Final = "BTC/USDT"
QUANTITY: Final = "0.0002"
"""Small: buys and sells in turn leave market and balances where they are."""
ORDER_S: Final = 20.0
CHANNELS: Final = 4
SETTLING_S: Final = 12.0
"""The first part of a storm does not count. An order may be sent for ten seconds: before that the queue is still filling."""
HEALTH_PERIOD_S: Final = 0.05
DEMO_KEY: Final = "midstream-demo-binance"
"""Of the simulator; no secret."""


@dataclass(frozen=True)
class Answered:
    """One order of a storm."""

    result: str
    reason: str
    due: float
    sent: float
    answered: float


async def _closed(place: Callable[[int], Awaitable[None]], count: int, at_once: int) -> dict[str, float]:
    """Keep `at_once` callers busy until `count` orders are placed; the first error ends it."""
    numbers, waits = iter(range(count)), list[float]()

    async def caller() -> None:
        for number in numbers:
            began = time.perf_counter()
            await place(number)
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(caller())
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "placed": len(waits), "p50_ms": _ms(waits, 50), "p99_ms": _ms(waits, 99)}


async def _direct(url: str, count: int, at_once: int) -> dict[str, float]:
    os.environ["MIDSTREAM_BINANCE_URL"] = url
    os.environ["MIDSTREAM_BINANCE_API_KEY"] = f"{DEMO_KEY}-key"
    os.environ["MIDSTREAM_BINANCE_API_SECRET"] = f"{DEMO_KEY}-secret"
    room = await open_exchanges(("binance",), metrics=ExchangeMetrics(CollectorRegistry()))
    try:
        exchange = room.by_name["binance"]
        trading, instrument = exchange.trading(), (await exchange.client.get_instruments())[SYMBOL]

        async def place(number: int) -> None:
            side = Side.SELL if number % 2 else Side.BUY
            name = f"bench-{os.getpid()}-{time.time_ns() % 10**12}-{number}"
            order = VenueOrder(instrument, name[:36], side, OrderType.MARKET, Decimal(QUANTITY))
            report = await trading.place(order, deadline_s=ORDER_S)
            if not report.filled_quantity:
                raise AssertionError(f"order {number} was not executed: {report.raw_state} {report.reason}")

        # Connection, clock and limits are there before the time counts, as they are in a server that serves.
        await _closed(place, at_once, at_once)
        return await _closed(place, count, at_once)
    finally:
        await room.close()


class Orders:
    """Callers of the orders server, over several connections."""

    def __init__(self, port: int, key: str) -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(CHANNELS)]
        self._stubs: Sequence[Any] = [OrderServiceStub(channel) for channel in self._channels]
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._run = f"bench-{os.getpid()}-{time.time_ns()}"

    async def place(self, number: int) -> pb.Order:
        """Place one order at the market; raises grpc.aio.AioRpcError."""
        request = pb.PlaceOrderRequest(
            idempotency_key=f"{self._run}-{number}",
            exchange="binance",
            symbol=SYMBOL,
            side=pb.SIDE_SELL if number % 2 else pb.SIDE_BUY,
            type=pb.ORDER_TYPE_MARKET,
            quantity=QUANTITY,
        )
        stub = self._stubs[number % CHANNELS]
        answer: pb.PlaceOrderResponse = await stub.PlaceOrder(request, metadata=self._metadata, timeout=ORDER_S)
        return answer.order

    async def place_filled(self, number: int) -> None:
        """Place one order that has to be executed."""
        order = await self.place(number)
        if order.state != pb.ORDER_STATE_FILLED:
            raise AssertionError(f"order {number} is {pb.OrderState.Name(order.state)}: {order.reason}")

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels))


async def _placed(port: int, key: str, count: int, at_once: int) -> dict[str, float]:
    orders = Orders(port, key)
    try:
        await _closed(orders.place_filled, at_once, at_once)

        async def place(number: int) -> None:
            await orders.place_filled(at_once + number)

        return await _closed(place, count, at_once)
    finally:
        await orders.close()


async def _storm(port: int, key: str, per_s: float, seconds: float) -> dict[str, Any]:
    """Send on a timetable; waits count from when an order was due, not from when this process got round to it."""
    orders = Orders(port, key)
    answers: list[Answered] = []
    began = time.perf_counter()

    async def one(number: int, due: float) -> None:
        sent = time.perf_counter() - began
        try:
            order = await orders.place(number)
            result = "accepted" if order.state == pb.ORDER_STATE_FILLED else pb.OrderState.Name(order.state)
            reason = order.reason
        except grpc.aio.AioRpcError as exc:
            result = "refused" if exc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else exc.code().name
            reason = exc.details() or ""
        answers.append(Answered(result, reason, due, sent, time.perf_counter() - began))

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(round(per_s * seconds)):
                due = number / per_s
                # Behind the timetable nothing is waited for, but answers are still read.
                await asyncio.sleep(max(0.0, due - (time.perf_counter() - began)))
                group.create_task(one(number, due))
        return found_of(answers, seconds)
    finally:
        await orders.close()


def found_of(answers: Sequence[Answered], seconds: float) -> dict[str, Any]:
    """Return the figures of a storm."""
    settled = [one for one in answers if SETTLING_S <= one.answered < seconds]
    accepted = [one for one in answers if one.result == "accepted"]
    # However a call was told, or that it was told nothing until its deadline: its caller has waited for that long.
    refused = [one for one in answers if one.result != "accepted"]
    return {
        "results": Counter(one.result for one in answers),
        "reasons": {one.result: one.reason for one in answers if one.result != "accepted"},
        "offered_per_s": len(answers) / max(seconds, max(one.sent for one in answers)),
        "goodput_per_s": sum(one.result == "accepted" for one in settled) / (seconds - SETTLING_S),
        "accepted_p99_ms": _ms([one.answered - one.due for one in accepted], 99),
        "refused_p50_ms": _ms([one.answered - one.due for one in refused], 50),
        "refused_p99_ms": _ms([one.answered - one.due for one in refused], 99),
        "late_p99_ms": _ms([one.sent - one.due for one in answers], 99),
        "cpu_share": time.process_time() / seconds,
    }


def _health(port: int, seconds: float) -> dict[str, float]:
    waits: list[float] = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        began = time.perf_counter()
        for number in range(round(seconds / HEALTH_PERIOD_S)):
            due = began + number * HEALTH_PERIOD_S
            if due - began > seconds or time.perf_counter() - began > 2 * seconds:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            with contextlib.suppress(grpc.RpcError):
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            # One that is late makes those behind it late: each counts from its own time.
            waits.append(time.perf_counter() - due)
    return {"p50_ms": _ms(waits, 50), "p99_ms": _ms(waits, 99)}


def _ms(waits: Sequence[float], percent: int) -> float:
    return 1e3 * sorted(waits)[len(waits) * percent // 100] if waits else 0.0


def _main() -> None:
    kind, *arguments = sys.argv[1:]
    match kind, arguments:
        case "direct", [url, count, at_once]:
            found = asyncio.run(_direct(url, int(count), int(at_once)))
        case "closed", [port, key, count, at_once]:
            found = asyncio.run(_placed(int(port), key, int(count), int(at_once)))
        case "storm", [port, key, per_s, seconds]:
            found = asyncio.run(_storm(int(port), key, float(per_s), float(seconds)))
        case "health", [port, seconds]:
            found = _health(int(port), float(seconds))
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(found))


if __name__ == "__main__":
    _main()
