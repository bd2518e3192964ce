"""The orders server as a process, beside simulated exchanges as processes: what survives a kill, by the exchange's own books."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import grpc

from clients.database import open_database
from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.orders.journal import prepare_orders_database
from services.runtime.access import Role
from services.runtime.access.keys import create_key, pepper_source, prepare_keys
from tests.support.cli import until
from tests.support.server_process import ServerProcess
from tests.support.simulator_process import SimulatorProcess

CALL_S: Final = 30.0
RECONCILED_S: Final = 100.0
DEMO_KEYS: Final = {
    "BINANCE_API_KEY": "midstream-demo-binance-key",
    "BINANCE_API_SECRET": "midstream-demo-binance-secret",
    "BITMEX_API_KEY": "midstream-demo-bitmex-key",
    "BITMEX_API_SECRET": "midstream-demo-bitmex-secret",
    "BYBIT_API_KEY": "midstream-demo-bybit-key",
    "BYBIT_API_SECRET": "midstream-demo-bybit-secret",
}
"""Of the simulators; no secrets."""


class OrderServer:
    """The orders server over simulators; started, killed and started again with the same journal."""

    def __init__(self, directory: Path, *simulators: tuple[str, SimulatorProcess], **settings: str) -> None:
        self.directory = directory
        self.database = f"sqlite:///{directory / 'orders.db'}"
        self.settings = {
            "TRADING": "simulator",
            "ORDERS_DATABASE_URL": self.database,
            "ORDERS_EXCHANGES": ",".join(name for name, _ in simulators),
            "ORDERS_WEB_PORT": "0",
            "ORDERS_PER_SECOND": "10000",
            "ORDERS_DEAD_MAN": "off",
            **{f"{name.upper()}_URL": simulator.url for name, simulator in simulators},
            **DEMO_KEYS,
            **settings,
        }
        self.key = asyncio.run(_made_key(self.database))
        self.process: ServerProcess | None = None

    def start(self, *, open_files: int = 0, **settings: str) -> None:
        """Start it; wait until it serves."""
        # One that was killed has left its own.
        (self.directory / "orders.ready.json").unlink(missing_ok=True)
        self.process = ServerProcess("orders", self.directory, open_files=open_files, **{**self.settings, **settings})

    def wait_trading(self) -> None:
        """Wait until every exchange has been reconciled; after many starts in a minute that takes until its limits are free again."""
        until(lambda: not self.switch().blocked, what="reconciliation", timeout_s=RECONCILED_S)

    def kill(self) -> None:
        """kill -9, or only the burial when it has ended by itself."""
        assert self.process is not None
        self.process.channel.close()
        self.process.kill()
        self.process = None

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        code = self.process.stop()
        self.process = None
        return code

    @property
    def rest_url(self) -> str:
        """Where its REST face is."""
        assert self.process is not None
        return f"http://127.0.0.1:{self.process.announcement['web_port']}"

    @property
    def stub(self) -> OrderServiceStub:
        """Its gRPC face."""
        assert self.process is not None
        return OrderServiceStub(self.process.channel)

    @property
    def metadata(self) -> tuple[tuple[str, str]]:
        """What every call needs."""
        return (("authorization", f"Bearer {self.key}"),)

    def call(self, method: str, request: Any, *, timeout_s: float = CALL_S) -> Any:
        """Make one call."""
        return getattr(self.stub, method)(request, metadata=self.metadata, timeout=timeout_s)

    def switch(self) -> pb.GetKillSwitchResponse:
        """Return whether and why nothing goes out."""
        answer: pb.GetKillSwitchResponse = self.call("GetKillSwitch", pb.GetKillSwitchRequest())
        return answer

    def place(self, key: str, **changes: Any) -> pb.Order:
        """Place an order: by default at the market, for a little."""
        values: dict[str, Any] = {
            "idempotency_key": key, "exchange": "binance", "symbol": "BTC/USDT", "side": pb.SIDE_BUY,
            "type": pb.ORDER_TYPE_MARKET, "quantity": "0.001", "valid_for_ms": 1000,
        }  # fmt: skip
        answer: pb.PlaceOrderResponse = self.call("PlaceOrder", pb.PlaceOrderRequest(**{**values, **changes}))
        return answer.order

    def orders(self) -> dict[str, pb.Order]:
        """Return every order of ours, by the client id that the exchange knows."""
        found: dict[str, pb.Order] = {}
        token = ""
        while True:
            page = self.call("ListOrders", pb.ListOrdersRequest(page_size=500, page_token=token))
            found |= {order.venue_client_order_id: order for order in page.orders}
            token = page.next_page_token
            if not token:
                return found

    def wait_settled(self, *, timeout_s: float = 90.0) -> dict[str, pb.Order]:
        """Return every order once none is unknown."""

        def settled() -> dict[str, pb.Order]:
            orders = self.orders()
            unknown = any(order.state == pb.ORDER_STATE_UNKNOWN for order in orders.values())
            return {} if unknown else orders

        return dict(until(settled, what="an end of every unknown order", timeout_s=timeout_s))


@contextlib.contextmanager
def order_server(
    directory: Path, *names: str, **settings: str
) -> Iterator[tuple[OrderServer, dict[str, SimulatorProcess]]]:
    """Keep simulators up for a block; the server is started and ended by the test, and buried here at the latest."""
    simulators: dict[str, SimulatorProcess] = {}
    server: OrderServer | None = None
    try:
        for name in names or ("binance",):
            # Still prices: what is compared is orders, not luck.
            simulators[name] = SimulatorProcess(name, directory, VOLATILITY="0")
        server = OrderServer(directory, *simulators.items(), **settings)
        yield server, simulators
    except BaseException:
        if server is not None and server.process is not None:
            print(server.process.log.read_text()[-20_000:])  # noqa: T201  (beside the failure)
        raise
    finally:
        if server is not None and server.process is not None:
            server.kill()
        for simulator in simulators.values():
            simulator.kill()


@contextlib.contextmanager
def dry_run_server(directory: Path) -> Iterator[OrderServer]:
    """Run an order server that sends nothing, and whose exchange is not there."""
    orders = OrderServer(directory, TRADING="dry-run", ORDERS_EXCHANGES="binance", BINANCE_URL="http://127.0.0.1:1")
    orders.start()
    try:
        yield orders
    finally:
        if orders.process is not None:
            orders.kill()


def check_against(simulator: SimulatorProcess, orders: dict[str, pb.Order]) -> None:
    """Assert that an exchange has what we say it has: nothing twice, nothing forgotten, nothing invented."""
    theirs = simulator.admin("GET", "/sim/fills/by-client-id")
    for client_id, row in theirs.items():
        assert row["orders"] == 1, f"{client_id} was executed {row['orders']} times"
        assert client_id in orders, f"{client_id} was forgotten"
        assert Decimal(orders[client_id].filled_quantity) == Decimal(row["quantity"]), client_id
    for client_id, order in orders.items():
        exists = order.state not in (pb.ORDER_STATE_NOT_PLACED, pb.ORDER_STATE_REJECTED)
        assert exists == (client_id in theirs), f"{client_id}: {pb.OrderState.Name(order.state)}"


def is_gone(error: grpc.RpcError) -> bool:
    """Whether a call failed because the server died."""
    return isinstance(error, grpc.Call) and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)


async def _made_key(url: str) -> str:
    engine = open_database(url, application="test")
    try:
        await prepare_orders_database(engine)
        source = pepper_source(url, file=None, text="", directory=Path("var"))
        pepper = await prepare_keys(engine, source, now_ns=time.time_ns())
        return await create_key(engine, pepper, name="test", roles={Role.ADMIN})
    finally:
        await engine.dispose()
