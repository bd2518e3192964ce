"""What every exchange client does around an attempt, shown on Binance's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from clients.exchanges.base import CLOCK_AGE_S_MAX, RAW_BYTES_MAX, clean
from clients.exchanges.binance import BinanceClient
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.error_table import classify
from clients.exchanges.errors import CallerMustAct, ExchangeError, OperatorMustAct, OutcomeUnknown, TryLater
from clients.http.transport import NotSent, ResponseLost
from clients.resilience.call import CallSpec
from clients.resilience.executor import PolicyExecutor, Ports
from clients.resilience.outcome import Outcome
from tests.support.binance_wire import BASES, BinanceWire
from tests.support.exchange_wire import Reply, Sent, WireExecutor, WireKey, WirePermit, reply, wire_ports

QUOTE = {"symbol": "BTCUSDT", "bidPrice": "1.00", "bidQty": "2", "askPrice": "3.00", "askQty": "4"}


def _request(method: str, *, idempotent: bool | None = None, signed: bool = True) -> ExchangeRequest:
    spec = CallSpec("binance:spot", "orders", "place_order", method == "GET" if idempotent is None else idempotent)
    return ExchangeRequest("spot", method, "/api/v3/order", spec, (("symbol", "BTCUSDT"),), signed)


def _in_turn(*replies: Reply) -> Callable[[Sent], Reply]:
    waiting = list(replies)
    return lambda sent: waiting.pop(0) if len(waiting) > 1 else waiting[0]


CLOCK_ERROR = reply({"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, status=400)


@pytest.mark.quick
async def test_every_attempt_has_a_timestamp_and_a_signature_of_its_own() -> None:
    wire = BinanceWire({"/api/v3/order": _in_turn(NotSent("refused"), reply({}))}, executor=WireExecutor(attempts=2))
    wire.transport.round_trip_s = 0.5

    await wire.client.request(_request("GET"))

    first, second = wire.asked
    assert int(second.query["timestamp"]) == int(first.query["timestamp"]) + 500
    assert first.query["signature"] != second.query["signature"]


async def test_the_measured_clock_offset_is_applied() -> None:
    wire = BinanceWire({"/api/v3/order": reply({})}, skew_ms=-90_000)

    response = await wire.client.request(_request("GET"))

    timestamp_ms = int(wire.asked[0].query["timestamp"])
    assert timestamp_ms == wire.transport.clock.wall // 1_000_000 - 90_000
    assert response.sent.expires_server_time_ns == (timestamp_ms + 5000) * 1_000_000
    assert response.sent.sent_wall_ns == wire.transport.clock.wall


async def test_the_clock_is_measured_once_before_the_first_signed_request() -> None:
    wire = BinanceWire({"/api/v3/order": reply({})})

    for _ in range(3):
        await wire.client.request(_request("GET"))

    assert wire.transport.paths() == ["GET /api/v3/time", *["GET /api/v3/order"] * 3]


async def test_concurrent_first_requests_share_one_measurement() -> None:
    wire = BinanceWire({"/api/v3/order": reply({})})

    await asyncio.gather(*(wire.client.request(_request("GET")) for _ in range(50)))

    assert wire.transport.paths().count("GET /api/v3/time") == 1


async def test_a_clock_error_makes_the_next_attempt_measure_again() -> None:
    wire = BinanceWire({"/api/v3/order": _in_turn(CLOCK_ERROR, reply({}))}, executor=WireExecutor(attempts=2))
    await wire.client.get_server_time("spot")
    wire.skew_ms = 60_000

    await wire.client.request(_request("GET"))

    assert wire.transport.paths()[1:] == ["GET /api/v3/order", "GET /api/v3/time", "GET /api/v3/order"]
    first, second = wire.asked
    assert int(second.query["timestamp"]) - int(first.query["timestamp"]) == 60_000


async def test_an_order_with_a_clock_error_is_not_repeated_but_the_next_one_is_signed_right() -> None:
    wire = BinanceWire({"/api/v3/order": _in_turn(CLOCK_ERROR, reply({}))}, executor=WireExecutor(attempts=3))
    await wire.client.get_server_time("spot")

    with pytest.raises(OperatorMustAct) as blamed:
        await wire.client.request(_request("POST"))
    await wire.client.request(_request("POST"))

    assert blamed.value.outcome is Outcome.CLOCK
    assert len(wire.asked) == 2
    assert wire.transport.paths().count("GET /api/v3/time") == 2


async def test_an_error_about_an_older_measurement_does_not_discredit_a_newer_one() -> None:
    wire = BinanceWire({"/api/v3/order": CLOCK_ERROR})
    await wire.client.get_server_time("spot")
    used = wire.client._clock("spot").offset

    await wire.client.get_server_time("spot")
    wire.client._distrust("spot", used)

    assert not wire.client._clock("spot").distrusted


async def test_an_old_measurement_is_renewed_but_serves_while_that_fails() -> None:
    wire = BinanceWire({"/api/v3/order": reply({})})
    await wire.client.request(_request("GET"))

    wire.transport.clock.advance(CLOCK_AGE_S_MAX + 1)
    wire.answers["/api/v3/time"] = NotSent("down")
    await wire.client.request(_request("GET"))

    assert wire.transport.paths().count("GET /api/v3/time") == 2
    assert len(wire.asked) == 2


async def test_nothing_is_signed_by_a_clock_that_was_never_measured() -> None:
    wire = BinanceWire({"/api/v3/time": NotSent("down"), "/api/v3/order": reply({})})

    with pytest.raises(TryLater) as error:
        await wire.client.request(_request("POST"))

    assert wire.asked == []
    assert error.value.outcome is Outcome.RETRYABLE


@pytest.mark.parametrize(
    ("method", "failure", "kind", "outcome"),
    [
        ("GET", NotSent("refused"), TryLater, Outcome.RETRYABLE),
        ("POST", NotSent("refused"), TryLater, Outcome.RETRYABLE),
        ("GET", ResponseLost("reset"), TryLater, Outcome.RETRYABLE),
        ("POST", ResponseLost("reset"), OutcomeUnknown, Outcome.UNKNOWN),
        ("PUT", ResponseLost("reset"), OutcomeUnknown, Outcome.UNKNOWN),
        ("DELETE", ResponseLost("reset"), OutcomeUnknown, Outcome.UNKNOWN),
        ("GET", reply(b"{garbage"), TryLater, Outcome.RETRYABLE),
        ("POST", reply(b"{garbage"), OutcomeUnknown, Outcome.UNKNOWN),
        ("DELETE", reply(b"[1, NaN]"), OutcomeUnknown, Outcome.UNKNOWN),
    ],
)
async def test_a_lost_answer_is_a_failed_read_or_an_unknown_outcome(
    method: str, failure: Reply, kind: type[ExchangeError], outcome: Outcome
) -> None:
    wire = BinanceWire({"/api/v3/order": failure})

    with pytest.raises(kind) as error:
        await wire.client.request(_request(method))

    assert error.value.outcome is outcome
    # What was not sent cannot arrive later; whatever else has evidence of when it left.
    assert (error.value.sent is None) == isinstance(failure, NotSent)


async def test_a_request_that_is_not_idempotent_goes_out_once_whatever_the_executor_does() -> None:
    """R15, and with the real executor, too."""
    wire = BinanceWire({"/api/v3/order": reply({"code": -1003, "msg": "Too many requests"}, status=429)})
    wire.executor.attempts = 5
    with pytest.raises(TryLater):
        await wire.client.request(_request("POST"))
    assert len(wire.asked) == 1

    wire.executor.attempts = 1
    for _ in range(2):
        with pytest.raises(TryLater):
            await wire.client.request(_request("POST"))
    assert len(wire.asked) == 3


async def test_an_answer_carries_what_the_journal_needs() -> None:
    body = b'{"pad":"' + b"x" * 10_000 + b'"}'
    wire = BinanceWire({"/api/v3/order": reply(body, headers={"x-mbx-uuid": "u-1"})})

    response = await wire.client.request(_request("POST"))

    assert len(response.raw) == RAW_BYTES_MAX
    assert response.request_id == "u-1"
    assert response.sent.correlation_id == "call.1"


async def test_an_error_carries_what_the_journal_needs() -> None:
    wire = BinanceWire({"/api/v3/order": reply({"code": -1121, "msg": "Invalid symbol."}, status=400)})

    with pytest.raises(CallerMustAct) as error:
        await wire.client.request(_request("POST"))

    assert str(error.value) == "binance place_order: rejected -1121: Invalid symbol. (HTTP 400)"
    assert error.value.raw == b'{"code": -1121, "msg": "Invalid symbol."}'
    assert error.value.sent is not None
    assert error.value.sent.expires_server_time_ns is not None


async def test_the_limiter_hears_of_every_answer_and_of_what_was_not_sent() -> None:
    permit = WirePermit()
    busy = reply({"code": -1003, "msg": "slow down"}, status=429, headers={"retry-after": "7"})
    wire = BinanceWire(
        {"/api/v3/order": _in_turn(reply({}, headers={"x-mbx-used-weight-1m": "9"}), busy, NotSent("refused"))},
        executor=WireExecutor(permit=permit),
    )

    await wire.client.request(_request("GET"))
    with pytest.raises(TryLater):
        await wire.client.request(_request("GET"))
    with pytest.raises(TryLater):
        await wire.client.request(_request("GET"))

    # The clock's answer comes first.
    _, good, throttled = permit.reports
    assert good.used == {"binance:spot:weight-1m": 9}
    assert throttled.blocks == {"binance:spot": 7.0}
    assert permit.unsent == 1


async def test_a_request_gets_less_time_than_its_attempt() -> None:
    """The transport ends first: it alone knows whether anything was sent."""
    wire = BinanceWire({"/api/v3/order": reply({})}, executor=WireExecutor(attempt_s=10.0))
    wire.transport.round_trip_s = 1.0

    await wire.client.request(_request("GET"))

    clock_s, order_s = wire.transport.timeouts
    assert clock_s < 5.0
    assert order_s == pytest.approx(8.5)


async def test_no_time_left_after_the_clock_means_that_nothing_is_sent() -> None:
    wire = BinanceWire({"/api/v3/order": reply({})}, executor=WireExecutor(attempt_s=1.0))
    wire.transport.round_trip_s = 2.0

    with pytest.raises(TryLater, match="nothing was sent"):
        await wire.client.request(_request("POST"))

    assert wire.asked == []


async def test_signed_requests_need_a_key_and_say_which_setting() -> None:
    wire = BinanceWire()
    keyless = BinanceClient(wire_ports(wire.transport), BASES)

    with pytest.raises(OperatorMustAct, match="MIDSTREAM_BINANCE_API_KEY") as error:
        await keyless.request(_request("POST"))

    assert error.value.outcome is Outcome.AUTH
    assert wire.transport.sent == []


async def test_public_requests_carry_no_key() -> None:
    wire = BinanceWire({"/api/v3/ticker/bookTicker": reply(QUOTE)})

    await wire.client.get_quote("BTC/USDT")

    assert all("X-MBX-APIKEY" not in sent.request.headers for sent in wire.transport.sent)


async def test_a_closed_client_sends_nothing_and_closes_twice() -> None:
    wire = BinanceWire({"/api/v3/order": reply({})})
    async with wire.client:
        pass
    await wire.client.close()

    with pytest.raises(CallerMustAct, match="closed"):
        await wire.client.request(_request("POST"))

    assert wire.transport.sent == []


async def test_a_thousand_concurrent_quotes_are_one_request() -> None:
    """L04."""
    wire = BinanceWire({"/api/v3/ticker/bookTicker": reply(QUOTE)})

    quotes = await asyncio.gather(*(wire.client.get_quote("BTC/USDT") for _ in range(1000)))

    assert len(wire.asked) == 1
    assert {quote.bid_price for quote in quotes} == {Decimal("1.00")}


async def test_a_failed_shared_quote_is_one_error_and_is_not_kept() -> None:
    """L04: no negative cache."""
    wire = BinanceWire({"/api/v3/ticker/bookTicker": _in_turn(ResponseLost("reset"), reply(QUOTE))})

    results = await asyncio.gather(*(wire.client.get_quote("BTC/USDT") for _ in range(10)), return_exceptions=True)
    quote = await wire.client.get_quote("BTC/USDT")

    assert all(isinstance(result, TryLater) for result in results)
    assert quote.ask_price == Decimal("3.00")
    assert len(wire.asked) == 2


async def test_the_price_is_the_exact_mid() -> None:
    book = {**QUOTE, "bidPrice": "0.10000000000000000001", "askPrice": "0.10000000000000000004"}
    wire = BinanceWire({"/api/v3/ticker/bookTicker": reply(book)})

    price = await wire.client.get_price("BTC/USDT")

    assert price.price == Decimal("0.100000000000000000025")
    assert price.basis == "mid"


async def test_the_price_is_the_last_trade_where_a_side_is_missing() -> None:
    book = {**QUOTE, "bidPrice": "0.00", "bidQty": "0.00"}
    wire = BinanceWire(
        {
            "/api/v3/ticker/bookTicker": reply(book),
            "/api/v3/ticker/price": reply({"symbol": "BTCUSDT", "price": "2.5"}),
        }
    )

    price = await wire.client.get_price("BTC/USDT")

    assert (price.price, price.basis) == (Decimal("2.5"), "last")


async def test_server_time_and_ping_measure_the_round_trip() -> None:
    wire = BinanceWire({"/api/v3/ping": reply({})}, skew_ms=2_000)
    wire.transport.round_trip_s = 0.2

    measured = await wire.client.get_server_time()
    ping_s = await wire.client.ping("spot")

    # The answer is made at the end of the round trip here, the clock is taken to be read in its middle.
    assert measured.offset_ns == pytest.approx(2_100_500_000, abs=1_000_000)
    assert measured.error_ns == 100_500_000
    assert ping_s == pytest.approx(0.2)


async def test_an_unknown_market_is_the_callers_fault() -> None:
    with pytest.raises(CallerMustAct, match="spot, usdm, coinm"):
        await BinanceWire().client.get_server_time("margin")


async def test_no_secret_shows_anywhere() -> None:
    """S18: the secret and the signature, in everything that is printed or raised."""
    wire = BinanceWire({"/api/v3/order": ResponseLost("reset")}, key=WireKey(secret="CANARY-secret"))

    with pytest.raises(OutcomeUnknown) as error:
        await wire.client.request(_request("POST"))

    signature = wire.asked[0].form["signature"]
    built = wire.client.build(_request("POST"), server_time_ns=1)
    shown = [repr(error.value), str(error.value), repr(built), repr(wire.asked[0].request)]
    chain = error.value.__cause__
    shown += [repr(chain), str(chain)]
    for text in shown:
        assert "CANARY" not in text
        assert signature not in text


@pytest.mark.parametrize("status", [400, 503])
async def test_a_refusal_that_repeats_what_was_signed_is_kept_without_the_key(status: int) -> None:
    said = {"code": -1022, "msg": "origin_string[1790000000000test-key5000symbol=BTCUSDT]"}
    wire = BinanceWire({"/api/v3/order": reply(said, status=status)})

    with pytest.raises(ExchangeError) as refused:
        await wire.client.request(_request("POST"))

    assert "origin_string[1790000000000[key]5000symbol=BTCUSDT]" in refused.value.text
    assert b"origin_string[1790000000000[key]5000" in refused.value.raw
    assert "test-key" not in f"{refused.value} {refused.value.raw!r}"


def test_foreign_texts_become_one_printable_bounded_line() -> None:
    assert clean("a\x1b[31m\r\nb\u2028c  d") == "a [31m b c d"
    assert len(clean("x" * 100_000)) == 200


async def test_a_read_is_repeated_by_the_real_executor_and_an_order_is_not() -> None:
    wire = BinanceWire(
        {"GET /api/v3/order": _in_turn(ResponseLost("reset"), reply({})), "POST /api/v3/order": NotSent("refused")}
    )
    executor = PolicyExecutor(classify, ports=Ports(sleep=lambda seconds: asyncio.sleep(0)))
    client = BinanceClient(replace(wire_ports(wire.transport, key=WireKey()), executor=executor), BASES)

    await client.request(_request("GET"))
    assert len(wire.asked) == 2

    with pytest.raises(TryLater):
        await client.request(_request("POST"))
    assert len(wire.asked) == 3


async def test_a_login_is_signed_by_the_measured_clock() -> None:
    wire = BinanceWire(skew_ms=5_000)
    assert wire.client.server_time_of_clock("spot") is None

    first_ns = await wire.client.signing_time_ns("spot")
    wire.transport.clock.advance(1)
    second_ns = await wire.client.signing_time_ns("spot")

    assert second_ns - first_ns == 10**9
    measured = wire.client.server_time_of_clock("spot")
    assert measured is not None
    assert measured.offset_ns == pytest.approx(5_000_000_000, abs=1_000_000)
    assert len(wire.transport.sent) == 1


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"serverTime":"soon"}', b'{"serverTime":1.5}'])
async def test_a_clock_that_tells_no_time_is_a_failed_read(body: bytes) -> None:
    wire = BinanceWire({"/api/v3/time": reply(body)})

    with pytest.raises(TryLater):
        await wire.client.get_server_time("spot")


async def test_a_large_answer_is_parsed_all_the_same() -> None:
    book = {**QUOTE, "pad": "x" * 300_000}
    wire = BinanceWire({"/api/v3/ticker/bookTicker": reply(book)})

    assert (await wire.client.get_quote("BTC/USDT")).ask_price == Decimal("3.00")


async def test_a_refresh_asks_every_market_again() -> None:
    wire = BinanceWire()
    await wire.client.get_instruments()

    await wire.client.get_instruments(refresh=True)

    assert Counter(wire.transport.paths()) == {
        f"GET {path}": 2 for path in ("/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo")
    }


async def test_spot_is_priced_while_another_market_is_down() -> None:
    wire = BinanceWire({"/dapi/v1/exchangeInfo": NotSent("down"), "/api/v3/ticker/bookTicker": reply(QUOTE)})

    quote = await wire.client.get_quote("BTC/USDT")

    assert quote.symbol == "BTC/USDT"
    with pytest.raises(TryLater):
        await wire.client.get_quote("BTC/USD:BTC")
