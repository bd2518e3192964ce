"""Signatures of Binance against vectors: ours, and the published ones where they are at hand."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from clients.exchanges.binance.signing import encode, signature, signed
from tests.support.contracts import signing_vectors

VECTORS = signing_vectors("binance")


@pytest.mark.quick
@pytest.mark.parametrize("vector", VECTORS, ids=[f"{vector['id']}-{vector['status']}" for vector in VECTORS])
def test_every_vector_is_reproduced(vector: dict[str, Any]) -> None:
    assert signature(vector["secret"], vector["query"], vector["body"]) == vector["signature"]


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS if not vector["body"]], ids=lambda vector: str(vector["id"])
)
def test_parameters_are_encoded_first_and_the_signature_goes_last(vector: dict[str, Any]) -> None:
    *parameters, window, timestamp = parse_qsl(vector["query"])
    assert (window[0], timestamp[0]) == ("recvWindow", "timestamp")

    made = signed(parameters, vector["secret"], timestamp_ms=int(timestamp[1]), recv_window_ms=int(window[1]))

    assert made == f"{vector['query']}&signature={vector['signature']}"


def test_everything_but_unreserved_characters_is_encoded() -> None:
    parameters = [("a", "x y"), ("b", "p&q=r"), ("c", "é/~-._"), ("d", '{"k":[1]}')]

    assert encode(parameters) == "a=x%20y&b=p%26q%3Dr&c=%C3%A9%2F~-._&d=%7B%22k%22%3A%5B1%5D%7D"
    assert parse_qsl(encode(parameters)) == parameters
