"""BitMEX's order entry: what goes out, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bitmex.limits import ORDERS, REQUESTS
from clients.exchanges.bitmex.paging import OVERLAP_ROWS, PAGE_ROWS, PAGES_MAX
from clients.exchanges.bitmex.units import money, time_ns, time_text
from clients.exchanges.errors import CallerMustAct, ExchangeError, OutcomeUnknown, TryLater
from clients.exchanges.exact_json import parse_json
from clients.exchanges.model import Instrument
from clients.exchanges.trading import (
    AmendWay,
    Capabilities,
    DeadManScope,
    EndedBy,
    OrderType,
    Side,
    TimeInForce,
    VenueOrder,
    VenueState,
)
from clients.resilience.call import Priority
from clients.resilience.outcome import Outcome
from tests.support.contracts import Document, documents, over
from tests.support.exchange_stage import OneAttempt, Reply, Seen
from tests.unit.clients.bitmex.stage import XBT_USDT, XBTUSD, XBTUSDT, instrument, on_stage, order_row, trading

SWAP, LINEAR, SPOT = instrument(XBTUSD), instrument(XBTUSDT), instrument(XBT_USDT)
UNIT = Decimal(10**8)


def _order(made: Instrument = SWAP, **changes: Any) -> VenueOrder:
    values: dict[str, Any] = {
        "instrument": made,
        "client_order_id": "ours-1",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "quantity": Decimal(100),
        "price": Decimal("90000.5"),
        "time_in_force": TimeInForce.GTC,
    } | changes
    return VenueOrder(**values)


@pytest.mark.quick
async def test_a_limit_order_goes_out_with_our_id_and_its_answer_is_a_report() -> None:
    desk, transport = trading(lambda seen: Reply(order_row(price=90000.5)))

    report = await desk.place(_order(post_only=True, reduce_only=True), deadline_s=5.0)

    (seen,) = transport.of("/order", "POST")
    assert seen.body == (
        b'{"symbol":"XBTUSD","side":"Buy","orderQty":100,"ordType":"Limit","clOrdID":"ours-1","price":90000.5,'
        b'"timeInForce":"GoodTillCancel","execInst":"ParticipateDoNotInitiate,ReduceOnly"}'
    )
    assert (report.client_order_id, report.state, report.raw_state) == ("ours-1", VenueState.NEW, "New")
    assert (report.quantity, report.price, report.filled_quantity) == (Decimal(100), Decimal("90000.5"), Decimal(0))
    assert (report.average_price, report.source) == (None, "answer")
    assert report.sent is not None
    assert parse_json(report.raw)["orderID"] == report.exchange_order_id


async def test_a_market_order_has_neither_price_nor_time_in_force() -> None:
    answer = order_row(ordType="Market", ordStatus="Filled", cumQty=100, avgPx=90001.5, price=90001)
    desk, transport = trading(lambda seen: Reply(answer))

    order = _order(type=OrderType.MARKET, price=None, time_in_force=None)
    report = await desk.place(order, deadline_s=5.0)

    assert set(transport.of("/order")[0].json) == {"symbol", "side", "orderQty", "ordType", "clOrdID"}
    assert (report.state, report.average_price, report.price) == (VenueState.FILLED, Decimal("90001.5"), None)


PLACED = [case for document in documents("bitmex/requests") for case in document.plain if "json_body" in case["http"]]


@pytest.mark.parametrize("case", PLACED, ids=[case["description"] for case in PLACED])
async def test_a_unified_call_becomes_the_request_of_its_case(case: dict[str, Any]) -> None:
    """`text` is another client's own annotation; amounts are contracts for swaps, base for spot."""
    symbol, kind, side, quantity, *price = case["input"]
    made_for = {"BTC/USDT": SPOT, "BTC/USDT:USDT": LINEAR}[symbol]
    desk, transport = trading(lambda seen: Reply(order_row(symbol=made_for.exchange_symbol)))

    await desk.place(
        _order(
            made_for,
            side=Side(side.upper()),
            type=OrderType(kind.upper()),
            quantity=Decimal(str(quantity)),
            price=None if not price or price[0] is None else Decimal(str(price[0])),
            time_in_force=None,
        ),
        deadline_s=5.0,
    )

    (seen,) = transport.of("/order")
    wanted = {name: value for name, value in case["http"]["json_body"].items() if name != "text"}
    assert (seen.method, seen.path) == (case["http"]["method"], case["http"]["path"])
    assert seen.json == wanted | {"clOrdID": "ours-1"}


@over("bitmex/requests")
async def test_the_query_targets_of_the_cases_are_ours(document: Document) -> None:
    """The query by id and the list of open orders, up to our paging."""
    cases = document.plain
    desk, transport = trading(lambda seen: Reply([order_row(orderID=cases[5]["input"][0], symbol="XBTUSDT")]))

    await desk.query(LINEAR, exchange_order_id=cases[5]["input"][0])
    await desk.open_orders(SPOT)

    query, listing = transport.of("/order")
    assert query.target == cases[5]["http"]["path"]
    assert listing.target == cases[6]["http"]["path"] + "&count=500&start=0&reverse=false"


@pytest.mark.parametrize("index", [0, 1], ids=["spot", "linear"])
@over("bitmex/answers")
async def test_the_answers_of_the_cases_mean_the_same_to_us(document: Document, index: int) -> None:
    """Numbers come as text here."""
    case = document.exact[index]
    row, expected = case["httpResponse"][0], case["expected"]
    of = SPOT if index == 0 else LINEAR
    desk, _ = trading(lambda seen: Reply([row]))

    report = await desk.query(of, exchange_order_id=row["orderID"])

    assert report.symbol == expected["symbol"]
    assert report.side.value.lower() == expected["side"]
    assert report.time_in_force is TimeInForce.IOC
    assert (report.quantity, report.filled_quantity) == (expected["amount"], expected["filled"])
    assert report.average_price == expected["average"]
    assert report.update_time_ns == expected["timestamp"] * 1_000_000
    assert report.state is VenueState.FILLED
    assert report.filled_quantity is not None
    assert report.average_price is not None
    assert report.filled_quantity * report.average_price * of.contract_size == expected["cost"]


ROWS_OF_ORDERS = {
    "order_new": (Side.BUY, OrderType.LIMIT, VenueState.NEW),
    "order_bought": (Side.BUY, OrderType.MARKET, VenueState.FILLED),
    "order_sold": (Side.SELL, OrderType.MARKET, VenueState.FILLED),
    "order_filled": (Side.SELL, OrderType.LIMIT, VenueState.FILLED),
    "order_pending": (Side.BUY, OrderType.LIMIT, VenueState.NEW),
}


ANSWERED = [(name, document) for name in ROWS_OF_ORDERS for document in documents(f"bitmex/{name}")]


@pytest.mark.parametrize(("name", "document"), ANSWERED, ids=[f"{name}, {document}" for name, document in ANSWERED])
async def test_an_order_of_spot_is_read(name: str, document: Document) -> None:
    """Spot answers leave many fields out; quantities are in units of 1e-8."""
    payload = document.exact
    row = payload[0] if isinstance(payload, list) else payload
    desk, _ = trading(lambda seen: Reply([_plain(row)]))

    report = await desk.query(SPOT, exchange_order_id=row["orderID"])

    assert (report.side, report.type, report.state) == ROWS_OF_ORDERS[name]
    assert (report.quantity, report.filled_quantity) == (row["orderQty"] / UNIT, row["cumQty"] / UNIT)
    assert report.price == row.get("price")
    assert report.average_price == row.get("avgPx")
    assert report.reason == ""
    assert report.update_time_ns == time_ns(row["timestamp"], "timestamp")


@over("bitmex/open_orders")
async def test_the_list_of_open_orders_is_read(document: Document) -> None:
    """The instrument of one of the orders is not known here."""
    rows = document.exact
    desk, _ = trading(lambda seen: Reply(_plain(rows)))

    reports = await desk.open_orders()

    assert [row["symbol"] for row in rows] == ["ETH_USDT", "XBT_USDT"]
    assert [(report.symbol, report.price, report.quantity) for report in reports] == [
        ("BTC/USDT", rows[1]["price"], rows[1]["orderQty"] / UNIT)
    ]


@over("bitmex/order_canceled")
async def test_a_cancel_is_read(document: Document) -> None:
    rows = document.exact
    eth = replace(SPOT, exchange_symbol="ETH_USDT", symbol="ETH/USDT", exchange_quantity_scale=Decimal(10**9))
    desk, transport = trading(lambda seen: Reply(_plain(rows)))

    report = await desk.cancel(eth, client_order_id="", exchange_order_id=rows[0]["orderID"], deadline_s=5.0)

    assert transport.of("/order", "DELETE")[0].json == {"orderID": rows[0]["orderID"]}
    assert (report.state, report.quantity) == (VenueState.CANCELED, Decimal(rows[0]["orderQty"]) / 10**9)
    assert report.reason == "Canceled Canceled via API."


async def test_a_post_only_order_that_would_cross_is_a_cancelled_order_with_a_reason() -> None:
    row = order_row(ordStatus="Canceled", text="Canceled: Order had execInst of ParticipateDoNotInitiate", leavesQty=0)
    desk, _ = trading(lambda seen: Reply(row))

    report = await desk.place(_order(post_only=True), deadline_s=5.0)

    assert (report.state, report.ended_by) == (VenueState.CANCELED, EndedBy.POST_ONLY)
    assert "ParticipateDoNotInitiate" in report.reason


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("New", 0, VenueState.NEW),
        ("PendingNew", 0, VenueState.NEW),
        ("PendingCancel", 0, VenueState.NEW),
        ("PendingCancel", 30, VenueState.PARTIALLY_FILLED),
        ("PendingReplace", 30, VenueState.PARTIALLY_FILLED),
        ("Untriggered", 0, VenueState.NEW),
        ("Triggered", 0, VenueState.NEW),
        ("New", 30, VenueState.PARTIALLY_FILLED),
        ("PartiallyFilled", 30, VenueState.PARTIALLY_FILLED),
        ("PartiallyFilled", None, VenueState.PARTIALLY_FILLED),
        ("Filled", 100, VenueState.FILLED),
        ("Canceled", 30, VenueState.CANCELED),
        ("Rejected", 0, VenueState.REJECTED),
        ("Expired", 0, VenueState.EXPIRED),
        ("Stopped", 0, VenueState.EXPIRED),
        ("DoneForDay", 0, VenueState.EXPIRED),
    ],
)
async def test_states_are_mapped_as_the_sheets_say(status: str, filled: int | None, state: VenueState) -> None:
    desk, _ = trading(lambda seen: Reply(order_row(ordStatus=status, cumQty=filled)))

    report = await desk.place(_order(), deadline_s=5.0)

    assert (report.state, report.raw_state) == (state, status)


async def test_an_amend_is_absolute_and_names_the_order_by_our_id() -> None:
    desk, transport = trading(lambda seen: Reply(order_row(orderQty=200, price=90100)))

    report = await desk.amend(
        SWAP,
        client_order_id="ours-1",
        exchange_order_id="theirs",
        side=Side.BUY,
        quantity=Decimal(200),
        price=Decimal(90100),
        deadline_s=5.0,
    )

    (seen,) = transport.of("/order", "PUT")
    assert seen.json == {"origClOrdID": "ours-1", "orderQty": 200, "price": 90100}
    assert b"leavesQty" not in seen.body
    assert (report.quantity, report.price) == (Decimal(200), Decimal(90100))


async def test_an_order_without_an_id_of_ours_is_named_by_theirs() -> None:
    desk, transport = trading(lambda seen: Reply(order_row() if seen.method == "PUT" else [order_row()]))
    theirs = order_row()["orderID"]

    await desk.amend(
        SWAP,
        client_order_id="",
        exchange_order_id=theirs,
        side=Side.BUY,
        quantity=Decimal(100),
        price=Decimal(1),
        deadline_s=5.0,
    )
    await desk.cancel(SWAP, client_order_id="ours-1", exchange_order_id="", deadline_s=5.0)
    await desk.query(SWAP, client_order_id="ours-1")

    amend, cancel, query = transport.of("/order")
    assert amend.json["orderID"] == theirs
    assert cancel.json == {"clOrdID": "ours-1"}
    assert query.parameters == {"symbol": "XBTUSD", "filter": '{"clOrdID":"ours-1"}'}


@pytest.mark.parametrize(
    "text",
    ["Unable to cancel order due to existing state: Filled", "Not Found", "orderID not found", "Invalid orderID"],
)
async def test_a_200_that_refuses_in_its_element_is_no_cancel(text: str) -> None:
    desk, _ = trading(lambda seen: Reply([{"error": text, "orderID": "x"}]))

    with pytest.raises(CallerMustAct, match=text.split(":")[0]) as caught:
        await desk.cancel(SWAP, client_order_id="ours-1", exchange_order_id="", deadline_s=5.0)

    assert (caught.value.outcome, caught.value.http_status) == (Outcome.NOT_FOUND, 200)
    assert caught.value.sent is not None
    assert caught.value.raw


async def test_a_cancel_that_is_still_pending_is_not_reported_as_done() -> None:
    desk, _ = trading(lambda seen: Reply([order_row(ordStatus="PendingCancel", cumQty=30)]))

    report = await desk.cancel(SWAP, client_order_id="ours-1", exchange_order_id="", deadline_s=5.0)

    assert not report.state.terminal


async def test_a_cancel_that_is_answered_by_nothing_found_nothing() -> None:
    desk, _ = trading(lambda seen: Reply([]))

    with pytest.raises(CallerMustAct) as caught:
        await desk.cancel(SWAP, client_order_id="ours-1", exchange_order_id="", deadline_s=5.0)

    assert caught.value.outcome is Outcome.NOT_FOUND


async def test_cancelling_all_is_one_request_and_reports_every_order() -> None:
    rows = [
        order_row(ordStatus="Canceled"),
        order_row(orderID="b", symbol="XBTUSDT", ordStatus="Canceled"),
        order_row(orderID="c", symbol="UNKNOWN", ordStatus="Canceled"),
        {"error": "Unable to cancel order due to existing state: Filled", "orderID": "d"},
    ]
    desk, transport = trading(lambda seen: Reply(rows))

    everywhere = await desk.cancel_all(None, deadline_s=5.0)
    await desk.cancel_all(SWAP, deadline_s=5.0)

    first, second = transport.of("/order/all", "DELETE")
    assert (first.body, second.json) == (b"", {"symbol": "XBTUSD"})
    assert [report.symbol for report in everywhere] == ["BTC/USD:BTC", "BTC/USDT:USDT"]


async def test_an_unknown_order_is_not_found_and_of_two_rows_the_later_one_counts() -> None:
    early = order_row(timestamp="2025-10-09T08:53:20.000Z")
    late = order_row(timestamp="2025-10-09T08:53:21.000Z", ordStatus="Filled", cumQty=100)
    answers: list[Any] = [[], [order_row(clOrdID="another")], [late, early]]
    desk, _ = trading(lambda seen: Reply(answers.pop(0)))

    for _ in range(2):
        with pytest.raises(CallerMustAct) as caught:
            await desk.query(SWAP, client_order_id="ours-1")
        assert caught.value.outcome is Outcome.NOT_FOUND
    assert (await desk.query(SWAP, client_order_id="ours-1")).state is VenueState.FILLED


@pytest.mark.parametrize(
    "row",
    [
        order_row(ordStatus="Teleported"),
        order_row(ordStatus=None),
        order_row(orderID=""),
        order_row(side="Hold"),
        order_row(symbol="ETHUSD"),
        order_row(orderQty="many"),
        order_row(timestamp="now"),
        [],
        "text",
        None,
    ],
    ids=lambda row: str(row)[:60],
)
async def test_an_answer_to_an_order_that_is_not_as_documented_leaves_its_outcome_unknown(row: object) -> None:
    desk, _ = trading(lambda seen: Reply(row))

    with pytest.raises(OutcomeUnknown) as caught:
        await desk.place(_order(), deadline_s=5.0)

    assert caught.value.outcome is Outcome.UNKNOWN
    assert caught.value.sent is not None


@pytest.mark.parametrize("payload", [{}, ["text"], None, [order_row(ordStatus="Teleported")]], ids=str)
async def test_a_list_that_is_not_as_documented_can_be_asked_for_again(payload: object) -> None:
    desk, _ = trading(lambda seen: Reply(payload))

    for call in (lambda: desk.open_orders(), lambda: desk.query(SWAP, client_order_id="ours-1")):
        with pytest.raises(TryLater):
            await call()


async def test_two_answers_to_one_cancel_leave_its_outcome_unknown() -> None:
    desk, _ = trading(lambda seen: Reply([order_row(), order_row()]))

    with pytest.raises(OutcomeUnknown):
        await desk.cancel(SWAP, client_order_id="ours-1", exchange_order_id="", deadline_s=5.0)


@pytest.mark.parametrize("quantity", [Decimal("0.5"), Decimal("100.00000001")])
async def test_a_quantity_that_the_exchange_cannot_count_never_leaves(quantity: Decimal) -> None:
    desk, transport = trading(lambda seen: Reply(order_row()))

    with pytest.raises(ValueError, match="whole number"):
        await desk.place(_order(quantity=quantity), deadline_s=5.0)

    assert transport.of("/order") == []


class Book:
    """Orders behind the paging of `GET /order`, sorted as the exchange keeps them."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.meanwhile: Callable[[int], None] = lambda page: None
        self._pages = 0

    def __call__(self, seen: Seen) -> Reply:
        start, count = int(seen.parameters["start"]), int(seen.parameters["count"])
        page = [dict(row) for row in self.rows[start : start + count]]
        self._pages += 1
        self.meanwhile(self._pages)
        return Reply(page)


def _many(count: int) -> list[dict[str, Any]]:
    return [
        order_row(
            orderID=f"id-{number:05d}",
            transactTime=time_text(1_760_000_000_000_000_000 + number * 1_000_000_000),
            timestamp=time_text(1_760_000_000_000_000_000 + number * 1_000_000_000),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 3 * PAGE_ROWS])
async def test_all_pages_are_read_and_every_order_is_reported_once(count: int) -> None:
    desk, transport = trading(Book(_many(count)))

    reports = await desk.open_orders()

    assert [report.exchange_order_id for report in reports] == [f"id-{number:05d}" for number in range(count)]
    starts = [int(seen.parameters["start"]) for seen in transport.of("/order")]
    assert starts == list(range(0, len(starts) * (PAGE_ROWS - OVERLAP_ROWS), PAGE_ROWS - OVERLAP_ROWS))


async def test_rows_that_shift_while_paging_are_not_missed() -> None:
    book = Book(_many(1200))

    def meanwhile(page: int) -> None:
        # Some orders of the first page change and move to the end: everything behind them comes forward.
        if page == 1:
            for _ in range(OVERLAP_ROWS):
                moved = book.rows.pop(7)
                book.rows.append(
                    moved | {"timestamp": "2026-01-01T00:00:00.000Z", "ordStatus": "Filled", "cumQty": 100}
                )

    book.meanwhile = meanwhile
    desk, _ = trading(book)

    reports = await desk.open_orders()

    assert {report.exchange_order_id for report in reports} == {f"id-{number:05d}" for number in range(1200)}
    newest = {report.exchange_order_id: report.state for report in reports}
    assert newest["id-00007"] is VenueState.FILLED


async def test_a_list_without_end_is_refused_at_a_bound() -> None:
    page = _many(PAGE_ROWS)
    desk, transport = trading(lambda seen: Reply(page))

    with pytest.raises(CallerMustAct, match="shorter range"):
        await desk.open_orders()

    assert len(transport.of("/order")) == PAGES_MAX


async def test_orders_created_in_a_range_are_asked_for_by_last_change_and_chosen_by_creation() -> None:
    rows = _many(10)
    # Created in the range, filled long after it.
    rows[3] |= {"timestamp": "2026-01-01T00:00:00.000Z", "ordStatus": "Filled", "cumQty": 100}
    desk, transport = trading(Book(rows))
    start_ns = 1_760_000_002_000_000_000

    reports = await desk.orders_between(SWAP, start_ns=start_ns, end_ns=start_ns + 2_000_000_000)

    assert [report.exchange_order_id for report in reports] == ["id-00002", "id-00003", "id-00004"]
    parameters = transport.of("/order")[0].parameters
    assert parameters["startTime"] == "2025-10-09T08:53:22.000Z"
    assert "endTime" not in parameters
    assert parameters["symbol"] == "XBTUSD"


@over("bitmex/executions_frame")
async def test_fills_are_trades_with_their_fees(document: Document) -> None:
    rows = document.exact["data"]
    funding = rows[1] | {"execType": "Funding", "execID": "f"}
    desk, transport = trading(lambda seen: Reply(_plain([*rows, funding])))
    at_ns = time_ns(rows[1]["transactTime"], "transactTime")

    (fill,) = await desk.fills(SPOT, start_ns=at_ns, end_ns=at_ns)

    assert transport.seen[-1].path.endswith("/execution/tradeHistory")
    assert transport.seen[-1].parameters["endTime"] == rows[1]["transactTime"]
    assert (fill.trade_id, fill.exchange_order_id) == (rows[1]["execID"], rows[1]["orderID"])
    assert (fill.side, fill.quantity, fill.price) == (Side.BUY, rows[1]["lastQty"] / UNIT, rows[1]["lastPx"])
    assert (fill.fee, fill.fee_currency) == (Decimal(rows[1]["execComm"]) / 10**6, "USDT")
    assert fill.trade_time_ns == at_ns
    assert await desk.fills(SPOT, start_ns=at_ns + 1, end_ns=at_ns + 2) == []


@over("bitmex/execution_row")
async def test_fees_of_contracts_are_in_the_settle_currency(document: Document) -> None:
    row = document.exact
    desk, _ = trading(lambda seen: Reply([_plain(row)]))

    (fill,) = await desk.fills(SWAP, start_ns=0, end_ns=2 * 10**18)

    assert (fill.quantity, fill.price) == (row["lastQty"], row["lastPx"])
    assert (fill.fee, fill.fee_currency) == (Decimal(row["execComm"]) / 10**8, "BTC")


async def test_a_fee_is_paid_in_what_its_row_says() -> None:
    row = order_row(
        symbol="XBT_USDT",
        execType="Trade",
        execID="e",
        lastQty=10_000,
        lastPx=95000,
        execComm=9,
        settlCurrency="XBt",
    )
    desk, _ = trading(lambda seen: Reply([row]))

    (fill,) = await desk.fills(SPOT, start_ns=0, end_ns=2 * 10**18)

    assert (fill.fee, fill.fee_currency) == (Decimal("0.00000009"), "BTC")


@over("bitmex/positions_frame")
async def test_positions_are_signed_and_empty_ones_are_left_out(document: Document) -> None:
    """Spot rows hold no position."""
    spot = document.exact["data"]
    rows = [*_plain(spot), {"symbol": "XBTUSD", "currentQty": -300, "avgEntryPrice": 90000.5}]
    rows += [{"symbol": "XBTUSDT", "currentQty": 0}, {"symbol": "UNKNOWN", "currentQty": 1}]
    desk, _ = trading(lambda seen: Reply(rows))

    (position,) = await desk.positions()

    assert (position.symbol, position.quantity, position.entry_price) == (
        "BTC/USD:BTC",
        Decimal(-300),
        Decimal("90000.5"),
    )


async def test_the_dead_mans_switch_is_the_accounts() -> None:
    desk, transport = trading(lambda seen: Reply({"now": "x", "cancelTime": "y"}))

    assert await desk.arm_dead_man(timeout_s=60.0, instruments=[SWAP])
    assert await desk.arm_dead_man(timeout_s=0, instruments=[])

    assert [seen.json for seen in transport.of("/order/cancelAllAfter", "POST")] == [{"timeout": 60000}, {"timeout": 0}]


async def test_calls_that_cancel_or_resolve_go_first_and_placing_is_never_repeated() -> None:
    desk, transport = trading(lambda seen: Reply([order_row()] if seen.method in ("GET", "DELETE") else order_row()))
    executor = desk._client.ports.executor
    assert isinstance(executor, OneAttempt)
    await desk.place(_order(), deadline_s=5.0)
    await desk.cancel(SWAP, client_order_id="ours-1", exchange_order_id="", deadline_s=5.0)
    await desk.cancel_all(None, deadline_s=5.0)
    await desk.query(SWAP, client_order_id="ours-1")

    specs = {spec.operation: spec for spec in executor.specs}
    assert {name: spec.priority for name, spec in specs.items() if spec.group in ("orders", "account")} == {
        "place_order": Priority.NORMAL,
        "cancel_order": Priority.RECOVERY,
        "cancel_all": Priority.RECOVERY,
        "query_order": Priority.RECOVERY,
    }
    assert not specs["place_order"].idempotent
    assert specs["cancel_order"].idempotent
    assert [cost.limit for cost in specs["place_order"].costs] == [REQUESTS, ORDERS]
    assert [cost.limit for cost in specs["query_order"].costs] == [REQUESTS]
    assert all("api-signature" in seen.headers for seen in transport.of("/order"))


async def test_without_a_key_nothing_is_sent() -> None:
    from clients.exchanges.bitmex import BitMEXTrading

    client, transport = on_stage(key=False)

    with pytest.raises(ExchangeError, match="no API key"):
        await BitMEXTrading(client).place(_order(), deadline_s=5.0)

    assert transport.of("/order") == []


def test_spot_cannot_be_reduced_only_and_nothing_bounds_an_arrival() -> None:
    desk, _ = trading(lambda seen: Reply())

    assert desk.capabilities(SPOT) == Capabilities(
        time_in_force=frozenset(TimeInForce),
        post_only=True,
        reduce_only=False,
        amend_price=AmendWay.IN_PLACE,
        amend_quantity_up=AmendWay.IN_PLACE,
        amend_quantity_down=AmendWay.IN_PLACE,
        dead_man=DeadManScope.ACCOUNT,
        arrival=None,
    )
    assert desk.capabilities(SWAP).reduce_only


def test_times_are_exact_in_both_directions() -> None:
    assert time_ns("2024-12-12T17:27:51.774Z", "t") == 1_734_024_471_774_000_000
    assert time_text(1_734_024_471_774_999_999) == "2024-12-12T17:27:51.774Z"
    assert time_text(1_734_024_471_774_000_001, up=True) == "2024-12-12T17:27:51.775Z"


def test_money_in_an_unknown_unit_is_not_guessed() -> None:
    assert money(Decimal(1), "XYZ") is None
    assert money(Decimal(150), "BTC") == Decimal("0.0000015")


def test_the_registry_makes_clients_and_order_entry_of_the_right_kind() -> None:
    from clients.exchanges.bitmex import BitMEXTrading
    from clients.exchanges.registry import create_client, create_trading
    from tests.support.exchange_stage import StagedTransport, ports
    from tests.support.fake_exchange import FakeExchange
    from tests.unit.clients.bitmex.stage import BASES

    client = create_client("bitmex", ports(StagedTransport(lambda seen: Reply())), BASES)

    assert isinstance(create_trading("bitmex", client), BitMEXTrading)
    with pytest.raises(TypeError, match="FakeExchange"):
        create_trading("bitmex", FakeExchange("bitmex"))


def _plain(value: Any) -> Any:
    """Return a document that json can write: its numbers as they came."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("status", "text", "cause"),
    [
        ("Canceled", "Canceled: Order had timeInForce of ImmediateOrCancel\nSubmitted via API.", EndedBy.TIME_IN_FORCE),
        ("Canceled", "Canceled: Order had execInst of ReduceOnly\nSubmitted via API.", EndedBy.REDUCE_ONLY),
        ("Canceled", "Canceled: Canceled via API.\nSubmitted via API.", None),
        ("Canceled", "Canceled: Canceled via API.\nCanceled: Order had timeInForce of ImmediateOrCancel", None),
        ("Canceled", "my own words about timeInForce", None),
        ("New", "Canceled: Order had timeInForce of ImmediateOrCancel", None),
    ],
)
async def test_a_cancel_by_the_exchange_is_told_from_one_by_its_owner(
    status: str, text: str, cause: EndedBy | None
) -> None:
    desk, _ = trading(lambda seen: Reply([order_row(ordStatus=status, text=text, leavesQty=0)]))

    assert (await desk.query(SWAP, client_order_id="ours-1")).ended_by is cause
