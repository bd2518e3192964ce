"""What is kept for life is read as it was written, or refused."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.orders.domain.events import KIND_OF, KINDS, Body, FillBody, PlacementRefused, Stated
from services.orders.domain.order import Order
from services.orders.journal.codec import UnreadableRecord, decode, encode

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e15"), max_value=Decimal("1e15"))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


def built(kind: type[Body]) -> st.SearchStrategy[Body]:
    return st.from_type(kind)


st.register_type_strategy(Decimal, DECIMALS)
st.register_type_strategy(str, TEXTS)


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))
def test_every_kind_of_event_survives_being_kept(kind: type[Body]) -> None:
    @settings(max_examples=20)
    @given(built(kind))
    def kept(body: Body) -> None:
        assert decode(kind, encode(body)) == body
        assert encode(decode(kind, encode(body))) == encode(body)

    kept()


def walked(value: Any) -> Any:
    """What `encode` writes, in the plainest words."""
    if is_dataclass(value):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: walked(part) for name, part in named.items() if part is not None}
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, frozenset):
        return sorted(value)
    return [walked(one) for one in value] if isinstance(value, tuple) else value


@settings(max_examples=60)
@given(st.one_of(*(built(kind) for kind in KINDS.values()), st.from_type(Order)))
def test_the_text_is_that_of_a_plain_walk(value: Body | Order) -> None:
    assert encode(value) == json.dumps(walked(value), separators=(",", ":"), sort_keys=True)


@settings(max_examples=30)
@given(st.from_type(Order))
def test_an_order_survives_being_kept(order: Order) -> None:
    assert decode(Order, encode(order)) == order


def test_what_was_kept_before_an_event_got_its_present_name_is_read() -> None:
    kept = '{"code":"-2010","text":"no"}'

    assert decode(KINDS["refused"], kept) == PlacementRefused("no", "-2010")
    assert decode(KINDS["refused"], encode(PlacementRefused("no", "-2010"))) == decode(KINDS["refused"], kept)
    assert KIND_OF[PlacementRefused] == "refused"


def test_kinds_have_one_name_each() -> None:
    assert len(KIND_OF) == len(KINDS)
    assert set(Body.__args__) == set(KINDS.values())


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"state":"NEW"}', '{"state":"NO","raw_state":""}', '{"state":"NEW","raw_state":1}',
     '{"state":"NEW","raw_state":"","filled":0.5}', '{"state":"NEW","raw_state":"","other":1}'],
)  # fmt: skip
def test_what_is_no_such_record_is_refused(text: str) -> None:
    with pytest.raises(UnreadableRecord):
        decode(Stated, text)


def test_decimals_keep_their_digits() -> None:
    body = FillBody("t", Decimal("0.00000001"), Decimal("12345678901234567890.123456789"), Decimal("-0"), "X", 1)

    assert decode(FillBody, encode(body)).price == body.price
    assert '"quantity":"0.00000001"' in encode(body)
