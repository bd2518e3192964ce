"""Bybit's market data, clock, paging and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.base import Answer
from clients.exchanges.bybit.client import BybitClient
from clients.exchanges.bybit.limits import RULES, SCOPE, costs
from clients.exchanges.bybit.paging import PAGES_MAX
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.errors import CallerMustAct, TryLater
from clients.http.transport import HttpResponse
from clients.resilience.call import CallSpec, Cost, LimitReport
from clients.resilience.outcome import Outcome
from tests.support.contracts import recorded
from tests.support.exchange_stage import NOW_S, OneAttempt, Reply, Seen
from tests.unit.clients.bybit.stage import NOW_MS, ROWS, contract, envelope, on_stage, page

BOOK: dict[str, Any] = {
    "s": "BTCUSDT",
    "b": [["64999.9", "1.25"]],
    "a": [["65000.1", "0.5"]],
    "ts": NOW_MS - 10,
    "u": 77,
    "seq": 123,
    "cts": NOW_MS - 900,
}


@pytest.mark.quick
@pytest.mark.parametrize(("symbol", "market"), [("BTC/USDT", "spot"), ("BTC/USDT:USDT", "linear")])
async def test_a_quote_is_the_top_of_the_book_of_its_market(symbol: str, market: str) -> None:
    client, transport = on_stage(lambda seen: Reply(envelope(BOOK)))

    quote = await client.get_quote(symbol)

    assert transport.seen[-1].target == f"/v5/market/orderbook?category={market}&symbol=BTCUSDT&limit=1"
    assert "X-BAPI-SIGN" not in transport.seen[-1].headers
    assert (quote.bid_price, quote.bid_quantity) == (Decimal("64999.9"), Decimal("1.25"))
    assert (quote.ask_price, quote.ask_quantity) == (Decimal("65000.1"), Decimal("0.5"))
    assert (quote.exchange, quote.market, quote.symbol, quote.source) == ("bybit", market, symbol, "rest")
    # When the exchange said so, not when the book changed last; numbered across all depths.
    assert (quote.event_time_ns, quote.update_id) == ((NOW_MS - 10) * 1_000_000, 123)


@pytest.mark.needs("recordings")
async def test_a_recorded_book_is_read() -> None:
    document = recorded("bybit/rest/docs/market_orderbook.1.json")
    client, _ = on_stage(lambda seen: Reply(document.plain))

    quote = await client.get_quote("BTC/USDT")

    row = document.exact["result"]
    assert (str(quote.bid_price), str(quote.ask_quantity)) == (row["b"][0][0], row["a"][0][1])
    assert quote.event_time_ns == row["ts"] * 1_000_000


async def test_a_price_is_the_mid_or_the_last_trade_where_a_side_is_missing() -> None:
    def answer(seen: Seen) -> Reply:
        if seen.path.endswith("/orderbook"):
            return Reply(envelope(BOOK | ({"a": []} if seen.parameters["category"] == "spot" else {})))
        return page([{"symbol": "BTCUSDT", "lastPrice": "65123.4"}], category="spot")

    client, transport = on_stage(answer)

    mid, last = await client.get_price("BTC/USDT:USDT"), await client.get_price("BTC/USDT")

    assert (mid.price, mid.basis) == (Decimal("65000.0"), "mid")
    assert (last.price, last.basis, last.event_time_ns) == (Decimal("65123.4"), "last", NOW_MS * 1_000_000)
    assert transport.seen[-1].target == "/v5/market/tickers?category=spot&symbol=BTCUSDT"


@pytest.mark.needs("recordings")
async def test_a_recorded_ticker_gives_the_last_price() -> None:
    document = recorded("bybit/rest/docs/market_tickers.2.json")
    client, _ = on_stage(lambda seen: Reply(document.plain))

    price = await client.fetch_last_price(await client.instruments.by_symbol("BTC/USDT"))

    assert str(price.price) == document.exact["result"]["list"][0]["lastPrice"]


@pytest.mark.parametrize(
    "row",
    [
        {},
        BOOK | {"s": "ETHUSDT"},
        BOOK | {"b": None},
        BOOK | {"b": ["64999.9"]},
        BOOK | {"a": [["65000.1"]]},
        BOOK | {"a": [["NaN", "1"]]},
        BOOK | {"ts": None},
        BOOK | {"ts": "soon"},
        BOOK | {"seq": "x"},
        [],
        None,
    ],
    ids=str,
)
async def test_a_book_that_is_not_as_documented_is_repeatable_trouble_of_the_exchange(row: object) -> None:
    client, _ = on_stage(lambda seen: Reply(envelope(row)))

    with pytest.raises(TryLater, match="not as documented") as caught:
        await client.get_quote("BTC/USDT")

    assert caught.value.outcome is Outcome.RETRYABLE


@pytest.mark.parametrize(
    "rows", [[], [{"symbol": "ETHUSDT"}], [{"symbol": "BTCUSDT"}], [{"symbol": "BTCUSDT", "lastPrice": "0"}], ["x"]]
)
async def test_a_ticker_without_the_price_is_trouble_too(rows: list[Any]) -> None:
    client, _ = on_stage(lambda seen: page(rows))

    with pytest.raises(TryLater, match="not as documented"):
        await client.fetch_last_price(await client.instruments.by_symbol("BTC/USDT"))


# The clock.


async def test_one_clock_serves_all_markets_to_the_nanosecond() -> None:
    client, transport = on_stage(skew_ms=90_000)

    measured = await client.get_server_time("spot")

    assert transport.seen[-1].target == "/v5/market/time"
    assert measured.error_ns < 100_000_000
    server_ns = client.server_now_ns("inverse")
    assert server_ns is not None
    assert abs(server_ns - (NOW_S * 10**9 + 90_000_000_000)) < 100_000_000


@pytest.mark.needs("recordings")
async def test_a_recorded_time_is_read() -> None:
    document = recorded("bybit/rest/docs/market_time.1.json")
    client, _ = on_stage()
    response = HttpResponse(200, {}, b"", 0, 0, 0)
    answer = Answer(client.clock_probe("spot"), response, document.exact)

    assert client.clock_reading(answer).server_time_ns == int(document.exact["result"]["timeNano"])


@pytest.mark.parametrize("result", [None, {}, {"timeNano": "noon"}, []], ids=str)
async def test_an_answer_without_a_time_cannot_set_the_clock(result: object) -> None:
    client, transport = on_stage()
    transport.answer = lambda seen: Reply(envelope(result))

    with pytest.raises(TryLater):
        await client.get_server_time()


async def test_pinging_measures_a_round_trip() -> None:
    client, _ = on_stage()

    assert await client.ping() >= 0.0


@pytest.mark.parametrize("window_ms", [0, -1, 60_001])
def test_a_receive_window_that_makes_no_sense_is_refused(window_ms: int) -> None:
    client, _ = on_stage()

    with pytest.raises(ValueError, match="recv_window_ms"):
        BybitClient(client.ports, {}, recv_window_ms=window_ms)


# Lists in pages.


async def test_instruments_are_asked_for_page_by_page() -> None:
    linear = ROWS["linear"]
    given = [page(linear[:2], "first%3D1%26last%3D2"), page(linear[2:4], "p%2C2"), page(linear[4:])]
    client, transport = on_stage()
    inner = transport.answer
    transport.answer = lambda seen: given.pop(0) if seen.parameters.get("category") == "linear" else inner(seen)

    found = await client.get_instruments()

    asked = [seen.target for seen in transport.of("/instruments-info") if seen.parameters["category"] == "linear"]
    base = "/v5/market/instruments-info?category=linear&limit=1000"
    assert asked == [base, f"{base}&cursor=first%3D1%26last%3D2", f"{base}&cursor=p%2C2"]
    assert sum(one.market == "linear" for one in found.values()) == len(linear)
    assert [seen.target for seen in transport.of("/instruments-info") if seen.parameters["category"] == "spot"] == [
        "/v5/market/instruments-info?category=spot"
    ]


@pytest.mark.parametrize(
    ("cursors", "asked"), [(["same", "same", "same"], 2), (["one", None], 2), ([None], 1), ([""], 1)], ids=str
)
async def test_paging_ends_where_the_list_does(cursors: list[Any], asked: int) -> None:
    given = [page(ROWS["linear"], cursor) for cursor in cursors]
    client, transport = on_stage()
    inner = transport.answer
    transport.answer = lambda seen: given.pop(0) if seen.parameters.get("category") == "linear" else inner(seen)

    await client.get_instruments()

    assert len(cursors) - len(given) == asked


async def test_a_list_without_an_end_is_an_error() -> None:
    client, transport = on_stage()
    transport.answer = lambda seen: page(ROWS["linear"], f"c{len(transport.seen)}")

    with pytest.raises(CallerMustAct, match=f"more than {PAGES_MAX} pages"):
        await client.get_instruments()


@pytest.mark.parametrize("cursor", [1, ["x"], {"next": "x"}], ids=str)
async def test_a_cursor_that_is_no_text_is_trouble_of_the_exchange(cursor: object) -> None:
    client, transport = on_stage()
    transport.answer = lambda seen: Reply(envelope({"list": ROWS["linear"], "nextPageCursor": cursor}))

    with pytest.raises(TryLater, match="nextPageCursor"):
        await client.get_instruments()


async def test_a_market_that_is_away_does_not_take_the_others_along() -> None:
    client, transport = on_stage()
    inner = transport.answer

    def answer(seen: Seen) -> Reply:
        return Reply(status=503) if seen.parameters.get("category") == "linear" else inner(seen)

    transport.answer = answer

    assert (await client.instruments.by_symbol("BTC/USD:BTC")).market == "inverse"


async def test_a_symbol_that_is_not_there_names_those_that_are_near() -> None:
    client, _ = on_stage()

    with pytest.raises(CallerMustAct, match="did you mean BTC/USDT"):
        await client.get_quote("BTC/USDTT")


async def test_a_row_that_cannot_be_read_costs_that_instrument_only() -> None:
    client, transport = on_stage()
    inner = transport.answer

    def answer(seen: Seen) -> Reply:
        if seen.parameters.get("category") != "inverse":
            return inner(seen)
        return page([contract("XUSD", "InverseSwaption", "X", "USD", "X"), *ROWS["inverse"]])

    transport.answer = answer

    assert "BTC/USD:BTC" in await client.get_instruments()


# Limits.


def test_a_call_costs_a_request_and_one_of_its_route() -> None:
    assert costs("spot", "/v5/market/tickers") == (Cost("bybit:requests", 1),)
    assert costs("spot", "/v5/order/create") == (Cost("bybit:requests", 1), Cost("bybit:create:spot", 1))
    assert costs("linear", "/v5/order/create") == costs("inverse", "/v5/order/create")
    assert costs("linear", "/v5/order/cancel") == (Cost("bybit:requests", 1), Cost("bybit:cancel:futures", 1))


def test_the_limits_are_those_of_the_sheet() -> None:
    sizes = {rule.name: (rule.size, rule.interval_s) for rule in RULES.limits}

    assert sizes["bybit:requests"] == (480, 5.0)
    assert sizes["bybit:create:futures"] == (10, 1.0)
    assert sizes["bybit:create:spot"] == (20, 1.0)
    assert sizes["bybit:amend:spot"] == (10, 1.0)
    assert sizes["bybit:realtime:spot"] == sizes["bybit:executions:futures"] == (50, 1.0)


def _report(
    reply: Reply, *, path: str = "/v5/order/create", market: str = "linear", body: bytes | None = None
) -> LimitReport | None:
    client, _ = on_stage()
    request = ExchangeRequest(market, "POST", path, CallSpec("bybit:linear", "orders", "place_order"))
    response = HttpResponse(reply.status, reply.headers, body or b"{}", 0, 0, 0)
    return client.limit_report(Answer(request, response, reply.body))


HEADERS = {"x-bapi-limit": "10", "x-bapi-limit-status": "9", "x-bapi-limit-reset-timestamp": str(NOW_MS)}


def test_the_headers_say_what_is_left_of_a_route() -> None:
    assert _report(Reply(envelope({}), headers=HEADERS)) == LimitReport(
        used={"bybit:create:futures": 1}, sizes={"bybit:create:futures": 10}
    )
    assert _report(Reply(envelope({}), headers=HEADERS), market="spot") == LimitReport(
        used={"bybit:create:spot": 1}, sizes={"bybit:create:spot": 10}
    )
    assert _report(Reply(envelope({}), headers=HEADERS), path="/v5/market/time") == LimitReport()


@pytest.mark.parametrize(
    "headers", [{}, {"x-bapi-limit": "ten"}, {"x-bapi-limit": "0"}, {"x-bapi-limit-status": "5"}], ids=str
)
def test_headers_that_say_nothing_are_nothing(headers: dict[str, str]) -> None:
    assert _report(Reply(envelope({}), headers=headers)) == LimitReport()


@pytest.mark.needs("recordings")
def test_recorded_headers_are_read() -> None:
    for case in recorded("bybit/rest/headers.2023-capture.json").plain["cases"]:
        headers = {name.lower(): value for name, value in case["headers"].items()}
        report = _report(Reply(envelope({}), headers=headers))
        assert report == LimitReport(used={"bybit:create:futures": 1}, sizes={"bybit:create:futures": 10})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-bapi-limit-reset-timestamp": str(NOW_MS + 700)}, 0.7),
        ({"x-bapi-limit-reset-timestamp": str(NOW_MS + 700), "timenow": str(NOW_MS + 200)}, 0.5),
        ({"x-bapi-limit-reset-timestamp": str(NOW_MS - 5)}, 0.05),
        ({"x-bapi-limit-reset-timestamp": str(NOW_MS + 10**9)}, 60.0),
        ({}, 1.0),
    ],
    ids=str,
)
def test_a_route_that_was_asked_too_often_waits_for_its_reset(headers: dict[str, str], seconds: float) -> None:
    report = _report(Reply(envelope({}, code=10006, text="Too many visits!"), headers=headers))

    assert report is not None
    assert report.blocks == {"bybit:create:futures": pytest.approx(seconds)}


def test_an_address_that_is_shut_out_stays_away_for_ten_minutes() -> None:
    for body in (b"access too frequent", b"<html>403, Access Too Frequent</html>"):
        report = _report(Reply(None, status=403), body=body)
        assert report is not None
        assert report.blocks == {SCOPE: 600.0}
    region = _report(Reply(None, status=403), body=b"not available in your country")
    assert region is not None
    assert region.blocks == {}


@pytest.mark.parametrize(("headers", "seconds"), [({}, 5.0), ({"retry-after": "7"}, 7.0)], ids=str)
def test_the_protection_of_the_system_stops_everything(headers: dict[str, str], seconds: float) -> None:
    report = _report(Reply(None, status=429, headers=headers), body=b"too many")

    assert report is not None
    assert report.blocks == {SCOPE: seconds}


async def test_public_calls_are_charged_to_the_address_alone() -> None:
    client, _ = on_stage(lambda seen: Reply(envelope(BOOK)))
    await client.get_quote("BTC/USDT")

    executor = client.ports.executor
    assert isinstance(executor, OneAttempt)
    assert {spec.costs for spec in executor.specs} == {(Cost("bybit:requests", 1),)}
    assert executor.specs[-1].target == "bybit:spot"


@pytest.mark.parametrize(("trace", "kept"), [("5b039fab93277b06", "5b039fab93277b06"), ("a b", ""), ("", "")])
def test_the_exchanges_name_for_a_request_is_kept(trace: str, kept: str) -> None:
    client, _ = on_stage()

    assert client.request_id(HttpResponse(200, {"traceid": trace}, b"", 0, 0, 0)) == kept


def test_the_window_is_one_for_every_attempt() -> None:
    client, _ = on_stage()

    assert client.receive_window_s == 5.0
