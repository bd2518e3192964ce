"""What the latest mids become where replay time was moved."""

from __future__ import annotations

import math

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import MARKER_DISCONTINUITY, MODE_HISTORICAL, TickFrame, encode_batch
from fastpath.records import Marker
from protos.common.v1 import market_pb2 as pb
from services.price.engine.restated import Restated, Restating

MS = 1_000_000


def frame(*markers: Marker, first_sequence: int = 5) -> TickFrame:
    batch, _, _ = encode_batch(
        Block(Tickers()), 0, 0, epoch="e", mode=MODE_HISTORICAL, first_sequence=first_sequence, sources=(), markers=markers
    )  # fmt: skip
    return TickFrame(batch)


def moved(*quotes: pb.Quote, revision: int = 3, time_ns: int = 9) -> Marker:
    state = pb.Marker(state=quotes).SerializeToString()
    return Marker(
        kind=MARKER_DISCONTINUITY, revision=revision, time_ns=time_ns, state=state, position_arrival_time_ns=77
    )


def quote(ticker: str, *, latency_ns: int = MS, bid: float = 1.0, ask: float = 2.0, amount: float = 1.0) -> pb.Quote:
    return pb.Quote(
        ticker=ticker, event_time_ns=100, arrival_time_ns=100 + latency_ns, bid_price=bid, bid_amount=amount,
        ask_price=ask, ask_amount=amount,
    )  # fmt: skip


def of(found: TickFrame, *, after_sequence: int = 0) -> list[Restated]:
    return list(Restating(20 * MS).of(found, after_sequence=after_sequence))


def test_quotes_with_a_mid_become_the_latest() -> None:
    (restated,) = of(frame(moved(quote("A"), quote("B", bid=3.0, ask=5.0))))

    assert (restated.sequence, restated.position_arrival_time_ns, restated.continues) == (5, 77, False)
    assert [(found.ticker, mid) for found, mid in restated.mids] == [("A", 1.5), ("B", 4.0)]


@pytest.mark.parametrize(
    "without",
    [
        quote("A", latency_ns=20 * MS + 1),
        quote("A", bid=math.nan),
        quote("A", bid=0.0, ask=0.0, amount=0.0),
    ],
    ids=["late", "missing", "empty"],
)
def test_a_quote_without_a_mid_leaves_its_ticker_without_one(without: pb.Quote) -> None:
    (restated,) = of(frame(moved(without, quote("B"))))

    assert [found.ticker for found, _ in restated.mids] == ["B"]


def test_a_state_in_several_markers_goes_on_and_another_one_begins_anew() -> None:
    restating = Restating(20 * MS)
    frames = [
        frame(moved(quote("A")), first_sequence=5),
        frame(moved(quote("B")), first_sequence=6),
        frame(moved(quote("C"), revision=4, time_ns=10), first_sequence=7),
    ]

    found = [restated.continues for each in frames for restated in restating.of(each, after_sequence=0)]

    assert found == [False, True, False]


def test_what_was_seen_is_not_told_again() -> None:
    assert of(frame(moved(quote("A"))), after_sequence=5) == []
