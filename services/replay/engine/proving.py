"""Tell in the stream what its records come to, every so many of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fastpath.order_chain import CHAIN_BLOCK, OrderChain
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields

if TYPE_CHECKING:
    from fastpath.columns import Block
    from fastpath.records import OrderProof

logger = logging.getLogger(__name__)

RECORDS_MAX: Final = 1 << 30
"""Between two proofs."""


def proving(every: int) -> Proving | None:
    """Return who proves the order every so many records; None for 0. Raises StartRefused."""
    if every == 0:
        return None
    if every % CHAIN_BLOCK or not 0 < every <= RECORDS_MAX:
        raise StartRefused(
            f"MIDSTREAM_ORDER_PROOF: {every} is no multiple of {CHAIN_BLOCK:,} up to {RECORDS_MAX:,}; use 65536, or 0 for none"
        )
    return Proving(every)


class Proving:
    """The order digest of one numbering. Batches are added, and kept once the publisher has taken them."""

    def __init__(self, every: int) -> None:
        # Only here: an engine that proves nothing starts without protobuf.
        from services.runtime.session.order_proof_message import proof_field

        self._proof_field = proof_field
        self._every = every
        self._chain = OrderChain(every=every)

    def stand(self, next_sequence: int, state: bytes) -> None:
        """Go on before `next_sequence`: from the state that was stored with the record before it, else with a digest that begins there."""
        if state:
            try:
                self._chain = OrderChain(every=self._every, state=state)
            except ValueError as exc:
                logger.warning("proofs begin anew", extra=fields(first_sequence=next_sequence, reason=exc))
            else:
                return
        self._chain = OrderChain(every=self._every, first_sequence=next_sequence)

    def add(
        self, batch: bytes, block: Block, start: int, stop: int, last_sequence: int
    ) -> tuple[bytes, OrderProof | None]:
        """Return a batch of these rows with the proof that is due in it, if any; markers may stand in front of them."""
        proof = self._chain.add(block, start, stop, sequence=last_sequence - (stop - start) + 1)
        return (batch, None) if proof is None else (batch + self._proof_field(proof), proof)

    def state_of_added(self) -> bytes:
        """Return what goes on behind the rows that were added last, to be stored with their batch."""
        return self._chain.state_of_added()

    def keep(self) -> None:
        """The batch of the rows that were added last has left."""
        self._chain.keep()

    def now(self, last_sequence: int) -> OrderProof:
        """Return what all records up to the last one that left come to."""
        return self._chain.proof(last_sequence)
