"""An exchange without streams is asked for its prices, and nobody tries anything else."""

from __future__ import annotations

import asyncio

import pytest

from clients.exchanges.client import ExchangeClient
from clients.exchanges.errors import CallerMustAct
from clients.exchanges.quote_relay import QuoteRelay
from services.runtime.exchanges.latest_quotes import LatestQuotes
from tests.support.fake_exchange import FakeExchange
from tests.support.virtual_time import VirtualLoop, run_virtual


class Streamless(FakeExchange):
    """An exchange that is asked for every price."""

    streams_quotes = False
    stream_quotes = ExchangeClient.stream_quotes  # type: ignore[assignment]


async def test_a_client_without_streams_refuses_them_with_a_word() -> None:
    client = Streamless("toy")

    with pytest.raises(CallerMustAct, match="streams no quotes") as streamed:
        client.stream_quotes(["BTC/USDT"])
    with pytest.raises(CallerMustAct) as followed:
        await client.follow_quotes(["BTC/USDT"], QuoteRelay())

    assert (streamed.value.code, followed.value.code) == ("NO_STREAM", "NO_STREAM")


def test_a_book_of_an_exchange_without_streams_never_tries_to_open_one(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> str:
        book = LatestQuotes(Streamless("toy"), monotonic_ns=lambda: 0)
        book.start()
        book.want("BTC/USDT")
        await asyncio.sleep(60)
        await book.stop()
        return book.last_error

    assert run_virtual(main) == ""
    assert caplog.records == []
