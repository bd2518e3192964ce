"""Ed25519 after RFC 8032, as far as a simulated exchange needs it: verify what clients sign, and make the demo key's public half.

Plain arithmetic that takes milliseconds and guards no secret: not for anything that has to keep one.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Final

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)
_DER_HEAD: Final = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before the seed in a private key of PKCS #8."""

_Point = tuple[int, int, int, int]
"""Extended coordinates: X, Y, Z and XY/Z."""


def public_key(seed: bytes) -> bytes:
    """Return the public half of the key that a seed makes."""
    return _packed(_times(_scalar(seed), _BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the signature of a message: what clients do, for tests and examples."""
    scalar, own = _scalar(seed), public_key(seed)
    nonce = _number(hashlib.sha512(hashlib.sha512(seed).digest()[32:] + message).digest())
    shown = _packed(_times(nonce, _BASE))
    answer = (nonce + _number(hashlib.sha512(shown + own + message).digest()) * scalar) % _ORDER
    return shown + answer.to_bytes(32, "little")


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature of a message is by the key."""
    if len(signature) != 64:
        return False
    shown, answer = signature[:32], int.from_bytes(signature[32:], "little")
    owner, nonce = _unpacked(public), _unpacked(shown)
    if owner is None or nonce is None or answer >= _ORDER:
        return False
    weight = _number(hashlib.sha512(shown + public + message).digest())
    return _same(_times(answer, _BASE), _sum(nonce, _times(weight, owner)))


def pem(seed: bytes) -> str:
    """Return the private key as clients read it from a file."""
    text = b64encode(_DER_HEAD + seed).decode()
    kind = "PRIVATE KEY"
    return f"-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n"


def _scalar(seed: bytes) -> int:
    low = bytearray(hashlib.sha512(seed).digest()[:32])
    low[0] &= 248
    low[31] = (low[31] & 127) | 64
    return int.from_bytes(low, "little")


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little") % _ORDER


def _sum(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(count: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while count:
        if count & 1:
            total = _sum(total, point)
        point = _sum(point, point)
        count >>= 1
    return total


def _same(one: _Point, other: _Point) -> bool:
    return not ((one[0] * other[2] - other[0] * one[2]) % _P or (one[1] * other[2] - other[1] * one[2]) % _P)


def _packed(point: _Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _unpacked(text: bytes) -> _Point | None:
    if len(text) != 32:
        return None
    number = int.from_bytes(text, "little")
    sign_bit, y = number >> 255, number & (1 << 255) - 1
    x = _x_of(y, sign_bit)
    return None if x is None else (x, y, 1, x * y % _P)


def _x_of(y: int, sign_bit: int) -> int | None:
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign_bit):
        return None
    return _P - x if x & 1 != sign_bit else x


def _base() -> _Point:
    y = 4 * pow(5, -1, _P) % _P
    x = _x_of(y, 0)
    assert x is not None
    return x, y, 1, x * y % _P


_BASE: Final = _base()
