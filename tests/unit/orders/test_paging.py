"""Page tokens: ours are read back, others are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders.paging import page_size, page_token, position_of
from services.runtime.errors import InvalidRequest


@given(st.integers(0, (1 << 63) - 1), st.text(max_size=40))
def test_a_token_is_read_back(number: int, text: str) -> None:
    assert position_of(page_token(number, text), int, str) == (number, text)


@given(st.text(max_size=80))
def test_no_foreign_text_is_a_token_by_accident(text: str) -> None:
    try:
        position = position_of(text, int, str)
    except InvalidRequest:
        return
    assert position is None or (type(position[0]) is int and type(position[1]) is str)


def test_tokens_of_other_lists_are_refused() -> None:
    for token in (page_token(1), page_token(1, 2), page_token("x", "y"), page_token(-1, "x"), page_token(1 << 63, "x")):
        with pytest.raises(InvalidRequest):
            position_of(token, int, str)


def test_sizes_are_bounded() -> None:
    assert page_size(0) == 100
    assert page_size(500) == 500
    assert page_size(501) == 500
    with pytest.raises(InvalidRequest):
        page_size(-1)
