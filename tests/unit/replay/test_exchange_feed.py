"""An exchange's quotes as a live feed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from clients.exchanges.quote_relay import QuoteSink
from fastpath.columns import Block, Tickers
from fastpath.live import decode_live_frame
from services.replay.engine.exchange_address import SYMBOLS_MAX, exchange_address
from services.replay.engine.exchange_feed import OPEN_TIMEOUT_S, Close, ExchangeDialer, row_of, spell_time
from services.runtime.errors import StartRefused
from tests.support.fake_exchange import FakeExchange, quote
from tests.support.virtual_time import VirtualLoop, run_virtual

pytestmark = pytest.mark.quick

RECEIVED_NS = 1_760_000_000_123_456_789


class FollowedExchange(FakeExchange):
    """Runs what a test does with the sink."""

    def __init__(self, play: Callable[[QuoteSink], Awaitable[None]]) -> None:
        super().__init__("binance")
        self.play = play
        self.closed = 0

    async def follow_quotes(self, symbols: Sequence[str], sink: QuoteSink) -> None:
        await self.play(sink)

    async def open(self, name: str) -> tuple[FakeExchange, Close]:
        return self, self.count_close

    async def count_close(self) -> None:
        self.closed += 1


def dialer(exchange: FollowedExchange) -> ExchangeDialer:
    address = exchange_address("binance://BTC/USDT")
    assert address is not None
    return ExchangeDialer(address, exchange.open)


def test_symbols_are_read_from_the_address() -> None:
    address = exchange_address("binance://BTC/USDT, ETH/USDT:USDT,BTC/USDT,BTC/USDT:USDT-261225")

    assert address is not None
    assert address.symbols == ("BTC/USDT", "ETH/USDT:USDT", "BTC/USDT:USDT-261225")
    assert address.url == "binance://BTC/USDT,ETH/USDT:USDT,BTC/USDT:USDT-261225"


@pytest.mark.parametrize("url", ["ws://127.0.0.1:5040", "", "file.csv", "kraken://BTC/USDT"])
def test_other_addresses_are_left_to_others(url: str) -> None:
    assert exchange_address(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "binance://",
        "binance://btcusdt",
        "binance://BTC/USDT,BTC",
        "binance://" + ",".join(f"A{number}/USDT" for number in range(SYMBOLS_MAX + 1)),
    ],
)
def test_symbols_that_cannot_be_any_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(StartRefused, match="BTC/USDT"):
        exchange_address(url)


def test_a_row_says_exactly_what_the_exchange_said() -> None:
    tickers = Tickers()
    block = Block(tickers)
    spoken = quote(
        "binance",
        "BTC/USDT",
        "65000.10000000",
        "65000.2",
        receive_time_ns=RECEIVED_NS,
        event_time_ns=RECEIVED_NS - 5_000_001,
    )

    decode_live_frame(
        row_of(spoken, "BTC/USDT@BINANCE", RECEIVED_NS),
        block,
        receive_time_ns=RECEIVED_NS,
        source_rank=0,
        frame_number=1,
    )

    assert block.to_rows() == [
        ((RECEIVED_NS, 0, 1), RECEIVED_NS - 5_000_001, "BTC/USDT@BINANCE", 65000.1, 1.0, 65000.2, 1.0)
    ]


def test_without_a_time_of_the_exchange_the_event_is_the_receipt() -> None:
    text = row_of(quote("binance", "BTC/USDT", "1", "2", receive_time_ns=RECEIVED_NS), "T", RECEIVED_NS)

    assert spell_time(RECEIVED_NS).encode() in text


def test_a_row_has_the_number_of_the_exchange_where_there_is_one() -> None:
    spoken = quote("binance", "BTC/USDT", "1", "2", receive_time_ns=RECEIVED_NS)

    numbered = row_of(replace(spoken, update_id=499_869_768), "T", RECEIVED_NS)

    assert json.loads(numbered) == {"id": 499_869_768} | json.loads(row_of(spoken, "T", RECEIVED_NS))
    assert b'"id"' not in row_of(spoken, "T", RECEIVED_NS)


def test_a_side_that_is_not_there_is_missing_and_not_zero() -> None:
    spoken = quote("bitmex", "BTC/USD:BTC", None, "2", receive_time_ns=RECEIVED_NS, bid_quantity=None)

    assert b'"bid_price":null,"bid_amount":null' in row_of(spoken, "T", RECEIVED_NS)


def test_every_quote_arrives_in_the_order_of_receipt_however_the_clock_steps() -> None:
    seen: list[int] = []

    async def play(sink: QuoteSink) -> None:
        sink.connected()
        for received_ns in (RECEIVED_NS, RECEIVED_NS - 1_000_000_000, RECEIVED_NS + 1):
            sink.put(quote("binance", "BTC/USDT", "1", "2", receive_time_ns=received_ns))
        await asyncio.Event().wait()

    async def main(loop: VirtualLoop) -> None:
        link = await dialer(FollowedExchange(play))(lambda at_ns, payloads: seen.append(at_ns))
        await asyncio.sleep(0)
        link.end()

    run_virtual(main)

    assert seen == [RECEIVED_NS, RECEIVED_NS, RECEIVED_NS + 1]


def test_a_broken_connection_ends_the_link_and_closes_the_client() -> None:
    async def play(sink: QuoteSink) -> None:
        sink.connected()
        await asyncio.sleep(1)
        sink.lost("the connection broke")
        await asyncio.Event().wait()

    async def main(loop: VirtualLoop) -> tuple[str, int]:
        exchange = FollowedExchange(play)
        link = await dialer(exchange)(lambda at_ns, payloads: None)
        await link.wait_closed()
        link.end()
        await asyncio.sleep(0.1)
        return link.reason(), exchange.closed

    assert run_virtual(main) == ("the connection broke", 1)


def test_an_exchange_that_refuses_is_told_as_such() -> None:
    async def play(sink: QuoteSink) -> None:
        raise FakeExchange("binance").failure(text="no such symbol")

    async def main(loop: VirtualLoop) -> int:
        exchange = FollowedExchange(play)
        with pytest.raises(ConnectionError, match="no such symbol"):
            await dialer(exchange)(lambda at_ns, payloads: None)
        return exchange.closed

    assert run_virtual(main) == 1


def test_an_exchange_that_never_accepts_is_given_up() -> None:
    async def play(sink: QuoteSink) -> None:
        await asyncio.Event().wait()

    async def main(loop: VirtualLoop) -> tuple[float, int]:
        exchange = FollowedExchange(play)
        started = loop.time()
        with pytest.raises(TimeoutError, match="has not accepted"):
            await dialer(exchange)(lambda at_ns, payloads: None)
        return loop.time() - started, exchange.closed

    took_s, closed = run_virtual(main)

    assert took_s == pytest.approx(OPEN_TIMEOUT_S, abs=0.1)
    assert closed == 1


def test_decimals_are_spelled_without_an_exponent() -> None:
    spoken = quote("binance", "BTC/USDT", "0.00000001", "2", receive_time_ns=RECEIVED_NS, ask_quantity=Decimal("1E+3"))

    text = row_of(spoken, "T", RECEIVED_NS)

    assert b'"bid_price":0.00000001' in text
    assert b'"ask_amount":1000' in text
