"""Signatures and times: what the simulated Binance accepts."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import quote

import pytest

from services.simulators.binance.errors import BinanceError
from services.simulators.binance.signing import check_signature
from services.simulators.venue.clearing import Account
from services.simulators.venue.messages import Request
from tests.support.contracts import signing_vectors
from tests.support.simulated_calls import BINANCE_DEMO, BinanceCalls, reply, set_faults, virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual

VECTORS = signing_vectors("binance")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["id"]))
def test_every_vector_is_accepted_and_any_change_of_it_refused(vector: dict[str, Any]) -> None:
    secret, signature = vector["secret"], vector["signature"]

    check_signature(Account("a", "key", secret), f"{vector['query']}&signature={signature}", vector["body"])

    for query, body in ((vector["query"] + "&x=1", vector["body"]), (vector["query"], vector["body"] + "x")):
        with pytest.raises(BinanceError) as refused:
            check_signature(Account("a", "key", secret), f"{query}&signature={signature}", body)
        assert refused.value.code == -1022


def test_signature_over_text_that_was_encoded_afterwards_is_refused() -> None:
    """Since January 2026 the percent-encoded bytes are what has to be signed."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        now_ms = calls.venue.exchange_ns() // 1_000_000
        plain = f"symbol=BTCUSDT&origClientOrderId=a/b:c&timestamp={now_ms}"
        encoded = f"symbol=BTCUSDT&origClientOrderId={quote('a/b:c', safe='')}&timestamp={now_ms}"

        codes = []
        for signed in (plain, encoded):
            signature = hmac.new(BINANCE_DEMO.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
            request = Request(
                "GET", "/api/v3/order", f"{encoded}&signature={signature}", {"x-mbx-apikey": BINANCE_DEMO.api_key}
            )
            codes.append(reply(await calls.venue.handle(request)).code)

        assert codes == [-1022, -2013]

    run_virtual(main)


def test_bytes_beyond_ascii_are_refused_however_well_they_were_signed() -> None:
    raw = "symbol=１２３&timestamp=1"
    signature = hmac.new(b"secret", raw.encode(), hashlib.sha256).hexdigest()

    with pytest.raises(BinanceError) as refused:
        check_signature(Account("a", "key", "secret"), f"{raw}&signature={signature}", "")

    assert refused.value.code == -1022


@pytest.mark.parametrize(
    ("offset_ms", "window", "code"),
    [
        (0, None, -2013),
        (-4900, None, -2013),
        (-5001, None, -1021),
        (-59_000, "60000", -2013),
        (-500, "100", -1021),
        (999, None, -2013),
        (1000, None, -1021),
        (0, "60001", -1131),
    ],
)
def test_timestamp_has_to_be_within_the_window(offset_ms: int, window: str | None, code: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        now_ms = calls.venue.exchange_ns() // 1_000_000
        more = {} if window is None else {"recvWindow": window}

        answer = await calls.signed(
            "GET", "/api/v3/order", at_ms=now_ms + offset_ms, symbol="BTCUSDT", orderId="1", **more
        )

        assert answer.code == code

    run_virtual(main)


def test_clock_skew_moves_the_window_with_the_server_time() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        local_ms = loop.wall_ns() // 1_000_000
        set_faults(calls.venue, "skew=30")

        late = await calls.signed("GET", "/fapi/v1/order", at_ms=local_ms, symbol="BTCUSDT", orderId="1")
        told = await calls.get("/fapi/v1/time")
        right = await calls.signed(
            "GET", "/fapi/v1/order", at_ms=int(told.payload["serverTime"]), symbol="BTCUSDT", orderId="1"
        )

        assert late.code == -1021
        assert right.code == -2013

    run_virtual(main)


def test_keys_are_needed_known_and_allowed() -> None:
    async def main(loop: VirtualLoop) -> None:
        reader = Account("reader", "reader-key", "reader-secret", frozenset({"read"}))
        calls = virtual_binance(loop, accounts=(BINANCE_DEMO, reader))
        unknown = BinanceCalls(calls.venue, Account("x", "nobody", "x"))
        wrong = BinanceCalls(calls.venue, Account("demo", BINANCE_DEMO.api_key, "wrong"))
        reading = BinanceCalls(calls.venue, reader)

        bare = reply(await calls.venue.handle(Request("GET", "/api/v3/account", "timestamp=1")))
        assert (bare.status, bare.code) == (401, -2014)
        assert (await unknown.signed("GET", "/api/v3/account")).code == -2015
        assert (await wrong.signed("GET", "/api/v3/account")).code == -1022
        assert (await reading.signed("GET", "/api/v3/account")).status == 200
        assert (await reading.limit()).code == -2015
        unsigned = Request("GET", "/api/v3/account", "timestamp=1", {"x-mbx-apikey": BINANCE_DEMO.api_key})
        assert reply(await calls.venue.handle(unsigned)).code == -1102

    run_virtual(main)


def test_parameters_may_stand_in_query_and_body_and_the_query_wins() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        now_ms = calls.venue.exchange_ns() // 1_000_000
        query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&price=60000"
        body = f"quantity=0.002&price=1&timestamp={now_ms}"
        signature = hmac.new(BINANCE_DEMO.secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()

        answer = reply(
            await calls.venue.handle(
                Request(
                    "POST",
                    "/api/v3/order",
                    query,
                    {"x-mbx-apikey": BINANCE_DEMO.api_key},
                    f"{body}&signature={signature}".encode(),
                )
            )
        )

        assert (answer.status, answer.payload["price"]) == (200, "60000.00000000")

    run_virtual(main)
