"""What goes onto the wire for each operation and market."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.binance import orders
from clients.exchanges.errors import CallerMustAct
from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderType, Side, TimeInForce, TradingClient, VenueOrder
from clients.resilience.call import Priority
from clients.resilience.outcome import Outcome
from tests.support.binance_wire import BinanceWire
from tests.support.contracts import documents, made
from tests.support.exchange_wire import reply

D = Decimal
TARGET = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT", "coinm": "BTC/USD:BTC"}
PREFIX = {"spot": "/api/v3", "usdm": "/fapi/v1", "coinm": "/dapi/v1"}
ORDER = {
    "orderId": 7,
    "symbol": "BTCUSDT",
    "clientOrderId": "mine",
    "status": "NEW",
    "side": "BUY",
    "origQty": "2",
    "price": "50",
    "executedQty": "0",
    "type": "LIMIT",
    "time": 1,
    "updateTime": 2,
}
SIGNED = ("recvWindow", "timestamp", "signature")


async def _instrument(wire: BinanceWire, market: str) -> Instrument:
    return await wire.client.instruments.by_symbol(TARGET[market])


def _order(instrument: Instrument, **changes: Any) -> VenueOrder:
    values: dict[str, Any] = {
        "instrument": instrument,
        "client_order_id": "mine",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "quantity": D("0.20000"),
        "price": D("5E+1"),
        "time_in_force": TimeInForce.GTC,
    }
    return VenueOrder(**{**values, **changes})


async def _placed(market: str, **changes: Any) -> dict[str, str]:
    wire = BinanceWire({f"POST {PREFIX[market]}/order": reply(ORDER)})
    await wire.trading.place(_order(await _instrument(wire, market), **changes), deadline_s=5)
    (sent,) = wire.asked
    assert (sent.method, sent.query) == ("POST", {})
    assert list(sent.form)[-3:] == list(SIGNED)
    assert sent.request.headers["X-MBX-APIKEY"] == "test-key"
    assert sent.request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    return {name: value for name, value in sent.form.items() if name not in SIGNED}


@pytest.mark.quick
async def test_a_limit_order_on_spot() -> None:
    assert await _placed("spot") == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "newOrderRespType": "FULL",
        "newClientOrderId": "mine",
        "type": "LIMIT",
        "quantity": "0.2",
        "price": "50",
        "timeInForce": "GTC",
    }


@pytest.mark.parametrize(("market", "kind"), [("spot", "FULL"), ("usdm", "RESULT"), ("coinm", "RESULT")])
async def test_a_market_order_has_neither_price_nor_time_in_force(market: str, kind: str) -> None:
    sent = await _placed(market, type=OrderType.MARKET, price=None, time_in_force=None, quantity=D(3))

    assert "price" not in sent
    assert "timeInForce" not in sent
    assert (sent["type"], sent["quantity"], sent["newOrderRespType"]) == ("MARKET", "3", kind)


async def test_post_only_is_a_type_on_spot_and_a_time_in_force_on_futures() -> None:
    spot = await _placed("spot", post_only=True)
    futures = await _placed("usdm", post_only=True)

    assert spot["type"] == "LIMIT_MAKER"
    assert "timeInForce" not in spot
    assert (futures["type"], futures["timeInForce"]) == ("LIMIT", "GTX")


@pytest.mark.parametrize("time_in_force", list(TimeInForce))
@pytest.mark.parametrize("market", list(TARGET))
async def test_times_in_force_go_out_as_they_are(market: str, time_in_force: TimeInForce) -> None:
    assert (await _placed(market, time_in_force=time_in_force))["timeInForce"] == time_in_force.value


async def test_reduce_only_goes_out_on_futures_and_is_refused_on_spot() -> None:
    assert (await _placed("coinm", reduce_only=True))["reduceOnly"] == "true"
    assert "reduceOnly" not in await _placed("coinm")

    wire = BinanceWire()
    with pytest.raises(CallerMustAct, match="reduce-only"):
        await wire.trading.place(_order(await _instrument(wire, "spot"), reduce_only=True), deadline_s=5)
    assert wire.asked == []


# Unified calls as ccxt spells them; two of its own ask for what is not ours.
UNSUPPORTED = {
    "Spot market buy by quote cost": "orders of this API are in base quantity",
    "Spot limit with STP and iceberg": "neither is part of this API",
}


CASES = [
    case
    for document in documents("binance/requests")
    for case in document.plain
    if case["description"] not in UNSUPPORTED
]


@pytest.mark.parametrize("case", CASES, ids=[case["description"] for case in CASES])
async def test_a_unified_call_becomes_the_request_of_its_case(case: dict[str, Any]) -> None:
    """Client ids and broker tags were removed from the recorded ones."""
    expected = dict(pair.split("=", 1) for pair in case["http"]["params"].split("&"))
    market = "usdm" if "/fapi/" in case["http"]["url"] else "spot"
    wire = BinanceWire(
        {
            f"POST {PREFIX[market]}/order": reply(ORDER),
            f"DELETE {PREFIX[market]}/order": reply({**ORDER, "status": "CANCELED"}),
        }
    )
    named = {"exchange_symbol": expected["symbol"]}
    instrument = Instrument(**{**(await _instrument(wire, market)).__dict__, **named})

    if case["http"]["method"] == "DELETE":
        await wire.trading.cancel(instrument, client_order_id=case["input"][0], exchange_order_id="", deadline_s=5)
    else:
        _, kind, side, *_ = case["input"]
        price = D(expected["price"]) if "price" in expected else None
        options = case["input"][5] if len(case["input"]) > 5 else {}
        order = _order(
            instrument,
            type=OrderType(kind.upper()),
            side=Side(side.upper()),
            quantity=D(expected["quantity"]),
            price=price,
            time_in_force=TimeInForce.GTC if price is not None else None,
            post_only=options.get("postOnly", False),
        )
        await wire.trading.place(order, deadline_s=5)

    (sent,) = wire.asked
    ours = {name: value for name, value in sent.parameters.items() if name not in (*SIGNED, "newClientOrderId")}
    assert f"{sent.method} {sent.path}" == f"{case['http']['method']} /{case['http']['url'].split('/', 3)[3]}"
    assert ours == expected


@pytest.mark.parametrize(("market", "path"), [("usdm", "/fapi/v1/order"), ("coinm", "/dapi/v1/order")])
async def test_an_amend_on_futures_sets_absolute_targets(market: str, path: str) -> None:
    wire = BinanceWire({f"PUT {path}": reply(made("binance/usdm/order_amended").plain)})

    report = await wire.trading.amend(
        await _instrument(wire, market),
        client_order_id="mine",
        exchange_order_id="",
        side=Side.SELL,
        quantity=D(3),
        price=D("61299.50"),
        deadline_s=5,
    )

    (sent,) = wire.asked
    assert {name: value for name, value in sent.form.items() if name not in SIGNED} == {
        "symbol": {"usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}[market],
        "side": "SELL",
        "quantity": "3",
        "price": "61299.5",
        "origClientOrderId": "mine",
    }
    assert report.price == D("61299.5")


async def test_a_decrease_on_spot_keeps_priority_and_client_id() -> None:
    amended = made("binance/spot/order_amended_long").plain
    wire = BinanceWire({"GET /api/v3/order": reply(ORDER), "PUT /api/v3/order/amend/keepPriority": reply(amended)})

    await wire.trading.amend(
        await _instrument(wire, "spot"),
        client_order_id="mine",
        exchange_order_id="7",
        side=Side.BUY,
        quantity=D("1.5"),
        price=D(50),
        deadline_s=5,
    )

    _, sent = wire.asked
    assert {name: value for name, value in sent.form.items() if name not in SIGNED} == {
        "symbol": "BTCUSDT",
        "orderId": "7",
        "newClientOrderId": "mine",
        "newQty": "1.5",
    }


@pytest.mark.parametrize(("quantity", "price"), [("3", "50"), ("1", "51"), ("2", "51"), ("1", "49.99")])
async def test_what_spot_cannot_amend_is_refused_before_anything_changes(quantity: str, price: str) -> None:
    wire = BinanceWire({"GET /api/v3/order": reply(ORDER)})

    with pytest.raises(CallerMustAct) as refused:
        await wire.trading.amend(
            await _instrument(wire, "spot"),
            client_order_id="mine",
            exchange_order_id="",
            side=Side.BUY,
            quantity=D(quantity),
            price=D(price),
            deadline_s=5,
        )

    assert (refused.value.code, refused.value.outcome) == ("AMEND_UNSUPPORTED", Outcome.REJECTED)
    assert [sent.method for sent in wire.asked] == ["GET"]


async def test_an_amend_on_spot_to_what_is_changes_nothing() -> None:
    wire = BinanceWire({"GET /api/v3/order": reply(ORDER)})

    report = await wire.trading.amend(
        await _instrument(wire, "spot"),
        client_order_id="mine",
        exchange_order_id="",
        side=Side.BUY,
        quantity=D(2),
        price=D(50),
        deadline_s=5,
    )

    assert (report.quantity, report.source) == (D(2), "query")
    assert [sent.method for sent in wire.asked] == ["GET"]


async def test_an_order_is_named_by_its_exchange_id_where_that_is_known() -> None:
    """Client ids may be used again once an order is done: the exchange's own id cannot mean another."""
    wire = BinanceWire({"/api/v3/order": reply({**ORDER, "status": "CANCELED"})})
    instrument = await _instrument(wire, "spot")

    await wire.trading.cancel(instrument, client_order_id="mine", exchange_order_id="7", deadline_s=5)
    await wire.trading.query(instrument, client_order_id="mine")

    cancel, query = wire.asked
    assert cancel.query.get("orderId") == "7"
    assert "origClientOrderId" not in cancel.query
    assert query.query["origClientOrderId"] == "mine"
    with pytest.raises(ValueError, match="client_order_id"):
        await wire.trading.query(instrument)


@pytest.mark.parametrize("market", list(TARGET))
async def test_cancels_and_queries_go_first_and_orders_are_not_repeatable(market: str) -> None:
    wire = BinanceWire()
    instrument = await _instrument(wire, market)
    named = orders.identity(client_order_id="a", exchange_order_id="")
    cancel, query = orders.cancel(instrument, named), orders.query(instrument, named)
    place = orders.place(_order(instrument))
    amend = orders.amend_futures(instrument, named, side="BUY", quantity=D(1), price=D(1))

    assert (
        cancel.spec.priority is query.spec.priority is orders.cancel_all(instrument).spec.priority is Priority.RECOVERY
    )
    assert place.spec.priority is Priority.NORMAL
    assert (cancel.spec.idempotent, query.spec.idempotent) == (True, True)
    assert (place.spec.idempotent, amend.spec.idempotent) == (False, False)
    # An open breaker for new orders must not keep cancels back.
    assert cancel.spec.group != place.spec.group


def test_the_trading_client_is_one() -> None:
    client: TradingClient = BinanceWire().trading

    assert client.exchange == "binance"
