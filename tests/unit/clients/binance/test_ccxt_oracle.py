"""ccxt as a second opinion on signatures, symbols and filters. It takes seconds to import, so this module is a long one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

from clients.exchanges.binance.instruments import parse_instruments
from clients.exchanges.binance.markets import MARKETS
from clients.exchanges.binance.signing import signature
from clients.exchanges.model import InstrumentKind, Payout
from tests.support.binance_wire import INFO
from tests.support.contracts import Document, documents

pytestmark = pytest.mark.long

MARGIN_LISTS: dict[str, Any] = {"crossMarginPairsData": [], "isolatedMarginPairsData": []}
"""What ccxt would ask the exchange for."""
APIS = {"spot": ("private", "order"), "usdm": ("fapiPrivate", "order"), "coinm": ("dapiPrivate", "order")}


@pytest.fixture(scope="module")
def oracle() -> Any:
    """A client of ccxt that never reaches the network."""
    ccxt = pytest.importorskip("ccxt")
    return ccxt.binance({"apiKey": "key", "secret": "a-secret-for-tests", "options": MARGIN_LISTS})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("market", list(APIS))
def test_ccxts_signed_requests_carry_the_signature_that_we_make(oracle: Any, market: str, method: str) -> None:
    api, path = APIS[market]
    parameters = {"symbol": "BTCUSDT", "newClientOrderId": "x y/ü&=+", "quantity": "0.001"}

    request = oracle.sign(path, api, method, parameters)

    sent = request["body"] if request["body"] else urlsplit(request["url"]).query
    payload, _, theirs = sent.rpartition("&signature=")
    assert signature("a-secret-for-tests", payload) == theirs


LISTS = [
    (market, document)
    for market in MARKETS
    for document in documents(INFO[MARKETS[market].path("exchangeInfo")])
    # What documents show is too incomplete for ccxt.
    if document.made or "capture" in document.source
]


@pytest.mark.parametrize(("market", "document"), LISTS, ids=[f"{market}, {document}" for market, document in LISTS])
def test_ccxt_reads_instruments_as_we_do(oracle: Any, market: str, document: Document) -> None:
    ours = parse_instruments(MARKETS[market], document.exact)
    theirs = [oracle.parse_market(entry) for entry in oracle.parse_json(document.text)["symbols"]]

    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.symbol, mine.exchange_symbol) == (other["symbol"], other["id"])
        assert (mine.base, mine.quote, mine.settle or None) == (other["base"], other["quote"], other["settle"])
        assert mine.tradable == other["active"]
        assert (
            mine.kind
            is {
                "spot": InstrumentKind.SPOT,
                "swap": InstrumentKind.PERPETUAL,
                "future": InstrumentKind.DELIVERY,
            }[other["type"]]
        )
        assert (mine.payout is Payout.LINEAR, mine.payout is Payout.INVERSE) == (
            bool(other["linear"]),
            bool(other["inverse"]),
        )
        assert mine.expiry_time_ns == (None if other["expiry"] is None else other["expiry"] * 1_000_000)
        assert mine.contract_size == (1 if other["contractSize"] is None else Decimal(str(other["contractSize"])))
        assert mine.price_tick == Decimal(str(other["precision"]["price"]))
        assert mine.lot_size == Decimal(str(other["precision"]["amount"]))
        assert mine.quantity_min == Decimal(str(other["limits"]["amount"]["min"]))
        assert mine.quantity_max == Decimal(str(other["limits"]["amount"]["max"]))
        assert mine.price_min == _decimal(other["limits"]["price"]["min"])
        assert mine.notional_min == _decimal(other["limits"]["cost"]["min"])


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
