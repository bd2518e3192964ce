"""The columns of a batch come from its descriptor."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from protos.common.v1.market_pb2 import MidBatch, TickBatch
from services.runtime.session.columns import columns_of, keep_records


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        (
            TickBatch,
            {
                *("ticker_index", "event_time_ns", "arrival_time_ns"),
                *("bid_price", "bid_amount", "ask_price", "ask_amount", "tick_sequence", "tie_order"),
            },
        ),
        (MidBatch, {"ticker_index", "sequence", "event_time_ns", "arrival_time_ns", "mid_price"}),
    ],
    ids=["ticks", "mids"],
)
def test_columns_are_what_holds_an_element_per_record(kind: type[Message], columns: set[str]) -> None:
    assert set(columns_of(kind)) == columns


@pytest.mark.parametrize("kind", [TickBatch, MidBatch], ids=["ticks", "mids"])
def test_every_column_is_cut_at_the_same_records(kind: type[Message]) -> None:
    batch: Any = kind()
    # All that is repeated and holds numbers, so that a column which were not packed is found here.
    names = [field.name for field in kind.DESCRIPTOR.fields if field.is_repeated and field.message_type is None]
    names.remove("tickers")
    for name in names:
        getattr(batch, name).extend([10, 11, 12, 13])

    keep_records(batch, [1, 3])

    assert {name: list(getattr(batch, name)) for name in names} == {name: [11, 13] for name in names}


def test_a_column_that_is_left_out_stays_so() -> None:
    batch = TickBatch(bid_price=[1.0, 2.0])

    keep_records(batch, [0])

    assert list(batch.bid_price) == [1.0]
    assert not batch.tick_sequence
