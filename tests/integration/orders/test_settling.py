"""The smallest way to an order that nobody can find out about, and out of it: with real processes, on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from protos.orders.v1 import orders_pb2 as pb
from tests.support.cli import PATIENCE_S, ROOT, clean_environment, until
from tests.support.order_server import OrderServer, order_server


def settle(server: OrderServer, *arguments: str, key: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a key on its standard input."""
    assert server.process is not None
    environment = clean_environment({"MIDSTREAM_ORDERS_PORT": str(server.process.announcement["port"])})
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "orders", "settle", *arguments, "--key-file", "-"],
        cwd=ROOT, env=environment, input=key + "\n", capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_an_operator_ends_an_order_that_the_exchange_never_got(tmp_path: Path) -> None:
    with order_server(tmp_path, "bitmex", ORDERS_OPEN_MAX="1") as (server, simulators):
        server.start()
        server.wait_trading()
        simulators["bitmex"].admin("PUT", "/sim/faults", "swallow@POST /api/v1/order,count=1")
        order = server.place("lost", exchange="bitmex", symbol="BTC/USD:BTC", quantity="100")
        assert order.state == pb.ORDER_STATE_UNKNOWN
        words = ("--reason", "not in the order history", "--evidence", "ticket 4711")

        def ended() -> subprocess.CompletedProcess[str] | None:
            # Until its time to be sent is over, the answer is to look again.
            done = settle(server, order.order_id, "--not-there", *words, "--json", key=server.key)
            return done if done.returncode == 0 else None

        done = until(ended, what="a settled order")
        again = settle(server, order.order_id, "--not-there", *words, key=server.key)
        both = settle(server, order.order_id, "--not-there", "--exchange-order-id", "x", *words, key=server.key)
        stranger = settle(server, order.order_id, "--not-there", *words, key="mk_nobody")

        assert json.loads(done.stdout) == {
            "order_id": order.order_id, "state": "NOT_PLACED", "already": False, "exchange_order_id": None, "ended_by": None,
            "reason": "test has looked, and it is not at bitmex: not in the order history",
        }  # fmt: skip
        assert (again.returncode, "settled before" in again.stdout) == (0, True)
        assert (both.returncode, "not both" in both.stderr) == (2, True)
        assert (stranger.returncode, stranger.stdout) == (2, "")
        events = list(server.stub.ExportAudit(pb.ExportAuditRequest(order_id=order.order_id), metadata=server.metadata))
        assert [(one.event.kind, one.event.actor) for one in events][-1] == ("settled", "test")
        assert json.loads(events[-1].event.body_json)["evidence"] == "ticket 4711"
        assert server.place("next", exchange="bitmex", symbol="BTC/USD:BTC", quantity="100").state == (
            pb.ORDER_STATE_FILLED
        )
        assert server.stop() == 0
