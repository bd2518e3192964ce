"""Proofs of the order as messages; the engine, which makes them, needs no messages while it makes none."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from fastpath.records import OrderProof
from protos.common.v1 import market_pb2

DIGEST_VERSION: Final = 2
"""Of the order digest (docs/order_proof.md)."""


def proof_message(proof: OrderProof) -> market_pb2.OrderProof:
    """Return the message."""
    return market_pb2.OrderProof(**asdict(proof), version=DIGEST_VERSION)


def proof_field(proof: OrderProof) -> bytes:
    """Return what makes an encoded TickBatch carry the proof: a field may stand anywhere in a message."""
    return market_pb2.TickBatch(proof=proof_message(proof)).SerializeToString(deterministic=True)
