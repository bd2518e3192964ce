"""What the trading client makes of answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.errors import CallerMustAct, ExchangeError, OutcomeUnknown, TryLater
from clients.exchanges.model import Instrument
from clients.exchanges.trading import AmendWay, DeadManScope, OrderType, Side, TimeInForce, VenueOrder, VenueState
from clients.http.transport import ResponseLost
from clients.resilience.outcome import Outcome
from tests.support.binance_wire import BinanceWire
from tests.support.contracts import documents
from tests.support.exchange_wire import Reply, Sent, reply

D = Decimal
SYMBOL = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT", "coinm": "BTC/USD:BTC"}
EXCHANGE_SYMBOL = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
PREFIX = {"spot": "/api/v3", "usdm": "/fapi/v1", "coinm": "/dapi/v1"}


def _row(market: str = "spot", **changes: Any) -> dict[str, Any]:
    row = {
        "orderId": 7,
        "symbol": EXCHANGE_SYMBOL[market],
        "clientOrderId": "mine",
        "status": "NEW",
        "side": "BUY",
        "origQty": "2",
        "executedQty": "0",
        "price": "50",
        "type": "LIMIT",
        "time": 5_000,
        "updateTime": 5_000,
    }
    return {**row, **changes}


async def _instrument(wire: BinanceWire, market: str = "spot") -> Instrument:
    return await wire.client.instruments.by_symbol(SYMBOL[market])


def _order(instrument: Instrument) -> VenueOrder:
    return VenueOrder(instrument, "mine", Side.BUY, OrderType.LIMIT, D(2), D(50), TimeInForce.GTC)


@pytest.mark.quick
@pytest.mark.parametrize("market", list(SYMBOL))
async def test_a_placed_order_is_reported_with_evidence(market: str) -> None:
    wire = BinanceWire({f"POST {PREFIX[market]}/order": reply(_row(market))})

    report = await wire.trading.place(_order(await _instrument(wire, market)), deadline_s=5)

    assert (report.symbol, report.market, report.state) == (SYMBOL[market], market, VenueState.NEW)
    assert report.raw.startswith(b'{"orderId": 7')
    assert report.sent is not None
    timestamp_ms = int(wire.asked[0].form["timestamp"])
    assert report.sent.expires_server_time_ns == (timestamp_ms + 5000) * 1_000_000


@pytest.mark.parametrize(
    ("answer", "kind", "outcome"),
    [
        (ResponseLost("reset"), OutcomeUnknown, Outcome.UNKNOWN),
        (reply({"code": -1007, "msg": "Timeout"}, status=504), OutcomeUnknown, Outcome.UNKNOWN),
        (reply(b"<html>bad gateway</html>", status=502), OutcomeUnknown, Outcome.UNKNOWN),
        (reply(b"", status=200), OutcomeUnknown, Outcome.UNKNOWN),
        (reply(b"[]", status=200), OutcomeUnknown, Outcome.UNKNOWN),
        (reply({"orderId": 7}, status=200), OutcomeUnknown, Outcome.UNKNOWN),
        (reply({"orderId": 7, "status": "NOVEL", "side": "BUY"}), OutcomeUnknown, Outcome.UNKNOWN),
        (reply({"code": -2010, "msg": "Duplicate order sent."}, status=400), CallerMustAct, Outcome.DUPLICATE),
        (reply({"code": -2010, "msg": "insufficient balance"}, status=400), CallerMustAct, Outcome.REJECTED),
        (reply({"code": -1015, "msg": "Too many new orders"}, status=429), TryLater, Outcome.THROTTLED),
    ],
)
async def test_an_order_that_did_not_succeed_says_what_is_known(
    answer: Reply, kind: type[ExchangeError], outcome: Outcome
) -> None:
    wire = BinanceWire({"POST /api/v3/order": answer})

    with pytest.raises(kind) as error:
        await wire.trading.place(_order(await _instrument(wire)), deadline_s=5)

    assert error.value.outcome is outcome
    assert error.value.operation == "place_order"
    assert error.value.sent is not None
    assert error.value.sent.expires_server_time_ns is not None
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    ("name", "outcome", "code"),
    [
        ("replace_throttled", Outcome.THROTTLED, "-1015"),
        ("replace_failed", Outcome.REJECTED, "-2022"),
        ("replace_half_failed", Outcome.UNKNOWN, "-2021"),
    ],
)
async def test_documented_error_bodies_are_judged(name: str, outcome: Outcome, code: str) -> None:
    for document in documents(f"binance/spot/{name}"):
        wire = BinanceWire({"POST /api/v3/order": reply(document.plain, status=document.status)})

        with pytest.raises(ExchangeError) as error:
            await wire.trading.place(_order(await _instrument(wire)), deadline_s=5)

        assert (error.value.outcome, error.value.code) == (outcome, code), document


async def test_an_error_that_comes_with_200_is_an_error() -> None:
    wire = BinanceWire({"GET /fapi/v1/order": reply({"code": -2013, "msg": "Order does not exist."})})

    with pytest.raises(CallerMustAct) as error:
        await wire.trading.query(await _instrument(wire, "usdm"), client_order_id="mine")

    assert error.value.outcome is Outcome.NOT_FOUND


async def test_the_end_of_a_ban_is_counted_on_the_servers_clock() -> None:
    wire = BinanceWire(skew_ms=-100_000)
    await wire.client.get_server_time("spot")
    until_ms = wire.transport.clock.wall // 1_000_000 - 100_000 + 30_000
    text = f"Way too many requests; IP banned until {until_ms}."
    wire.answers["GET /api/v3/order"] = reply({"code": -1003, "msg": text}, status=418, headers={"retry-after": "5"})

    with pytest.raises(TryLater) as error:
        await wire.trading.query(await _instrument(wire), client_order_id="mine")

    assert error.value.retry_after_s == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize("header", ["", "soon", "-5", "1e3", "99999999"])
async def test_a_retry_after_that_is_no_count_of_seconds_is_ignored(header: str) -> None:
    answer = reply({"code": -1003, "msg": "Too many"}, status=429, headers={"retry-after": header})
    wire = BinanceWire({"GET /api/v3/order": answer})

    with pytest.raises(TryLater) as error:
        await wire.trading.query(await _instrument(wire), client_order_id="mine")

    assert error.value.retry_after_s is None


@pytest.mark.parametrize("body", [b"?signature=CANARY", b"<html>CANARY</html>", b"\x00\x1b[31mCANARY?signature="])
async def test_an_answer_that_repeats_the_request_does_not_get_into_the_error(body: bytes) -> None:
    wire = BinanceWire({"GET /api/v3/order": reply(body, status=403)})

    with pytest.raises(TryLater) as error:
        await wire.trading.query(await _instrument(wire), client_order_id="mine")

    assert "CANARY" not in str(error.value)


async def test_cancelling_a_spot_symbol_reports_the_orders() -> None:
    row = _row(status="CANCELED", clientOrderId="the-cancel", origClientOrderId="mine")
    wire = BinanceWire({"DELETE /api/v3/openOrders": reply([row])})

    (report,) = await wire.trading.cancel_all(await _instrument(wire), deadline_s=5)

    assert (report.client_order_id, report.state) == ("mine", VenueState.CANCELED)


async def test_cancelling_a_spot_symbol_without_open_orders_is_no_error() -> None:
    wire = BinanceWire({"DELETE /api/v3/openOrders": reply({"code": -2011, "msg": "Unknown order sent."}, status=400)})

    assert await wire.trading.cancel_all(await _instrument(wire), deadline_s=5) == []


async def test_a_refused_cancel_of_everything_is_an_error() -> None:
    wire = BinanceWire({"DELETE /api/v3/openOrders": reply({"code": -1121, "msg": "Invalid symbol."}, status=400)})

    with pytest.raises(CallerMustAct):
        await wire.trading.cancel_all(await _instrument(wire), deadline_s=5)


@pytest.mark.parametrize("market", ["usdm", "coinm"])
async def test_cancelling_a_futures_symbol_names_no_orders(market: str) -> None:
    done = {"code": 200, "msg": "The operation of cancel all open order is done."}
    wire = BinanceWire({f"DELETE {PREFIX[market]}/allOpenOrders": reply(done)})

    assert await wire.trading.cancel_all(await _instrument(wire, market), deadline_s=5) == []


async def test_cancelling_everything_goes_through_every_symbol_with_open_orders_and_past_errors() -> None:
    wire = BinanceWire(
        {
            "GET /api/v3/openOrders": reply([_row(), _row(orderId=8), _row(symbol="ETHUSDT", orderId=9)]),
            "GET /fapi/v1/openOrders": reply([_row("usdm")]),
            "GET /dapi/v1/openOrders": reply([]),
            "DELETE /api/v3/openOrders": lambda sent: (
                ResponseLost("reset") if sent.query["symbol"] == "BTCUSDT" else reply([_row(symbol="ETHUSDT")])
            ),
            "DELETE /fapi/v1/allOpenOrders": reply({"code": 200, "msg": "done"}),
        }
    )

    with pytest.raises(OutcomeUnknown):
        await wire.trading.cancel_all(None, deadline_s=5)

    cancelled = [(sent.path, sent.query["symbol"]) for sent in wire.asked if sent.method == "DELETE"]
    assert sorted(cancelled) == [
        ("/api/v3/openOrders", "BTCUSDT"),
        ("/api/v3/openOrders", "ETHUSDT"),
        ("/fapi/v1/allOpenOrders", "BTCUSDT"),
    ]


async def test_open_orders_of_everything_ask_every_market() -> None:
    wire = BinanceWire({f"GET {PREFIX[market]}/openOrders": reply([_row(market)]) for market in SYMBOL})

    reports = await wire.trading.open_orders()

    assert [(report.market, report.symbol) for report in reports] == list(SYMBOL.items())
    assert {report.source for report in reports} == {"query"}


async def test_open_orders_of_one_symbol_ask_its_market_alone() -> None:
    wire = BinanceWire({"GET /fapi/v1/openOrders": reply([])})

    assert await wire.trading.open_orders(await _instrument(wire, "usdm")) == []

    assert [sent.query["symbol"] for sent in wire.asked] == ["BTCUSDT"]


async def test_an_order_of_an_unlisted_instrument_does_not_get_lost() -> None:
    wire = BinanceWire({"GET /api/v3/openOrders": reply([_row(symbol="GONEUSDT")])})

    (report,) = await wire.trading.open_orders(await _instrument(wire))

    assert report.symbol == "GONEUSDT"


@pytest.mark.parametrize(("market", "window_h", "page"), [("spot", 24, 1000), ("usdm", 144, 1000), ("coinm", 144, 100)])
async def test_history_is_asked_for_in_windows_and_pages_the_exchange_allows(
    market: str, window_h: int, page: int
) -> None:
    hour_ms = 3_600_000
    start_ms = 1_700_000_000_000
    rows = [_row(market, orderId=index + 1, time=start_ms + index) for index in range(page + 5)]

    def answer(sent: Sent) -> Reply:
        assert sent.query["limit"] == str(page)
        if "startTime" in sent.query:
            first, last = int(sent.query["startTime"]), int(sent.query["endTime"])
            assert last - first < window_h * hour_ms
            found = [row for row in rows if first <= row["time"] <= last]
        else:
            found = [row for row in rows if row["orderId"] >= int(sent.query["orderId"])]
        return reply(found[:page])

    wire = BinanceWire({f"GET {PREFIX[market]}/allOrders": answer})
    end_ms = start_ms + 3 * window_h * hour_ms - 1

    reports = await wire.trading.orders_between(
        await _instrument(wire, market), start_ns=start_ms * 1_000_000, end_ns=end_ms * 1_000_000
    )

    assert [int(report.exchange_order_id) for report in reports] == list(range(1, page + 6))
    # Three windows, the first of them in two pages.
    assert len(wire.asked) == 4


@pytest.mark.parametrize(
    ("market", "path"),
    [("spot", "/api/v3/myTrades"), ("usdm", "/fapi/v1/userTrades"), ("coinm", "/dapi/v1/userTrades")],
)
async def test_our_trades_are_listed(market: str, path: str) -> None:
    trade = {"id": 9, "orderId": 7, "qty": "1", "price": "2", "time": 1_700_000_000_000, "isBuyer": True}
    wire = BinanceWire({f"GET {path}": reply([trade])})

    fills = await wire.trading.fills(
        await _instrument(wire, market), start_ns=1_700_000_000_000_000_000, end_ns=1_700_000_001_000_000_000
    )

    assert [(fill.trade_id, fill.symbol, fill.side) for fill in fills] == [("9", SYMBOL[market], Side.BUY)]


@pytest.mark.parametrize("row", [{"orderId": 7}, {"orderId": "x", "time": 1}, "text", None])
async def test_a_list_with_a_bad_row_is_an_error_of_ours_to_handle(row: Any) -> None:
    wire = BinanceWire({"GET /api/v3/allOrders": reply([row])})

    with pytest.raises(TryLater, match="not as documented"):
        await wire.trading.orders_between(await _instrument(wire), start_ns=0, end_ns=1)


async def test_positions_of_both_futures_markets() -> None:
    wire = BinanceWire(
        {
            "GET /fapi/v3/positionRisk": reply([{"symbol": "BTCUSDT", "positionAmt": "-0.5", "entryPrice": "9"}]),
            "GET /dapi/v1/positionRisk": reply(
                [
                    {"symbol": "BTCUSD_PERP", "positionAmt": "3", "entryPrice": "8"},
                    {"symbol": "ETHUSD_PERP", "positionAmt": "0", "entryPrice": "0"},
                ]
            ),
        }
    )

    positions = await wire.trading.positions()

    assert [(held.symbol, held.quantity) for held in positions] == [("BTC/USDT:USDT", D("-0.5")), ("BTC/USD:BTC", D(3))]


async def test_the_dead_man_timer_covers_futures_and_says_when_it_does_not_cover_all() -> None:
    wire = BinanceWire({"POST /fapi/v1/countdownCancelAll": reply({}), "POST /dapi/v1/countdownCancelAll": reply({})})
    spot, usdm, coinm = [await _instrument(wire, market) for market in SYMBOL]

    assert await wire.trading.arm_dead_man(timeout_s=60, instruments=[usdm, coinm]) is True
    assert await wire.trading.arm_dead_man(timeout_s=0, instruments=[spot, usdm]) is False

    sent = [(sent.form["symbol"], sent.form["countdownTime"]) for sent in wire.asked]
    assert sent == [("BTCUSDT", "60000"), ("BTCUSD_PERP", "60000"), ("BTCUSDT", "0")]


async def test_capabilities_differ_between_spot_and_futures() -> None:
    wire = BinanceWire()
    spot = wire.trading.capabilities(await _instrument(wire, "spot"))
    futures = wire.trading.capabilities(await _instrument(wire, "coinm"))

    assert (spot.amend_price, spot.amend_quantity_up) == (AmendWay.REPLACES,) * 2
    assert (spot.amend_quantity_down, spot.reduce_only) == (AmendWay.KEEPS_PLACE, False)
    ways = (futures.amend_price, futures.amend_quantity_up, futures.amend_quantity_down)
    assert (ways, futures.reduce_only) == ((AmendWay.LOSES_PLACE,) * 3, True)
    assert (spot.dead_man, futures.dead_man) == (None, DeadManScope.SYMBOL)


async def test_arrival_is_bounded_by_the_window_that_requests_are_signed_with() -> None:
    wire = BinanceWire({"POST /fapi/v1/countdownCancelAll": reply({}), "POST /dapi/v1/countdownCancelAll": reply({})})
    instrument = await _instrument(wire, "usdm")
    await wire.trading.arm_dead_man(timeout_s=60, instruments=[instrument])

    bound = wire.trading.capabilities(instrument).arrival

    assert bound is not None
    assert [sent.form["recvWindow"] for sent in wire.asked] == [f"{bound.receive_window_s * 1000:g}"]
    assert bound.processing_s >= 10.0, "the exchange's own timeout"
