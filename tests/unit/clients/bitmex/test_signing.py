"""Signatures of BitMEX against vectors, ours and the published ones where they are at hand, and the bytes that are signed."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bitmex.json_body import encode
from clients.exchanges.bitmex.signing import expiry_s, sign
from clients.exchanges.client import ExchangeRequest
from tests.support.contracts import documents, made, signing_vectors
from tests.support.exchange_stage import NOW_S, Reply, StageKey
from tests.unit.clients.bitmex.stage import on_stage

VECTORS = signing_vectors("bitmex")


@pytest.mark.quick
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['id']}, {vector['status']}")
def test_a_vector_is_reproduced(vector: dict[str, Any]) -> None:
    made = sign(vector["secret"], vector["verb"], vector["path"], vector["expires"], vector["data"].encode())

    assert made == vector["signature"]


def test_a_body_is_encoded_as_its_numbers_are_spelled() -> None:
    # The zero behind the point stays: it is signed.
    assert encode(made("bitmex/signed_body").exact) == (
        b'{"symbol":"XBTH26","price":61250.0,"clOrdID":"made-1/a+b==","orderQty":7}'
    )


def test_a_signed_body_is_that_of_its_vector() -> None:
    bodies = [vector["data"].encode() for vector in VECTORS if vector["data"]]

    assert [encode(document.exact) for document in documents("bitmex/signed_body")] == bodies


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1E-7"), b'{"x":0.0000001}'),
        (Decimal("1E+3"), b'{"x":1000}'),
        ([1, "a", None, True], b'{"x":[1,"a",null,true]}'),
        ({"open": True}, b'{"x":{"open":true}}'),
        ('"\n\u20ac', b'{"x":"\\"\\n\xe2\x82\xac"}'),
    ],
    ids=str,
)
def test_json_has_one_spelling(value: object, text: bytes) -> None:
    assert encode({"x": value}) == text


@pytest.mark.parametrize("value", [1.5, Decimal("NaN"), Decimal("Infinity"), {1}], ids=str)
def test_what_has_no_exact_spelling_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode({"x": value})


async def test_what_goes_out_is_what_was_signed() -> None:
    client, transport = on_stage(lambda seen: Reply([]))
    spec = client.spec("place_order", ())
    for method, parameters, body in (
        ("GET", (("filter", '{"clOrdID":"a b+c/\u20ac"}'), ("count", "1")), None),
        ("POST", (), {"symbol": "XBTUSD", "price": Decimal("90000.10"), "text": "\u20ac"}),
    ):
        await client.request(ExchangeRequest("bitmex", method, "/order", spec, parameters, True, body))

    for seen in transport.of("/order"):
        expires = seen.headers["api-expires"]
        message = seen.method.encode() + seen.target.encode() + expires.encode() + seen.body
        expected = hmac.new(StageKey().reveal().encode(), message, hashlib.sha256).hexdigest()
        assert seen.headers["api-signature"] == expected
        assert seen.headers["api-key"] == StageKey().key_id
        # The Date header counts whole seconds, so half a second more is assumed.
        assert NOW_S + 29 <= int(expires) <= NOW_S + 32
    assert transport.of("/order")[1].body == b'{"symbol":"XBTUSD","price":90000.10,"text":"\xe2\x82\xac"}'
    assert len(transport.of("/order")) == 2


def test_a_signature_lives_for_half_a_minute_of_the_servers_time() -> None:
    assert expiry_s(1_518_064_206_999_000_000) == 1_518_064_236
