"""A second client on the same account: what it places is found here, and what is placed here it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protos.orders.v1 import orders_pb2 as pb
from tests.support.cli import until
from tests.support.order_server import DEMO_KEYS, order_server

ccxt: Any = pytest.importorskip("ccxt")


@pytest.mark.long
def test_two_clients_on_one_account_know_of_each_other(tmp_path: Path) -> None:
    with order_server(tmp_path, ORDERS_RECONCILE_S="1") as (server, simulators):
        server.start()
        server.wait_trading()
        other = ccxt.binance({"apiKey": DEMO_KEYS["BINANCE_API_KEY"], "secret": DEMO_KEYS["BINANCE_API_SECRET"]})
        other.urls["api"] = {
            key: simulators["binance"].url + url.partition("//")[2].partition("/")[2].join(("/", ""))
            for key, url in other.urls["api"].items()
            if isinstance(url, str)
        }
        try:
            other.load_markets()
            away = other.price_to_precision("BTC/USDT", other.fetch_ticker("BTC/USDT")["last"] * 0.97)

            ours = server.place("ours", type=pb.ORDER_TYPE_LIMIT, price=str(away), quantity="0.01", valid_for_ms=10_000)
            read = other.fetch_order(ours.exchange_order_id, "BTC/USDT")
            theirs = other.create_order("BTC/USDT", "limit", "buy", 0.02, float(away))

            def found() -> list[pb.Order]:
                return [order for order in server.orders().values() if order.external]

            external = until(found, what="the external order")[0]
            other.cancel_order(theirs["id"], "BTC/USDT")
            until(lambda: found()[0].state == pb.ORDER_STATE_CANCELED, what="its end")
            other.cancel_order(ours.exchange_order_id, "BTC/USDT")
            until(
                lambda: (
                    server.call("GetOrder", pb.GetOrderRequest(order_id=ours.order_id)).order.state
                    == pb.ORDER_STATE_CANCELED
                ),
                what="the end of ours, cancelled by the other client",
            )

            assert read["clientOrderId"] == ours.venue_client_order_id
            assert (read["amount"], read["status"]) == (0.01, "open")
            assert (external.exchange_order_id, external.quantity) == (theirs["id"], "0.02")
        finally:
            other.session.close()
        assert server.stop() == 0
