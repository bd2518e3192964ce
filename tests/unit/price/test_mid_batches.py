"""The latest mids as a table: whoever has everything up to a sequence has, with what is new since, what a full reader has."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, MidBatch, MidState
from services.price.mid_batches import MidTable, select_tickers
from services.runtime.session.latest_mid import LatestMid

Seen = dict[str, float]


def apply(seen: Seen, payload: bytes) -> None:
    """What a client makes of a batch."""
    batch = MidBatch.FromString(payload)
    if batch.HasField("state"):
        if not batch.state.continues:
            seen.clear()
        seen.update({mid.ticker: mid.mid_price for mid in batch.state.mids})
    for index, mid in zip(batch.ticker_index, batch.mid_price, strict=True):
        seen[batch.tickers[index]] = mid


def moved(rng: random.Random, sequence: int, *, continues: bool = False) -> bytes:
    """A batch that says that replay time was moved."""
    state = MidState(position_arrival_time_ns=7, continues=continues)
    for ticker in rng.sample("ABCDEFGH", rng.randrange(8)):
        state.mids.add(ticker=ticker, event_time_ns=1, arrival_time_ns=2, mid_price=rng.random())
    batch = MidBatch(epoch="e", mode=MODE_HISTORICAL, first_sequence=sequence, last_sequence=sequence, state=state)
    return batch.SerializeToString(deterministic=True)


def mids(rng: random.Random, first: int, rows: int) -> bytes:
    mode = rng.choice([MODE_HISTORICAL, MODE_LIVE])
    batch = MidBatch(epoch="e", mode=mode, first_sequence=first, last_sequence=first + rows - 1, tickers="ABCDEFGHIJ")
    for i in range(rows):
        batch.ticker_index.append(rng.randrange(10))
        batch.sequence.append(first + i)
        batch.event_time_ns.append(1)
        batch.arrival_time_ns.append(2)
        batch.mid_price.append(rng.random())
    return batch.SerializeToString(deterministic=True)


def stream(rng: random.Random) -> list[tuple[int, bytes]]:
    """Batches with the last sequence of each."""
    made: list[tuple[int, bytes]] = []
    sequence = 0
    for _ in range(rng.randrange(1, 15)):
        if rng.random() < 0.3:
            for part in range(rng.choice([1, 1, 3])):
                sequence += 1
                made.append((sequence, moved(rng, sequence, continues=part > 0)))
        else:
            rows = rng.randrange(1, 20)
            made.append((sequence + rows, mids(rng, sequence + 1, rows)))
            sequence += rows
    return made


@pytest.mark.quick
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_new_since_a_sequence_makes_up_for_everything_in_between(seed: int) -> None:
    rng = random.Random(seed)
    batches = stream(rng)
    table = MidTable()
    everything: Seen = {}
    at: dict[int, Seen] = {0: {}}
    for last_sequence, payload in batches:
        table.take(payload)
        table.take(payload)
        apply(everything, payload)
        at[last_sequence] = dict(everything)

    for after, seen in at.items():
        for _, _, payload in table.since(after):
            apply(seen, payload)
        assert seen == everything, after
    assert table.last_sequence == batches[-1][0]
    states = [MidBatch.FromString(payload) for _, _, payload in table.since(0)]
    assert sum(batch.HasField("state") and not batch.state.continues for batch in states) <= 1


def test_what_is_known_from_elsewhere_is_a_state_where_several_have_one_number() -> None:
    known = {
        "A": LatestMid(5, 1, 20, 1.5, MODE_HISTORICAL),
        "B": LatestMid(5, 1, 30, 2.5, MODE_HISTORICAL),
        "C": LatestMid(9, 1, 40, 3.5, MODE_LIVE),
    }

    news = MidTable.of("e", known, 12).since(0)

    seen: Seen = {}
    for _, _, payload in news:
        apply(seen, payload)
    assert seen == {"A": 1.5, "B": 2.5, "C": 3.5}
    assert [(first, last) for first, last, _ in news] == [(5, 5), (6, 12)]
    assert MidBatch.FromString(news[0][2]).state.position_arrival_time_ns == 30


def test_a_filter_keeps_that_replay_time_was_moved_with_the_state_of_its_tickers() -> None:
    chosen = select_tickers(moved(random.Random(3), 4), {"A", "B"})

    assert chosen is not None
    batch = MidBatch.FromString(chosen)
    assert batch.HasField("state")
    assert {mid.ticker for mid in batch.state.mids} <= {"A", "B"}
    assert select_tickers(mids(random.Random(1), 1, 5), {"none"}) is None
