"""Signatures of Bybit against every vector."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from clients.exchanges.bybit.client import BybitClient
from clients.exchanges.bybit.signing import STREAM_LOGIN, body_of, headers, message, query_of, signature
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.exact_json import MalformedAnswer
from clients.resilience.call import CallSpec
from tests.support.contracts import SHEETS
from tests.unit.clients.bybit.stage import KEY, on_stage

OURS: list[dict[str, Any]] = [
    {
        "id": "ours",
        "scheme": "hmac-sha256-hex",
        "method": "POST",
        "api_key": "our-key",
        "secret": "our-secret",
        "timestamp": "1760000000000",
        "recv_window": "5000",
        "query": "",
        "body": '{"category":"spot","symbol":"BTCUSDT"}',
        "string_to_sign": '1760000000000our-key5000{"category":"spot","symbol":"BTCUSDT"}',
        # printf %s STRING | openssl dgst -sha256 -hmac our-secret
        "signature": "723fb9f123b849d9fce00198542d938fca1607bf4e75534234398bf6b6f8cd08",
    }
]
FILE = SHEETS / "signing_vectors_bybit.json"
PUBLISHED: list[dict[str, Any]] = json.loads(FILE.read_text())["vectors"] if FILE.exists() else []
VECTORS = [*OURS, *PUBLISHED]
SIGNED = [one for one in VECTORS if one["secret"]]
REQUESTS = [one for one in VECTORS if one["method"] != "WS"]


def ids(vector: dict[str, Any]) -> str:
    return str(vector["id"])


@pytest.mark.quick
@pytest.mark.parametrize("vector", SIGNED, ids=ids)
def test_every_vector_is_reproduced(vector: dict[str, Any]) -> None:
    assert signature(vector["secret"], vector["string_to_sign"]) == vector["signature"]


@pytest.mark.parametrize("vector", REQUESTS, ids=ids)
def test_what_is_signed_is_put_together_without_anything_between(vector: dict[str, Any]) -> None:
    made = message(
        int(vector["timestamp"]), vector["api_key"], int(vector["recv_window"]), vector["body"] or vector["query"]
    )

    assert made == vector["string_to_sign"]


@pytest.mark.parametrize("vector", [one for one in REQUESTS if one["secret"]], ids=ids)
def test_the_headers_carry_it(vector: dict[str, Any]) -> None:
    made = headers(
        vector["api_key"],
        vector["secret"],
        timestamp_ms=int(vector["timestamp"]),
        recv_window_ms=int(vector["recv_window"]),
        payload=vector["body"] or vector["query"],
    )

    assert made == {
        "X-BAPI-API-KEY": vector["api_key"],
        "X-BAPI-TIMESTAMP": vector["timestamp"],
        "X-BAPI-RECV-WINDOW": vector["recv_window"],
        "X-BAPI-SIGN": vector["signature"],
    }


@pytest.mark.parametrize("vector", [one for one in PUBLISHED if one["id"] == "bybit-ws-auth"], ids=ids)
@pytest.mark.needs("recordings")
def test_a_login_signs_the_time_of_its_end(vector: dict[str, Any]) -> None:
    assert STREAM_LOGIN + vector["timestamp"] == vector["string_to_sign"]


@pytest.mark.parametrize("vector", [one for one in PUBLISHED if one["scheme"].startswith("rsa")], ids=ids)
@pytest.mark.needs("recordings")
def test_an_rsa_signature_is_over_the_same_text(vector: dict[str, Any]) -> None:
    """We sign with HMAC keys only; whoever adds the others finds that nothing else differs."""
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    padding = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.padding")
    public = serialization.load_pem_public_key(vector["public_key"].encode())

    text = message(int(vector["timestamp"]), vector["api_key"], int(vector["recv_window"]), vector["query"])

    public.verify(base64.b64decode(vector["signature"]), text.encode(), padding.PKCS1v15(), hashes.SHA256())


def _wire(client: BybitClient, request: ExchangeRequest, timestamp_ms: int) -> Any:
    return client.build(request, server_time_ns=timestamp_ms * 1_000_000 + 999_999)


@pytest.mark.parametrize("vector", [one for one in PUBLISHED if one["secret"] and one["method"] != "WS"], ids=ids)
@pytest.mark.needs("recordings")
def test_what_is_signed_is_what_is_sent(vector: dict[str, Any]) -> None:
    pairs = [pair.split("=", 1) for pair in vector["query"].split("&") if pair]
    body = json.loads(vector["body"]) if vector["body"] else None
    client, _ = on_stage()
    spec = CallSpec("bybit:linear", "orders", "place_order")
    path = vector["path"]
    request = ExchangeRequest(
        "linear", vector["method"], path, spec, [(name, value) for name, value in pairs], True, body
    )

    wire = _wire(client, request, int(vector["timestamp"]))

    sent = wire.request
    assert sent.url == f"https://bybit.invalid{path}" + (f"?{vector['query']}" if vector["query"] else "")
    payload = sent.body.decode() or vector["query"]
    text = f"{vector['timestamp']}{KEY.key_id}5000{payload}"
    assert sent.headers["X-BAPI-SIGN"] == signature(KEY.secret, text)
    assert wire.expires_server_time_ns == (int(vector["timestamp"]) + 5000) * 1_000_000
    if vector["id"] in ("bybit-get-query", "bybit-get-no-query", "bybit-get-cursor", "bybit-post-order"):
        assert sent.headers["X-BAPI-SIGN"] == vector["signature"]


def test_everything_but_a_cursor_is_encoded_and_that_goes_back_as_it_came() -> None:
    parameters = [("symbol", "A&B=C"), ("cursor", "first%3D1%26last%3D2%2C")]

    assert query_of(parameters) == "symbol=A%26B%3DC&cursor=first%3D1%26last%3D2%2C"


@pytest.mark.parametrize("cursor", ["a&category=linear", "a b", "%", "%3", "ä", "", "a=b"])
def test_a_cursor_that_would_add_to_the_query_is_refused(cursor: str) -> None:
    with pytest.raises(MalformedAnswer, match="cursor"):
        query_of([("cursor", cursor)])


def test_a_body_is_compact_and_never_holds_a_float() -> None:
    assert body_of({"qty": "0.001", "positionIdx": 0, "reduceOnly": False}) == (
        b'{"qty":"0.001","positionIdx":0,"reduceOnly":false}'
    )
    with pytest.raises(TypeError, match="`qty`"):
        body_of({"qty": 0.001})
