"""Make a bad input out of good ones: what breaks parsers, in any combination."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

BYTES_MAX: Final = 64 * 1024
"""Of a mutated input. What is larger is cut: limits of size have tests of their own."""

_BYTES: Final = (
    0x00,
    0x01,
    0x0A,
    0x0D,
    0x1F,
    0x20,
    0x22,
    0x2C,
    0x2D,
    0x30,
    0x5B,
    0x5C,
    0x7B,
    0x7F,
    0x80,
    0xBF,
    0xC0,
    0xEF,
    0xFE,
    0xFF,
)
_NUMBERS: Final = (
    b"0", b"-0", b"-1", b"1e308", b"1e309", b"-1e400", b"4.9e-324", b"0x10", b"1_000", b"nan", b"NaN", b"Infinity", b"-inf",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"2147483648", b"1" * 400,
    b"0." + b"0" * 400 + b"1", "１２".encode(), b"1e999999999", b" 1 ", b"",
)  # fmt: skip
_INTEGERS: Final = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
_NUMBER: Final = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_DEEP: Final = (b"[", b'{"a":', b"(", b"\x0b")


class Mutator:
    """Mutates members of a corpus; everything that it does comes from the random numbers it is given."""

    def __init__(self, corpus: Sequence[bytes], tokens: Sequence[bytes] = ()) -> None:
        self._corpus = corpus
        self._tokens = tokens
        self._kinds: tuple[Callable[[bytearray, Random], None], ...] = (
            _flip, _flip, _overwrite, _insert, _delete, _delete, _repeat, _truncate, _number, _number, _integer, _deep,
            self._token, self._token, self._splice,
        )  # fmt: skip

    def make(self, rng: Random) -> bytes:
        """Return one input: a member of the corpus after one to eight mutations, few of them more often than many."""
        text = bytearray(rng.choice(self._corpus))
        for _ in range(min(8, 1 + int(rng.expovariate(0.7)))):
            rng.choice(self._kinds)(text, rng)
        return bytes(text[:BYTES_MAX])

    def _token(self, text: bytearray, rng: Random) -> None:
        if self._tokens:
            at = rng.randint(0, len(text))
            text[at : at + rng.choice((0, 0, 1, 8))] = rng.choice(self._tokens)

    def _splice(self, text: bytearray, rng: Random) -> None:
        other = rng.choice(self._corpus)
        begin = rng.randint(0, len(other))
        at = rng.randint(0, len(text))
        text[at : at + rng.randint(0, 64)] = other[begin : begin + rng.randint(0, 256)]


def _flip(text: bytearray, rng: Random) -> None:
    if text:
        text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)


def _overwrite(text: bytearray, rng: Random) -> None:
    if text:
        text[rng.randrange(len(text))] = rng.choice(_BYTES)


def _insert(text: bytearray, rng: Random) -> None:
    at = rng.randint(0, len(text))
    text[at:at] = rng.randbytes(rng.randint(1, 12))


def _delete(text: bytearray, rng: Random) -> None:
    at = rng.randint(0, len(text))
    del text[at : at + rng.choice((1, 1, 2, 8, 64))]


def _repeat(text: bytearray, rng: Random) -> None:
    at = rng.randint(0, len(text))
    piece = bytes(text[at : at + rng.choice((1, 2, 16, 80))])
    text[at:at] = piece * rng.choice((1, 2, 7, 300))


def _truncate(text: bytearray, rng: Random) -> None:
    del text[rng.randint(0, len(text)) :]


def _number(text: bytearray, rng: Random) -> None:
    """Another number where one stands."""
    found = list(_NUMBER.finditer(text[:4096]))
    if found:
        chosen = rng.choice(found)
        text[chosen.start() : chosen.end()] = rng.choice(_NUMBERS)


def _integer(text: bytearray, rng: Random) -> None:
    """A whole number as binary formats write it: as a varint, or in four or eight bytes."""
    value = rng.choice(_INTEGERS)
    form = rng.randrange(3)
    encoded = (
        _varint(value)
        if form == 0
        else struct.pack("<I", value & 0xFFFFFFFF)
        if form == 1
        else struct.pack("<Q", value)
    )
    at = rng.randint(0, len(text))
    text[at : at + rng.choice((0, len(encoded)))] = encoded


def _deep(text: bytearray, rng: Random) -> None:
    """Nesting that no honest sender has."""
    if rng.random() < 0.1:
        at = rng.choice((0, rng.randint(0, len(text))))
        text[at:at] = rng.choice(_DEEP) * rng.choice((20, 400, 12_000))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
