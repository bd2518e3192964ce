"""What is said of exchanges that have closed."""

from __future__ import annotations

import pytest

from protos.price.v1 import price_pb2 as pb
from services.price.exchanges.answers import ExchangePrices
from services.runtime.errors import NotFound
from tests.unit.price.exchanges.test_desk import SYMBOL, Market, market

CLOSED = pb.ClosedExchange(exchange="bitmex", closed_on="2026-09-23")


@pytest.mark.parametrize(
    ("exchange", "closed"), [("", [CLOSED]), ("any", [CLOSED]), ("first", [])], ids=["none named", "any", "another"]
)
def test_a_list_of_prices_names_the_exchanges_meant_that_have_closed(
    exchange: str, closed: list[pb.ClosedExchange]
) -> None:
    async def body(at: Market) -> None:
        request = pb.ListExchangePricesRequest(symbols=[SYMBOL], exchange=exchange)
        answer = await ExchangePrices(at.desk).list(request)

        assert list(answer.closed) == closed

    market(body)


def test_asked_for_where_it_is_left_out_a_closed_exchange_is_missing_for_that_reason() -> None:
    async def body(at: Market) -> None:
        with pytest.raises(NotFound, match="bitmex closed for good on 2026-09-23; there are first, second"):
            await ExchangePrices(at.desk).get(pb.GetPriceRequest(symbol=SYMBOL, exchange="bitmex"))

    market(body)
