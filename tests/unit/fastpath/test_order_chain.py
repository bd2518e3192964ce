"""The order digest of a stream as it is made, against its description in plain Python."""

from __future__ import annotations

from random import Random

import pytest

from fastpath.columns import Block, Tickers
from fastpath.order_chain import CHAIN_BLOCK, OrderChain
from fastpath.records import OrderProof
from services.verify.order_digest import OrderDigest
from tests.unit.fastpath.frame_support import seed_of_this_run
from tests.unit.fastpath.test_order_digest import random_block

pytestmark = pytest.mark.quick


def digest_of(block: Block, start: int, stop: int) -> str:
    digest = OrderDigest()
    for row in block.to_rows()[start:stop]:
        (arrival_time_ns, _, line) = row[0]
        if len(row) == 3:
            digest.add_rejection(arrival_time_ns, line, row[1])
        else:
            digest.add_tick(row[1], arrival_time_ns, row[3], row[5], row[2])
    return digest.hexdigest()


def proofs_of(block: Block, random: Random, *, every: int, first_sequence: int = 1) -> list[OrderProof]:
    """Add a block in pieces of random size, some of them several times, and go on from a stored state now and then."""
    chain, start, found = OrderChain(every=every, first_sequence=first_sequence), 0, []
    while start < len(block):
        stop = min(start + random.choice([0, 1, 50, 3000, CHAIN_BLOCK]), len(block))
        if random.random() < 0.3:
            chain.add(block, start, min(start + 7, len(block)), sequence=first_sequence + start)  # did not leave
        proof = chain.add(block, start, stop, sequence=first_sequence + start)
        found += [] if proof is None else [proof]
        if random.random() < 0.3:
            chain = OrderChain(every=every, state=chain.state_of_added())
        else:
            chain.keep()
        start = stop
    found.append(chain.proof(first_sequence + start - 1))
    return found


@pytest.mark.parametrize("every", [CHAIN_BLOCK, 2 * CHAIN_BLOCK])
def test_proofs_are_the_digests_of_what_was_added_however_it_was_cut(every: int) -> None:
    random = Random(seed_of_this_run())
    block, first = random_block(random, 3 * CHAIN_BLOCK + 100), 11
    ends = [*range(every, len(block), every), len(block)]

    proofs = proofs_of(block, random, every=every, first_sequence=first)

    assert [proof.records for proof in proofs] == ends
    for begin, end, proof in zip([0, *ends], ends, proofs, strict=False):
        assert proof == OrderProof(
            first_sequence=first,
            last_sequence=first + end - 1,
            records=end,
            digest=digest_of(block, 0, end),
            window_first_sequence=first + begin,
            window_digest=digest_of(block, begin, end),
        )


def test_behind_a_proof_the_window_is_empty() -> None:
    block = random_block(Random(1), CHAIN_BLOCK)
    chain = OrderChain(every=CHAIN_BLOCK)
    chain.add(block, 0, CHAIN_BLOCK, sequence=1)
    chain.keep()

    proof = chain.proof(CHAIN_BLOCK + 1)  # behind a marker

    assert (proof.window_first_sequence, proof.window_digest) == (CHAIN_BLOCK + 1, OrderDigest().hexdigest())
    assert proof.digest == digest_of(block, 0, CHAIN_BLOCK)


@pytest.mark.parametrize("every", [0, 1, CHAIN_BLOCK + 1])
def test_other_distances_are_refused(every: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4096"):
        OrderChain(every=every)


def test_a_state_that_is_damaged_or_of_another_distance_is_refused() -> None:
    chain = OrderChain(every=CHAIN_BLOCK)
    chain.add(Block(Tickers()), 0, 0, sequence=1)
    state = chain.state_of_added()

    for wrong in (state[:-1], state[:20] + b"\xff" + state[21:], b"x"):
        with pytest.raises(ValueError, match="damaged"):
            OrderChain(every=CHAIN_BLOCK, state=wrong)
    with pytest.raises(ValueError, match="proof every 4096"):
        OrderChain(every=2 * CHAIN_BLOCK, state=state)


def test_rows_that_are_not_there_are_refused() -> None:
    block = random_block(Random(1), CHAIN_BLOCK + 1)

    with pytest.raises(IndexError):
        OrderChain(every=CHAIN_BLOCK).add(block, 0, CHAIN_BLOCK + 2, sequence=1)
    with pytest.raises(ValueError, match="4097 rows"):
        OrderChain(every=CHAIN_BLOCK).add(block, 0, CHAIN_BLOCK + 1, sequence=1)
