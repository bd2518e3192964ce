"""The provider's answers, the unusable ones included."""

from __future__ import annotations

import decimal
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.power.calendar import delivery_hour
from clients.power.reference.errors import UnusableAnswer
from clients.power.reference.observation import read_answer

HOUR = delivery_hour("2023-05-12", "08-09")
GOOD: dict[str, Any] = {
    "delivery_day": "2023-05-12",
    "delivery_hour": "08-09",
    "last_update": "2023-02-21T07:10:20+00:00",
    "unit": "euro/mwh",
    "value": 27.74,
}
STAMP_NS = int(datetime(2023, 2, 21, 7, 10, 20, tzinfo=UTC).timestamp()) * 1_000_000_000


def body(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value != "leave out"}).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"last_update": "2023-02-21T08:10:20+01:00"}, {"last_update": "2023-02-21T07:10:20Z"},
        {"last_update": "2023-02-21 07:10:20"}, {"unit": "EURO/MWh"}, {"unit": "euro"}, {"unit": "leave out"},
        {"value": "27.74"}, {"value": 27.740}, {"value": "2774e-2"}, {"delivery_day": "leave out", "delivery_hour": "leave out"},
        {"delivery_hour": "8-9"}, {"more": [1, {"deep": None}]},
    ],
    ids=lambda changes: repr(changes)[:60],
)  # fmt: skip
def test_styles_are_taken(changes: dict[str, Any]) -> None:
    seen = read_answer(body(**changes), HOUR, observed_ns=5)

    assert (seen.value_e4, seen.update_ns, seen.observed_ns, seen.state) == (277_400, STAMP_NS, 5, "value")


@pytest.mark.parametrize(
    "changes",
    [{"value": None, "last_update": None}, {"value": "leave out"}, {"value": None}],
    ids=["null", "missing", "stamp"],
)
def test_no_value_means_none_yet(changes: dict[str, Any]) -> None:
    seen = read_answer(body(**changes), HOUR, observed_ns=5)

    assert (seen.value_e4, seen.update_ns, seen.state) == (None, None, "none")


def test_a_value_is_exact_and_says_when_it_had_to_be_rounded() -> None:
    assert read_answer(body(value=0.1), HOUR, observed_ns=5).value_e4 == 1_000
    assert read_answer(body(value=-500), HOUR, observed_ns=5).value_e4 == -5_000_000
    rounded = read_answer(body(value="1.00005"), HOUR, observed_ns=5)
    assert (rounded.value_e4, rounded.state) == (10_000, "rounded")


def test_how_a_value_is_rounded_is_not_for_other_libraries_to_say() -> None:
    with decimal.localcontext(rounding=decimal.ROUND_HALF_UP):
        assert read_answer(body(value="1.00005"), HOUR, observed_ns=5).value_e4 == 10_000


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"null", b"[]", b"27.74", b"\xff", b"{" * 100_000, b'{"value": NaN}', b'{"value": 1, "value": 2}',
        b'{"value": ' + b"9" * 5_000 + b', "last_update": "2023-02-21T07:10:20Z"}',
        body(value=True), body(value=[1]), body(value="1_000"), body(value="0x10"), body(value=""), body(value="inf"),
        body(value=1e300), body(value=10**7), body(unit="usd/mwh"), body(unit=5), body(last_update=None), body(last_update=5),
        body(last_update="yesterday"), body(last_update="1023-02-21T07:10:20Z"), body(last_update="2123-02-21T07:10:20Z"),
        body(delivery_hour="09-10"), body(delivery_day="2023-05-13"), body(delivery_hour=8), body(delivery_day=None),
    ],
    ids=lambda answer: answer[:50].decode("latin-1"),
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_a_sentence(answer: bytes) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        read_answer(answer, HOUR, observed_ns=5)

    assert len(str(caught.value)) < 250


@pytest.mark.quick
@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner, max_size=5),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_nothing_but_a_refusal_comes_of_any_bytes(answer: bytes) -> None:
    try:
        seen = read_answer(answer, HOUR, observed_ns=5)
    except UnusableAnswer:
        return
    assert (seen.value_e4 is None) == (seen.update_ns is None)
