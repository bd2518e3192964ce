"""Signatures of Ed25519 keys: the vectors of RFC 8032."""

from __future__ import annotations

import base64

import pytest

from services.simulators.venue.ed25519 import pem, public_key, sign, verifies

VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.quick
@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS, ids=["empty", "one byte"])
def test_published_vectors(seed: str, public: str, message: str, signature: str) -> None:
    assert public_key(bytes.fromhex(seed)).hex() == public
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature
    assert verifies(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_what_was_changed_does_not_verify(place: int) -> None:
    seed = bytes(range(32))
    public, signature = public_key(seed), bytearray(sign(seed, b"order"))
    assert verifies(public, b"order", bytes(signature))
    signature[place] ^= 1

    assert not verifies(public, b"order", bytes(signature))
    assert not verifies(public, b"orders", sign(seed, b"order"))
    assert not verifies(public, b"order", sign(seed, b"order")[:-1])
    assert not verifies(public_key(bytes(32)), b"order", sign(seed, b"order"))
    assert not verifies(b"\xff" * 32, b"order", sign(seed, b"order"))


def test_a_signature_has_one_form() -> None:
    seed, order = bytes(range(32)), 2**252 + 27742317777372353535851937790883648493
    signature = sign(seed, b"order")
    other = int.from_bytes(signature[32:], "little") + order

    assert not verifies(public_key(seed), b"order", signature[:32] + other.to_bytes(32, "little"))


def test_the_private_key_is_written_as_clients_read_it() -> None:
    lines = pem(bytes(range(32))).splitlines()

    assert len(lines) == 3
    assert base64.b64decode(lines[1])[-32:] == bytes(range(32))
    assert len(base64.b64decode(lines[1])) == 48
