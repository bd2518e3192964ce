"""Which price is given, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from clients.resilience.errors import AttemptTimedOut, CallNotPermitted, LimitReached
from clients.resilience.outcome import Outcome
from services.price.exchanges.answers import message_of
from services.price.exchanges.desk import DeskOptions, PriceDesk
from services.runtime.errors import InvalidRequest, NotFound, Unavailable
from services.runtime.exchanges.latest_quotes import IDLE_S, SYMBOLS_MAX, LatestQuotes
from tests.support.fake_exchange import FakeExchange, quote
from tests.support.virtual_time import VirtualLoop, run_virtual

pytestmark = pytest.mark.quick

SYMBOL = "BTC/USDT"
Body = Callable[["Market"], Awaitable[None]]


class Market:
    """Two fake exchanges, their newest quotes and a desk, in a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.first = FakeExchange("first")
        self.second = FakeExchange("second")
        self.clients = {"first": self.first, "second": self.second}
        self.latest = {
            name: LatestQuotes(client, monotonic_ns=loop.monotonic_ns) for name, client in self.clients.items()
        }
        self.desk = PriceDesk(self.clients, self.latest, wall_ns=loop.wall_ns, options=DeskOptions())

    def quote(
        self, exchange: str, bid: str | None, ask: str | None, *, age_s: float = 0.0, **changes: object
    ) -> object:
        return quote(exchange, SYMBOL, bid, ask, receive_time_ns=self.loop.wall_ns() - round(age_s * 1e9), **changes)

    async def settle(self) -> None:
        await asyncio.sleep(1)


def market(body: Body) -> None:
    async def main(loop: VirtualLoop) -> None:
        made = Market(loop)
        for each in made.latest.values():
            each.start()
        try:
            await body(made)
        finally:
            for each in made.latest.values():
                await each.stop()

    run_virtual(main)


def test_a_fresh_streamed_quote_is_given_without_asking() -> None:
    async def body(at: Market) -> None:
        at.latest["first"].want(SYMBOL)
        await at.settle()
        at.first.push(at.quote("first", "100", "102"))
        await asyncio.sleep(0.5)

        priced = await at.desk.get(SYMBOL, "first")

        assert (priced.price.price, priced.price.source, priced.age_ms) == (Decimal(101), "stream", 500)
        assert at.first.quotes_asked == 0

    market(body)


def test_a_streamed_quote_that_is_too_old_makes_it_ask() -> None:
    async def body(at: Market) -> None:
        at.latest["first"].want(SYMBOL)
        await at.settle()
        at.first.push(at.quote("first", "100", "102"))
        await asyncio.sleep(1.0)
        at.first.answer = at.quote("first", "104", "106")

        priced = await at.desk.get(SYMBOL, "first")

        assert (priced.price.price, priced.price.source) == (Decimal(105), "rest")

    market(body)


def test_the_age_of_a_streamed_quote_counts_from_the_exchanges_own_time() -> None:
    async def body(at: Market) -> None:
        at.latest["first"].want(SYMBOL)
        await at.settle()
        at.first.push(at.quote("first", "100", "102", event_time_ns=at.loop.wall_ns() - 3_000_000_000))
        await asyncio.sleep(0.1)
        at.first.answer = at.first.failure()

        priced = await at.desk.get(SYMBOL, "first")

        assert (priced.price.source, priced.price.stale) == ("cache", True)
        assert 3_000 <= priced.age_ms <= 3_200

    market(body)


def test_the_next_exchange_is_asked_when_the_first_does_not_answer() -> None:
    async def body(at: Market) -> None:
        at.first.answer = at.first.failure(text="it is down")
        at.second.answer = at.quote("second", "100", "102")

        priced = await at.desk.get(SYMBOL)

        assert (priced.price.exchange, priced.price.stale) == ("second", False)
        assert len(priced.attempts) == 1
        assert "it is down" in priced.attempts[0]

    market(body)


@pytest.mark.parametrize(
    "error", [AttemptTimedOut("no answer"), LimitReached("too many calls"), CallNotPermitted("open")]
)
def test_whatever_a_policy_says_the_next_exchange_is_asked(error: Exception) -> None:
    async def body(at: Market) -> None:
        at.first.answer = error
        at.second.answer = at.quote("second", "100", "102")

        priced = await at.desk.get(SYMBOL)

        assert priced.price.exchange == "second"
        assert priced.attempts == (str(error),)

    market(body)


def test_an_exchange_that_hangs_loses_its_turn() -> None:
    async def body(at: Market) -> None:
        at.second.answer = at.quote("second", "100", "102")
        started = at.loop.time()

        priced = await at.desk.get(SYMBOL)

        assert priced.price.exchange == "second"
        assert at.loop.time() - started == pytest.approx(DeskOptions().rest_deadline_s, abs=0.01)
        assert "did not answer within 3 s" in priced.attempts[0]

    market(body)


def test_a_named_exchange_is_never_replaced_by_another() -> None:
    async def body(at: Market) -> None:
        at.first.answer = at.first.failure()
        at.second.answer = at.quote("second", "100", "102")

        with pytest.raises(Unavailable, match="it is down"):
            await at.desk.get(SYMBOL, "first")
        assert at.second.quotes_asked == 0

    market(body)


def test_a_fallback_is_marked_stale_and_never_older_than_asked_for() -> None:
    async def body(at: Market) -> None:
        at.first.answer = at.quote("first", "100", "102")
        await at.desk.get(SYMBOL, "first")
        at.first.answer = at.first.failure()
        await asyncio.sleep(4)

        priced = await at.desk.get(SYMBOL, "first", max_age_ms=4_001)

        assert priced.price.stale
        assert priced.age_ms == 4_000
        with pytest.raises(Unavailable, match="younger than 3999 ms"):
            await at.desk.get(SYMBOL, "first", max_age_ms=3_999)

    market(body)


def test_the_newest_fallback_of_all_exchanges_is_given() -> None:
    async def body(at: Market) -> None:
        at.first.answer = at.quote("first", "100", "102")
        await at.desk.get(SYMBOL, "first")
        await asyncio.sleep(1)
        at.second.answer = at.quote("second", "200", "202")
        await at.desk.get(SYMBOL, "second")
        at.first.answer = at.second.answer = at.first.failure()
        await asyncio.sleep(1)

        priced = await at.desk.get(SYMBOL)

        assert (priced.price.exchange, priced.price.stale) == ("second", True)

    market(body)


def test_a_one_sided_book_gives_the_last_trade() -> None:
    async def body(at: Market) -> None:
        at.first.answer = at.quote("first", "100", None)
        at.first.last_price = Decimal("99.5")

        priced = await at.desk.get(SYMBOL, "first")

        assert (priced.price.price, priced.price.basis) == (Decimal("99.5"), "last")

    market(body)


def test_a_symbol_that_no_exchange_lists_is_not_found() -> None:
    async def body(at: Market) -> None:
        with pytest.raises(NotFound, match=r"first does not list btc/usdt .*; second does not list") as refused:
            await at.desk.get("btc/usdt")
        assert "near matches: BTC/USDT" in refused.value.message

    market(body)


def test_a_symbol_is_not_called_unknown_while_an_exchange_cannot_say() -> None:
    async def body(at: Market) -> None:
        at.first.listed = at.first.failure(Outcome.MAINTENANCE, "down for maintenance")

        with pytest.raises(Unavailable, match="down for maintenance"):
            await at.desk.get("XRP/USDT")

    market(body)


@pytest.mark.parametrize(
    ("symbol", "exchange", "max_age_ms", "error"),
    [
        ("", "", 0, InvalidRequest),
        ("BTCUSDT", "", 0, InvalidRequest),
        ("x/" * 40, "", 0, InvalidRequest),
        (SYMBOL, "", -1, InvalidRequest),
        (SYMBOL, "third", 0, NotFound),
    ],
)
def test_an_unusable_request_is_refused(symbol: str, exchange: str, max_age_ms: int, error: type[Exception]) -> None:
    async def body(at: Market) -> None:
        with pytest.raises(error):
            await at.desk.get(symbol, exchange, max_age_ms)

    market(body)


def test_a_symbol_that_was_asked_for_is_streamed_until_nobody_asks() -> None:
    async def body(at: Market) -> None:
        at.first.answer = at.quote("first", "100", "102")
        await at.desk.get(SYMBOL, "first")
        await at.settle()
        assert at.first.subscriptions == [(SYMBOL,)]

        await asyncio.sleep(IDLE_S * 1.2)

        assert at.latest["first"].streamed == ()
        assert at.latest["first"].quotes == {}

    market(body)


def test_symbols_that_are_asked_for_together_are_subscribed_together() -> None:
    async def body(at: Market) -> None:
        for name in ("A/USDT", "B/USDT", "C/USDT"):
            at.latest["first"].want(name)
        await at.settle()

        assert at.first.subscriptions == [("A/USDT", "B/USDT", "C/USDT")]

    market(body)


def test_the_number_of_streamed_symbols_is_bounded() -> None:
    async def body(at: Market) -> None:
        for number in range(SYMBOLS_MAX + 5):
            at.latest["first"].want(f"N{number}/USDT")
            await asyncio.sleep(0.01)

        assert len(at.latest["first"].streamed) == SYMBOLS_MAX
        assert "N0/USDT" not in at.latest["first"].streamed

    market(body)


def test_a_stream_that_fails_is_begun_again() -> None:
    async def body(at: Market) -> None:
        at.latest["first"].want(SYMBOL)
        await at.settle()
        at.first.push(RuntimeError("a bug"))
        await asyncio.sleep(10)

        assert at.first.subscriptions == [(SYMBOL,), (SYMBOL,)]
        assert "RuntimeError" in at.latest["first"].last_error

    market(body)


def test_an_older_quote_does_not_replace_a_newer_one() -> None:
    async def body(at: Market) -> None:
        at.latest["first"].want(SYMBOL)
        await at.settle()
        at.first.push(at.quote("first", "100", "102", update_id=7))
        at.first.push(at.quote("first", "90", "92", update_id=6))
        await at.settle()

        assert at.latest["first"].quotes[SYMBOL].bid_price == Decimal(100)

    market(body)


def test_an_answer_spells_decimals_without_exponent_and_without_empty_digits() -> None:
    async def body(at: Market) -> None:
        at.first.answer = at.quote("first", "65000.10000000", "65000.20000000")

        message = message_of(await at.desk.get(SYMBOL, "first"))

        assert (message.price, message.bid_price) == ("65000.15", "65000.10000000")
        at.first.answer = at.quote("first", "900", "1100")
        assert message_of(await at.desk.get(SYMBOL, "first")).price == "1000"

    market(body)
