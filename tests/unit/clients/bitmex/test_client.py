"""BitMEX's market data, clock, limits and errors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.base import Answer
from clients.exchanges.bases import MarketBases
from clients.exchanges.bitmex.errors import ERRORS
from clients.exchanges.bitmex.limits import ORDERS, PUBLIC, REQUESTS, RULES
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.error_table import Signal, classify
from clients.exchanges.errors import CallerMustAct, ExchangeError, OperatorMustAct, OutcomeUnknown, TryLater
from clients.http.transport import HttpResponse, NotSent, ResponseLost
from clients.resilience.call import LimitReport
from clients.resilience.outcome import Outcome
from tests.support.contracts import documents
from tests.support.exchange_stage import NOW_S, OneAttempt, Reply, Seen
from tests.unit.clients.bitmex.stage import on_stage

QUOTE = {
    "timestamp": "2022-07-01T00:00:07.138Z",
    "symbol": "XBTUSD",
    "bidSize": 2100,
    "bidPrice": 19917.5,
    "askPrice": 19918,
    "askSize": 3600,
}


@pytest.mark.quick
async def test_a_quote_is_the_newest_row_of_the_quote_history() -> None:
    client, transport = on_stage(lambda seen: Reply([QUOTE]))

    quote = await client.get_quote("BTC/USD:BTC")

    assert transport.seen[-1].parameters == {"symbol": "XBTUSD", "count": "1", "reverse": "true"}
    assert (quote.bid_price, quote.bid_quantity) == (Decimal("19917.5"), Decimal(2100))
    assert (quote.ask_price, quote.ask_quantity) == (Decimal(19918), Decimal(3600))
    assert quote.event_time_ns == 1_656_633_607_138_000_000
    assert (quote.exchange, quote.market, quote.symbol, quote.source) == ("bitmex", "bitmex", "BTC/USD:BTC", "rest")


async def test_sizes_of_spot_are_in_base_currency() -> None:
    row = QUOTE | {"symbol": "XBT_USDT", "bidSize": 11_900, "askSize": None, "askPrice": None}
    client, _ = on_stage(lambda seen: Reply([row]))

    quote = await client.get_quote("BTC/USDT")

    assert quote.bid_quantity == Decimal("0.000119")
    assert (quote.ask_price, quote.ask_quantity) == (None, None)


async def test_a_price_is_the_mid_or_the_last_trade_where_a_side_is_missing() -> None:
    def answer(seen: Seen) -> Reply:
        if seen.path.endswith("/quote"):
            return Reply([QUOTE | ({"symbol": "XBT_USDT", "askPrice": None} if "XBT_USDT" in seen.target else {})])
        row = {"symbol": "XBT_USDT", "lastPrice": 98690.5, "timestamp": "2024-12-09T11:11:10.769Z"}
        return Reply([row])

    client, _ = on_stage(answer)

    mid, last = await client.get_price("BTC/USD:BTC"), await client.get_price("BTC/USDT")

    assert (mid.price, mid.basis) == (Decimal("19917.75"), "mid")
    assert (last.price, last.basis, last.event_time_ns) == (Decimal("98690.5"), "last", 1_733_742_670_769_000_000)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        [QUOTE, QUOTE],
        ["text"],
        [QUOTE | {"symbol": "ETHUSD"}],
        [QUOTE | {"bidPrice": True}],
        [QUOTE | {"timestamp": "yesterday"}],
        [QUOTE | {"timestamp": None}],
        [QUOTE | {"timestamp": "2022-07-01T00:00:07.138"}],
    ],
    ids=str,
)
async def test_a_quote_that_is_not_as_documented_is_repeatable_trouble_of_the_exchange(answer: object) -> None:
    client, _ = on_stage(lambda seen: Reply(answer))

    with pytest.raises(TryLater, match="not as documented") as caught:
        await client.get_quote("BTC/USD:BTC")

    assert caught.value.outcome is Outcome.RETRYABLE


async def test_the_clock_is_read_from_the_date_header_with_its_error() -> None:
    client, transport = on_stage()
    transport.date_s = NOW_S

    measured = await client.get_server_time()

    assert 500_000_000 <= measured.error_ns < 600_000_000
    # The header is cut to the second: the middle of that second is assumed.
    server_ns = client.server_now_ns("bitmex")
    assert server_ns is not None
    assert abs(server_ns - (NOW_S * 10**9 + 500_000_000)) < 100_000_000
    assert "api-key" not in transport.seen[-1].headers


@pytest.mark.parametrize("date", ["", "yesterday", "12"], ids=repr)
async def test_an_answer_without_a_date_cannot_set_the_clock(date: str) -> None:
    client, transport = on_stage()
    transport.date_s = None
    inner = transport.answer
    transport.answer = lambda seen: Reply(inner(seen).body, headers={"date": date})

    with pytest.raises(TryLater, match="Date header"):
        await client.get_server_time()


async def test_pinging_measures_a_round_trip() -> None:
    client, _ = on_stage()

    assert await client.ping() >= 0.0


async def test_reads_are_signed_where_there_is_a_key_because_the_limit_is_higher() -> None:
    for key, limit in ((True, REQUESTS), (False, PUBLIC)):
        client, transport = on_stage(lambda seen: Reply([QUOTE]), key=key)
        await client.get_quote("BTC/USD:BTC")

        executor = client.ports.executor
        assert isinstance(executor, OneAttempt)
        assert [cost.limit for cost in executor.specs[-1].costs] == [limit]
        assert ("api-key" in transport.seen[-1].headers) is key


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        ("https://bitmex.invalid", "/api/v1/quote"),
        ("https://bitmex.invalid/api/v2", "/api/v2/quote"),
        ("http://127.0.0.1:5080", "/api/v1/quote"),
    ],
)
async def test_the_path_prefix_comes_from_the_base_where_it_has_one(rest: str, path: str) -> None:
    client, transport = on_stage(lambda seen: Reply([QUOTE]), bases={"bitmex": MarketBases(rest, "wss://x")})

    await client.get_quote("BTC/USD:BTC")

    assert transport.seen[-1].path == path


def _error(text: str, name: str = "HTTPError", **more: str) -> dict[str, Any]:
    return {"error": {"message": text, "name": name, **more}}


OVERLOAD = "The system is currently overloaded. Please try again later."

# Signal, whether the request reads, what it means. Every row of the fact sheet's section 7, and the texts of sections 3.
SIGNALS = [
    pytest.param(503, OVERLOAD, False, Outcome.THROTTLED, id="load shedding, write"),
    pytest.param(503, OVERLOAD, True, Outcome.THROTTLED, id="load shedding, read"),
    pytest.param(503, "", False, Outcome.UNKNOWN, id="plain 503, write"),
    pytest.param(503, "", True, Outcome.RETRYABLE, id="plain 503, read"),
    pytest.param(502, "Bad Gateway", False, Outcome.UNKNOWN, id="502, write"),
    pytest.param(504, "Gateway Timeout", False, Outcome.UNKNOWN, id="504, write"),
    pytest.param(500, "Internal error", False, Outcome.UNKNOWN, id="500, write"),
    pytest.param(408, "", False, Outcome.UNKNOWN, id="408, write"),
    pytest.param(408, "", True, Outcome.RETRYABLE, id="408, read"),
    pytest.param(429, "Rate limit exceeded, retry in 1 seconds.", False, Outcome.THROTTLED, id="429"),
    pytest.param(400, "Duplicate clOrdID", False, Outcome.DUPLICATE, id="duplicate"),
    pytest.param(
        400, "Account has insufficient Available Balance, 1 XBt required", False, Outcome.REJECTED, id="balance"
    ),
    pytest.param(400, "orderQty is invalid", False, Outcome.REJECTED, id="quantity"),
    pytest.param(400, "Invalid price tickSize", False, Outcome.REJECTED, id="tick"),
    pytest.param(400, "Invalid ordStatus: Filled", False, Outcome.NOT_FOUND, id="amend of a closed order"),
    pytest.param(400, "Invalid orderID", False, Outcome.NOT_FOUND, id="amend of an unknown order"),
    pytest.param(400, "Invalid origClOrdID", False, Outcome.NOT_FOUND, id="amend of an unknown id of ours"),
    pytest.param(404, "Not Found", False, Outcome.NOT_FOUND, id="404"),
    pytest.param(401, "Invalid API Key.", True, Outcome.AUTH, id="key"),
    pytest.param(401, "Signature not valid.", True, Outcome.AUTH, id="signature"),
    pytest.param(401, "This request has expired - `expires` is in the past", False, Outcome.CLOCK, id="expired"),
    pytest.param(400, "This request has expired", False, Outcome.CLOCK, id="expired as 400"),
    pytest.param(403, "Access Denied", True, Outcome.AUTH, id="403"),
]

CLASSES: dict[Outcome, type[ExchangeError]] = {
    Outcome.THROTTLED: TryLater,
    Outcome.RETRYABLE: TryLater,
    Outcome.UNKNOWN: OutcomeUnknown,
    Outcome.DUPLICATE: CallerMustAct,
    Outcome.REJECTED: CallerMustAct,
    Outcome.NOT_FOUND: CallerMustAct,
    Outcome.AUTH: OperatorMustAct,
    Outcome.CLOCK: OperatorMustAct,
}


async def _complain(reply: Reply, *, reads: bool) -> ExchangeError:
    client, _ = on_stage(lambda seen: reply)
    spec = client.spec("get_quote" if reads else "amend_order", ())
    request = ExchangeRequest("bitmex", "GET" if reads else "PUT", "/order", spec, (), True, None if reads else {})
    with pytest.raises(ExchangeError) as caught:
        await client.request(request)
    return caught.value


@pytest.mark.quick
@pytest.mark.parametrize(("status", "text", "reads", "outcome"), SIGNALS)
async def test_an_error_means_what_the_fact_sheet_says(status: int, text: str, reads: bool, outcome: Outcome) -> None:
    error = await _complain(Reply(_error(text), status), reads=reads)

    assert (error.outcome, type(error)) == (outcome, CLASSES[outcome])
    assert error.http_status == status
    assert error.text == (text or "no reason given")


@pytest.mark.parametrize(
    "text", ["NOT FOUND", "orderid NOT found", "Unable to cancel order due to existing state: Filled"]
)
async def test_texts_are_matched_loosely(text: str) -> None:
    assert (await _complain(Reply(_error(text), 400), reads=False)).outcome is Outcome.NOT_FOUND


async def test_every_row_of_the_table_names_its_source_and_can_be_reached() -> None:
    assert all(row.source for row in ERRORS.rows)
    reached = set()
    signals = [(status, text, reads) for status, text, reads, _ in (case.values for case in SIGNALS)] + [
        (400, "Invalid API Key.", False),
        (400, "Signature not valid", False),
        (400, "Invalid clOrdID", False),
        (400, "existing state", False),
        (400, "orderID not found", False),
        (400, "unchanged", False),
        (400, "no change", False),
        (404, "no such route", False),
    ]
    for status, text, reads in signals:
        for operation in ("amend_order", "cancel_order"):
            for code in ("HTTPError", "19000"):
                signal = Signal("bitmex", operation, bool(reads), int(str(status)), code, str(text))
                reached.add(ERRORS.rows.index(ERRORS.row_of(signal)))
    assert reached == set(range(len(ERRORS.rows)))


async def test_errors_as_the_exchange_words_them_are_judged_rightly() -> None:
    for document in documents("bitmex/error_balance"):
        error = await _complain(Reply(document.plain, document.status), reads=False)
        assert (error.outcome, error.code) == (Outcome.REJECTED, "19000"), document

    for document in documents("bitmex/error_key"):
        error = await _complain(Reply(document.plain, 401), reads=True)
        assert (error.outcome, error.code) == (Outcome.AUTH, "HTTPError"), document


@pytest.mark.parametrize(
    "body", [b"<html>503</html>", b"", b"null", b"[]", b'{"error": "text"}', b'{"error": {}}', b"\xff"], ids=repr
)
async def test_an_error_without_a_readable_body_is_judged_by_its_status(body: bytes) -> None:
    assert (await _complain(Reply(body, 503), reads=False)).outcome is Outcome.UNKNOWN
    assert (await _complain(Reply(body, 400), reads=False)).outcome is Outcome.REJECTED


async def test_hints_of_the_server_are_passed_on() -> None:
    shed = await _complain(Reply(_error(OVERLOAD), 503), reads=False)
    assert shed.retry_after_s == 0.5
    limited = await _complain(Reply(_error("slow down"), 429, {"retry-after": "7"}), reads=True)
    assert limited.retry_after_s == 7.0
    reset = await _complain(Reply(_error("slow down"), 429, {"x-ratelimit-reset": str(NOW_S + 9)}), reads=True)
    assert reset.retry_after_s == 9.0
    silent = await _complain(Reply(_error("slow down"), 429, {"x-ratelimit-reset": "soon"}), reads=True)
    assert silent.retry_after_s is None


async def test_load_shedding_counts_against_the_exchange_and_a_refused_order_does_not() -> None:
    shed = classify(await _complain(Reply(_error(OVERLOAD), 503), reads=False))
    refused = classify(await _complain(Reply(_error("Invalid price"), 400), reads=False))

    assert shed is not None
    assert refused is not None
    assert (shed.counts_against_server, refused.counts_against_server) == (True, False)


@pytest.mark.parametrize(
    ("failure", "reads", "outcome"),
    [
        (NotSent("refused"), False, Outcome.RETRYABLE),
        (ResponseLost("reset"), False, Outcome.UNKNOWN),
        (ResponseLost("reset"), True, Outcome.RETRYABLE),
    ],
    ids=["not sent", "write lost", "read lost"],
)
async def test_a_lost_answer_is_not_a_failure(failure: Exception, reads: bool, outcome: Outcome) -> None:
    def answer(seen: Seen) -> Reply:
        raise failure

    client, _ = on_stage(answer)
    spec = client.spec("place_order", ())
    request = ExchangeRequest("bitmex", "GET" if reads else "POST", "/order", spec, (), True, None if reads else {})
    with pytest.raises(ExchangeError) as caught:
        await client.request(request)

    assert caught.value.outcome is outcome
    if outcome is Outcome.UNKNOWN:
        assert caught.value.sent is not None
        # BitMEX checks `api-expires` before its queue: it does not bound when an order arrives.
        assert caught.value.sent.expires_server_time_ns is None


async def _observed(headers: dict[str, str], status: int = 200, *, signed: bool = True) -> LimitReport:
    client, _ = on_stage(key=signed)
    request = ExchangeRequest("bitmex", "GET", "/quote", client.spec("get_quote", ()), signed=signed)
    response = HttpResponse(status, headers, b"", 0, 0, 0)
    report = client.limit_report(Answer(request, response, None))
    assert report is not None
    return report


async def test_headers_tell_the_limiter_what_is_left_of_both_buckets() -> None:
    headers = {
        "x-ratelimit-limit": "120",
        "x-ratelimit-remaining": "117",
        "x-ratelimit-remaining-1s": "9",
        "x-ratelimit-limit-1s": "10",
    }

    report = await _observed(headers)

    assert report == LimitReport(remaining={REQUESTS: 117, ORDERS: 9}, sizes={REQUESTS: 120, ORDERS: 10})


async def test_unsigned_answers_speak_of_another_bucket() -> None:
    report = await _observed({"x-ratelimit-limit": "30", "x-ratelimit-remaining": "0"}, signed=False)

    assert report == LimitReport(remaining={PUBLIC: 0}, sizes={PUBLIC: 30})


async def test_a_429_blocks_everything_for_as_long_as_it_says_and_at_least_a_second() -> None:
    assert (await _observed({"retry-after": "5"}, 429)).blocks == {RULES.scope: 5.0}
    assert (await _observed({}, 429)).blocks == {RULES.scope: 1.0}
    assert (await _observed({"x-ratelimit-remaining": "many"}, 200)) == LimitReport()


async def test_the_request_id_is_kept_where_it_is_one() -> None:
    for value, kept in (("abc-123", "abc-123"), ("<script>", ""), ("", "")):
        error = await _complain(Reply(_error("Invalid price"), 400, {"x-request-id": value}), reads=False)
        assert error.request_id == kept


async def test_texts_of_errors_show_neither_key_nor_signature() -> None:
    client, transport = on_stage(lambda seen: Reply(_error("no"), 400))
    with pytest.raises(ExchangeError) as caught:
        await client.get_quote("BTC/USD:BTC")

    shown = str(caught.value) + repr(caught.value)
    assert transport.seen[-1].headers["api-signature"] not in shown
    assert "chNOOS4K" not in shown


async def test_a_closed_client_makes_no_requests_and_closing_twice_is_safe() -> None:
    client, transport = on_stage(lambda seen: Reply([QUOTE]))
    async with client:
        await client.get_quote("BTC/USD:BTC")
    await client.close()
    count = len(transport.seen)

    with pytest.raises(CallerMustAct, match="closed"):
        await client.get_quote("BTC/USD:BTC")

    assert len(transport.seen) == count
