"""Digests on the way, kept with the position of a sink."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, TickFrame, encode_batch
from fastpath.midprice import PriceKernel
from services.price.engine.files import FileSystem
from services.price.engine.order_proofs import PROOF_RECORDS, PROOFS_MAX, OrderProofs
from services.price.engine.position import Position, PositionFile
from services.verify.order_digest import OrderDigest


def found(first: int, last: int) -> list[tuple[int, str]]:
    return [(number * PROOF_RECORDS, f"{number:064x}") for number in range(first, last + 1)]


def test_kernel_gives_the_digest_behind_every_so_many_records_however_it_was_interrupted() -> None:
    block, order, expected = Block(Tickers()), OrderDigest(), []
    for number in range(1, 2 * PROOF_RECORDS + 100):
        prices = {"bid_price": float(number), "bid_amount": 1.0, "ask_price": number + 1.0, "ask_amount": 1.0}
        block.append_tick("A", event_time_ns=number, arrival_time_ns=number + 5, **prices)
        order.add_tick(number, number + 5, float(number), number + 1.0, "A")
        if number % PROOF_RECORDS == 0:
            expected.append((number, order.hexdigest()))
    taken: list[tuple[int, str]] = []
    kernel, start, sequence = PriceKernel(latency_threshold_ns=20), 0, 1
    while start < len(block):
        stop = min(start + 3000, len(block))
        batch, rows, last = encode_batch(
            block, start, stop, epoch="e", mode=MODE_HISTORICAL, first_sequence=sequence, sources=("a",)
        )
        kernel.process(TickFrame(batch))
        start, sequence = start + rows, last + 1
        taken += kernel.take_proofs()
        kernel = PriceKernel(latency_threshold_ns=20, state=kernel.state())

    assert taken == expected


@pytest.mark.quick
def test_long_runs_keep_every_second_one() -> None:
    proofs = OrderProofs()
    for number in range(1, 300):
        proofs = proofs.with_more(found(number, number))

    assert proofs.every == 8 * PROOF_RECORDS
    assert proofs.digests == tuple(f"{number:064x}" for number in range(8, 300, 8))
    assert len(proofs.digests) <= PROOFS_MAX
    assert OrderProofs().with_more(found(1, 299)) == proofs


@pytest.mark.quick
def test_log_that_was_begun_without_proofs_has_none() -> None:
    assert OrderProofs().with_more(found(3, 9)) == OrderProofs()


def test_proofs_are_stored_with_the_position(tmp_path: Path) -> None:
    proofs = OrderProofs().with_more(found(1, PROOFS_MAX))
    stored = PositionFile(tmp_path / "position", FileSystem())
    stored.commit(Position(sequence=1))
    stored.commit(Position(sequence=2, proofs=proofs))
    stored.close()

    read = PositionFile(tmp_path / "position", FileSystem())
    read.close()

    assert read.position == Position(sequence=2, proofs=proofs)


def test_position_without_proofs_is_as_an_earlier_release_wrote_it(tmp_path: Path) -> None:
    stored = PositionFile(tmp_path / "position", FileSystem())
    stored.commit(Position(sequence=1))
    stored.close()

    assert b"proofs" not in (tmp_path / "position").read_bytes()
