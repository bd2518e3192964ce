"""Check the proofs of the order that a session's ticks carry (docs/order_proof.md), from the batches alone."""

from __future__ import annotations

import enum
import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protos.common.v1.market_pb2 import OrderProof, TickBatch
from protos.replay.v1.replay_pb2 import Session

__all__ = ["CheckedProof", "OrderChecker", "Outcome"]

DIGEST_VERSION: Final = 2
BLOCK_RECORDS: Final = 4096
_WORD: Final = 2**64 - 1
_LANES: Final = (1, 2, 3, 4, 5)

_Words = tuple[int, int, int, int, int]


class Outcome(enum.Enum):
    """What came of a proof."""

    RIGHT = "right"
    """What was received is what was sent, in the order in which it was sent, nothing missing and nothing twice."""
    WRONG = "wrong"
    """It is not: what came in between has changed, lost or moved something without a trace in the numbers."""
    UNKNOWN = "unknown"
    """Not everything that it is of was received: the stream began in between, was filtered, conflated, or skipped."""


@dataclass(frozen=True)
class CheckedProof:
    """A proof and what came of it."""

    outcome: Outcome
    proof: OrderProof
    text: str
    """For people: which records were checked, or why none were."""


class OrderChecker:
    """Takes the batches of one session as they come, some 200,000 records a second. Not for several threads.

    Where the numbers show that records are missing it begins again, so a lost connection, a filter or a policy that leaves records out
    makes a proof unknown and never wrong. From the next proof on all is checked again.
    """

    def __init__(self) -> None:
        self._epoch = ""
        self._next = 0
        self._is_whole = False
        """Nothing was missing since `_window_first`."""
        self._first: int | None = None
        """Where the digest of everything begins; None where it cannot be that of any chain."""
        self._window_first = 0
        self._whole, self._window = hashlib.sha256(), hashlib.sha256()
        self._lanes: _Words = _LANES
        self._records = self._window_records = 0

    def take(self, batch: TickBatch) -> CheckedProof | None:
        """Count the records of a batch in; return what came of the proof in it, None where there is none."""
        follows = (batch.epoch, batch.first_sequence) == (self._epoch, self._next)
        self._epoch, self._next = batch.epoch, batch.last_sequence + 1
        if not _is_complete(batch):
            self._is_whole = False
            return self._unknown(batch.proof, "records were left out of its batch") if batch.HasField("proof") else None
        if not (follows and self._is_whole):
            self._begin(batch.first_sequence)
        checked: CheckedProof | None = None
        last = batch.proof.last_sequence if batch.HasField("proof") else 0
        for sequence, words in _records_of(batch):
            self._add(words)
            if sequence == last:
                checked = self._check(batch.proof)
                self._end_window(last)
        return checked

    def check_session(self, session: Session) -> CheckedProof | None:
        """Compare with what GetSession says of everything up to the last record received; None where it says nothing of that."""
        proof = session.proof
        if not session.HasField("proof") or (session.epoch, proof.last_sequence) != (self._epoch, self._next - 1):
            return None
        return self._check(proof) if self._is_whole else self._unknown(proof, "records are missing")

    def _begin(self, sequence: int) -> None:
        self._is_whole = True
        self._first = self._window_first = sequence
        self._whole, self._window = hashlib.sha256(), hashlib.sha256()
        self._lanes, self._records, self._window_records = _LANES, 0, 0

    def _end_window(self, last: int) -> None:
        self._window_first = last + 1
        self._window, self._window_records = hashlib.sha256(), 0
        self._lanes = _LANES

    def _add(self, words: _Words) -> None:
        self._lanes = _folded(self._lanes, words)
        self._records += 1
        self._window_records += 1
        if self._window_records % BLOCK_RECORDS == 0:
            block = struct.pack("<5Q", *self._lanes)
            self._whole.update(block)
            self._window.update(block)
            self._lanes = _LANES

    def _check(self, proof: OrderProof) -> CheckedProof:
        if proof.version != DIGEST_VERSION:
            return self._unknown(proof, f"its digest is of version {proof.version}, and this reads {DIGEST_VERSION}")
        window = None
        if proof.window_first_sequence == self._window_first:
            window = self._digest(self._window, self._window_records) == proof.window_digest
        whole = None
        if proof.first_sequence == self._first:
            found = self._digest(self._whole, self._records)
            whole = (found, self._records) == (proof.digest, proof.records)
        if not whole:
            # It is not what the chain has, and never will be again: only what comes from here on can be.
            self._first = None
        if window is None and whole is None:
            return self._unknown(proof, f"the records from {proof.window_first_sequence:,} on were not all received")
        begin = proof.first_sequence if whole is not None and window is not False else proof.window_first_sequence
        outcome = Outcome.WRONG if False in (window, whole) else Outcome.RIGHT
        return CheckedProof(outcome, proof, f"records {begin:,} to {proof.last_sequence:,} are {outcome.value}")

    def _digest(self, running: hashlib._Hash, records: int) -> str:
        whole = running.copy()
        whole.update(struct.pack("<6Q", *self._lanes, records))
        return whole.hexdigest()

    @staticmethod
    def _unknown(proof: OrderProof, reason: str) -> CheckedProof:
        return CheckedProof(Outcome.UNKNOWN, proof, f"not checked up to {proof.last_sequence:,}: {reason}")


def _is_complete(batch: TickBatch) -> bool:
    """Tell whether every number of a batch is that of a record in it, and of the numbering that proofs are of."""
    if batch.positions:
        return False  # a stream over all partitions numbers what it has by itself, and each partition has proofs of its own
    records = len(batch.ticker_index) + len(batch.rejections) + len(batch.markers)
    return records == batch.last_sequence - batch.first_sequence + 1


def _records_of(batch: TickBatch) -> Iterator[tuple[int, _Words]]:
    """Yield the ticks and rejections of a complete batch in their order, each as five words; markers are no part of a digest."""
    rejections = {one.sequence: one for one in batch.rejections}
    markers = {one.sequence for one in batch.markers}
    tickers = [_text_word(b"\0", ticker) for ticker in batch.tickers]
    ticks = zip(
        batch.event_time_ns, batch.arrival_time_ns, batch.bid_price, batch.ask_price, batch.ticker_index, strict=True
    )
    for sequence in range(batch.first_sequence, batch.last_sequence + 1):
        if sequence in rejections:
            one = rejections[sequence]
            yield sequence, (one.arrival_time_ns & _WORD, one.line, 0, 0, _text_word(b"\1", one.reason))
        elif sequence not in markers:
            event, arrival, bid, ask, ticker = next(ticks)
            yield sequence, (event & _WORD, arrival & _WORD, _price_word(bid), _price_word(ask), tickers[ticker])


def _folded(lanes: _Words, words: _Words) -> _Words:
    a, b, c, d, e = (
        (lane + word * 0xC2B2AE3D27D4EB4F) & _WORD for lane, word in zip(lanes, words, strict=True)
    )  # fmt: skip
    return _turned(a), _turned(b), _turned(c), _turned(d), _turned(e)


def _turned(lane: int) -> int:
    return ((lane << 31 | lane >> 33) & _WORD) * 0x9E3779B185EBCA87 & _WORD


def _price_word(price: float) -> int:
    return int.from_bytes(struct.pack("<d", math.nan if math.isnan(price) else price), "little")


def _text_word(kind: bytes, text: str) -> int:
    return int.from_bytes(hashlib.sha256(kind + text.encode()).digest()[:8], "little")
