"""A reader of a stream checks the proofs in it; what it did not get whole is never called wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random

import pytest

from clients.rpc.order_check import OrderChecker, Outcome
from fastpath.columns import Block, Tickers
from fastpath.frame import MARKER_SEAM, MODE_HISTORICAL, encode_batch, select_tickers
from fastpath.records import Marker
from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1.replay_pb2 import Session
from services.replay.engine.proving import Proving
from services.replay.tick_batches import cut_batch
from services.runtime.session.order_proof_message import proof_message
from tests.unit.fastpath.frame_support import seed_of_this_run
from tests.unit.fastpath.test_order_digest import random_block

EVERY = 4096
RECORDS = 3 * EVERY + 500
RIGHT, WRONG, UNKNOWN = Outcome.RIGHT, Outcome.WRONG, Outcome.UNKNOWN


class Sent:
    """A stream of batches of random size, and what GetSession says at its end."""

    def __init__(self, seed: int) -> None:
        random, self.encoded = Random(seed), list[bytes]()
        block, start, proving, last = random_block(random, RECORDS), 0, Proving(EVERY), 0
        while start < len(block):
            markers = [Marker(kind=MARKER_SEAM)] if random.random() < 0.1 else []
            stop = min(len(block), start + random.randrange(1, 900))
            batch, rows, last = encode_batch(
                block,
                start,
                stop,
                epoch="e",
                mode=MODE_HISTORICAL,
                first_sequence=last + 1,
                sources=["a.csv"],
                markers=markers,
            )
            self.encoded.append(proving.add(batch, block, start, start + rows, last)[0])
            proving.keep()
            start += rows
        self.session = Session(epoch="e", proof=proof_message(proving.now(last)))

    def batches(self) -> list[TickBatch]:
        return [TickBatch.FromString(one) for one in self.encoded]


@pytest.fixture(scope="module")
def sent() -> Sent:
    return Sent(seed_of_this_run())


def outcomes(batches: Iterator[TickBatch] | list[TickBatch], checker: OrderChecker | None = None) -> list[Outcome]:
    checker = OrderChecker() if checker is None else checker
    return [found.outcome for batch in batches if (found := checker.take(batch)) is not None]


def test_what_came_as_it_was_sent_is_right(sent: Sent) -> None:
    checker = OrderChecker()

    assert outcomes(sent.batches(), checker) == [RIGHT] * 3
    last = checker.check_session(sent.session)
    assert last is not None
    assert (last.outcome, last.proof.records) == (RIGHT, RECORDS)
    assert last.text == f"records 1 to {last.proof.last_sequence:,} are right"


def swap(batch: TickBatch) -> None:
    a, b = 0, len(batch.event_time_ns) - 1
    for column in (batch.event_time_ns, batch.arrival_time_ns, batch.bid_price, batch.ask_price, batch.ticker_index):
        column[a], column[b] = column[b], column[a]  # type: ignore[index]


def nudge(batch: TickBatch) -> None:
    batch.ask_price[0] += 2**-40


def rename(batch: TickBatch) -> None:
    batch.tickers[0] += "x"


@pytest.mark.parametrize("change", [swap, nudge, rename])
def test_a_change_is_wrong_and_what_follows_it_right_again(sent: Sent, change: Callable[[TickBatch], None]) -> None:
    batches = sent.batches()
    place = next(
        at for at, batch in enumerate(batches) if batch.first_sequence > EVERY + 1 and len(batch.ask_price) > 9
    )
    change(batches[place])
    checker = OrderChecker()

    assert outcomes(batches, checker) == [RIGHT, WRONG, RIGHT]
    last = checker.check_session(sent.session)
    assert last is not None
    assert last.outcome is RIGHT
    assert last.text.startswith(f"records {last.proof.window_first_sequence:,} to ")


def test_who_comes_later_checks_from_the_next_proof_on(sent: Sent) -> None:
    assert outcomes(sent.batches()[1:]) == [UNKNOWN, RIGHT, RIGHT]


@pytest.mark.parametrize("cut_behind", [1, EVERY - 3, EVERY + 40])
def test_who_comes_in_the_midst_of_a_batch_does_so_too(sent: Sent, cut_behind: int) -> None:
    cut = [batch for one in sent.encoded if (batch := _behind(one, cut_behind)) is not None]

    assert outcomes(cut)[-1] is RIGHT
    assert WRONG not in outcomes(cut)


def _behind(encoded: bytes, sequence: int) -> TickBatch | None:
    batch = TickBatch.FromString(encoded)
    if batch.last_sequence <= sequence:
        return None
    if batch.first_sequence > sequence:
        return batch
    cut = cut_batch(encoded, sequence)
    return None if cut is None else TickBatch.FromString(cut)


def test_lost_batches_and_filters_are_never_wrong(sent: Sent) -> None:
    random = Random(seed_of_this_run())
    for _ in range(4):
        wanted = random.sample(["BTC", "ETH", "é"], 2)
        got = []
        for one in sent.encoded:
            kept: bytes | None = one
            if random.random() < 0.05:
                kept = None if random.random() < 0.5 else select_tickers(one, wanted)
            got += [] if kept is None else [TickBatch.FromString(kept)]

        assert WRONG not in outcomes(got)


def test_a_filtered_stream_has_no_proofs(sent: Sent) -> None:
    got = [select_tickers(one, ["BTC"]) for one in sent.encoded]

    assert outcomes([TickBatch.FromString(one) for one in got if one is not None]) == []


def test_a_proof_in_a_batch_that_lacks_records_is_unknown(sent: Sent) -> None:
    batches = sent.batches()
    batch = next(batch for batch in batches if batch.HasField("proof"))
    for column in (batch.event_time_ns, batch.arrival_time_ns, batch.bid_price, batch.ask_price, batch.ticker_index):
        del column[0]

    assert outcomes(batches) == [UNKNOWN, UNKNOWN, RIGHT]


def test_a_stream_over_all_partitions_has_other_numbers_than_the_proofs_in_it(sent: Sent) -> None:
    batches = sent.batches()
    for batch in batches:
        batch.positions.add(partition=1, sequence=batch.last_sequence)
        batch.ask_price[:] = [1.0] * len(batch.ask_price)

    assert outcomes(batches) == [UNKNOWN] * 3


def test_another_epoch_begins_again_and_a_chain_that_begins_later_is_checked_from_there(sent: Sent) -> None:
    batches, checker = sent.batches(), OrderChecker()
    outcomes(batches[:5], checker)
    renamed = []
    for batch in batches:
        other = copy.deepcopy(batch)
        other.epoch = "f"
        renamed.append(other)

    assert outcomes(renamed, checker) == [RIGHT] * 3
    assert checker.check_session(sent.session) is None


def test_a_digest_of_another_version_is_unknown(sent: Sent) -> None:
    batches = sent.batches()
    for batch in batches:
        if batch.HasField("proof"):
            batch.proof.version = 3

    assert outcomes(batches) == [UNKNOWN] * 3


def test_an_empty_stream_says_nothing() -> None:
    assert OrderChecker().check_session(Session(epoch="e")) is None
    assert len(Block(Tickers())) == 0
