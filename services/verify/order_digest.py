"""The order digest in plain Python: what docs/order_proof.md describes, and what it was before."""

from __future__ import annotations

import hashlib
import math
import struct

BLOCK_RECORDS = 4096
_WORD = 2**64 - 1


def _round(lane: int, word: int) -> int:
    lane = (lane + word * 0xC2B2AE3D27D4EB4F) & _WORD
    lane = (lane << 31 | lane >> 33) & _WORD
    return lane * 0x9E3779B185EBCA87 & _WORD


def _price_word(price: float) -> int:
    return int.from_bytes(struct.pack("<d", math.nan if math.isnan(price) else price), "little")


def _text_word(kind: bytes, text: str) -> int:
    return int.from_bytes(hashlib.sha256(kind + text.encode()).digest()[:8], "little")


class OrderDigest:
    """Version 2: five lanes over blocks of records, and a SHA-256 over what the blocks came to."""

    def __init__(self) -> None:
        self._blocks = hashlib.sha256()
        self._records = 0
        self._lanes = [1, 2, 3, 4, 5]

    def add_tick(
        self, event_time_ns: int, arrival_time_ns: int, bid_price: float, ask_price: float, ticker: str
    ) -> None:
        """Count a tick."""
        prices = (_price_word(bid_price), _price_word(ask_price))
        self._add(event_time_ns & _WORD, arrival_time_ns & _WORD, *prices, _text_word(b"\0", ticker))

    def add_rejection(self, arrival_time_ns: int, line: int, reason: str) -> None:
        """Count a rejected row."""
        self._add(arrival_time_ns & _WORD, line, 0, 0, _text_word(b"\1", reason))

    def _add(self, *words: int) -> None:
        self._lanes = [_round(lane, word) for lane, word in zip(self._lanes, words, strict=True)]
        self._records += 1
        if self._records % BLOCK_RECORDS == 0:
            self._blocks.update(struct.pack("<5Q", *self._lanes))
            self._lanes = [1, 2, 3, 4, 5]

    def hexdigest(self) -> str:
        """Return the digest of what was counted so far."""
        whole = self._blocks.copy()
        whole.update(struct.pack("<6Q", *self._lanes, self._records))
        return whole.hexdigest()


class FirstOrderDigest:
    """Version 1: a SHA-256 over every record. Logs that were begun with it go on with it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add_tick(
        self, event_time_ns: int, arrival_time_ns: int, bid_price: float, ask_price: float, ticker: str
    ) -> None:
        """Count a tick."""
        prices = [math.nan if math.isnan(price) else price for price in (bid_price, ask_price)]
        self._sha256.update(struct.pack("<qqdd", event_time_ns, arrival_time_ns, *prices) + ticker.encode() + b"\0")

    def add_rejection(self, arrival_time_ns: int, line: int, reason: str) -> None:
        """Count a rejected row."""
        self._sha256.update(struct.pack("<qQ", arrival_time_ns, line) + reason.encode() + b"\0")

    def hexdigest(self) -> str:
        """Return the digest of what was counted so far."""
        return self._sha256.hexdigest()
